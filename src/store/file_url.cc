#include "store/file_url.h"

#include <fmt/format.h>

namespace cairn {

namespace {

constexpr std::string_view kScheme = "file://";
constexpr std::string_view kLocalHost = "localhost";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string file_url(std::string_view absolute_path) {
  std::string url(kScheme);
  for (const char c : absolute_path) {
    const bool escape = c == '%' || c == '?' || c == '#' || (c >= 0 && c < 0x20) || c == 0x7f;
    if (escape) {
      url += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      url.push_back(c);
    }
  }
  return url;
}

Result<std::string> path_of_file_url(std::string_view url) {
  std::string_view rest = url.substr(std::min(kScheme.size(), url.size()));
  if (rest.starts_with(kLocalHost)) rest.remove_prefix(kLocalHost.size());
  if (!rest.starts_with('/')) {
    return Error(ErrorKind::invalid,
                 fmt::format("'{}' names no absolute path on this machine: write file:///path", url));
  }
  std::string path;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] != '%') {
      path.push_back(rest[i]);
      continue;
    }
    const int high = i + 2 < rest.size() ? hex_digit(rest[i + 1]) : -1;
    const int low = i + 2 < rest.size() ? hex_digit(rest[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0)) {
      return Error(ErrorKind::invalid,
                   fmt::format("'{}': a '%' in a URL is written %25; a plain path needs no escapes", url));
    }
    path.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return path;
}

}  // namespace cairn
