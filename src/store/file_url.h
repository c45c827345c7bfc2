// "file://" URLs (RFC 8089) and paths.
#pragma once

#include <string>
#include <string_view>

#include "cairn/error.h"

namespace cairn {

// file_url("/a b%") is "file:///a b%25": only what could be taken for something else is escaped.
std::string file_url(std::string_view absolute_path);
// The path of "file:///path" or "file://localhost/path", its %XX decoded. invalid: another host, a bad escape.
Result<std::string> path_of_file_url(std::string_view url);

}  // namespace cairn
