// URLs of stores as text: checked, joined, and compared. Nothing is opened or looked at.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/error.h"

namespace cairn::daemon {

// `url` with `name` as one more folder, joined with exactly one slash; a query stays behind it. In a URL that is no
// path the name is percent-coded.
Result<std::string> join_url(std::string_view url, std::string_view name);

// One name for one place, as far as text tells: without options, doubled slashes and a slash at the end; of object
// storage with the endpoint that the URL names. invalid: no URL of a store, or a path that does not begin with '/'.
Result<std::string> place_of(std::string_view url);

// `url` with options of an s3:// URL added to those that it has.
std::string with_options(std::string_view url, const std::vector<std::pair<std::string, std::string>>& options);

}  // namespace cairn::daemon
