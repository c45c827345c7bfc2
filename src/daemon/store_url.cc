#include "daemon/store_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "s3/uri.h"
#include "store/file_url.h"

namespace cairn::daemon {

namespace {

std::string with_name(std::string_view folder, std::string_view name) {
  while (folder.size() > 1 && folder.back() == '/') folder.remove_suffix(1);
  return folder == "/" ? fmt::format("/{}", name) : fmt::format("{}/{}", folder, name);
}

bool is_file_url(std::string_view url) { return url.starts_with("file://"); }

bool is_s3_url(std::string_view url) {
  static constexpr std::string_view kScheme = "s3://";
  return url.size() >= kScheme.size() &&
         std::equal(kScheme.begin(), kScheme.end(), url.begin(), [](char want, char got) {
           return want == static_cast<char>(std::tolower(static_cast<unsigned char>(got)));
         });
}

// A name that begins with a dot goes the long way, which showed where thousands of paths are looked at.
bool is_normal(std::string_view path) {
  return path.find("//") == std::string_view::npos && path.find("/.") == std::string_view::npos &&
         (path.size() == 1 || !path.ends_with('/'));
}

std::string normal_path(const std::string& path) {
  if (path.starts_with('/') && is_normal(path)) return path;
  std::string text = std::filesystem::path(path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace

Result<std::string> join_url(std::string_view url, std::string_view name) {
  if (is_file_url(url)) {
    CAIRN_ASSIGN(const std::string path, path_of_file_url(url));
    return file_url(with_name(path, name));
  }
  if (url.find("://") == std::string_view::npos) return with_name(url, name);
  const std::size_t query = std::min(url.find('?'), url.size());
  const std::string coded = s3::percent_encode(name, s3::Slash::encode);
  return with_name(url.substr(0, query), coded) + std::string(url.substr(query));
}

Result<std::string> place_of(std::string_view url) {
  if (is_s3_url(url)) {
    CAIRN_ASSIGN(const s3::Location location, s3::parse_s3_url(url, {}));
    if (location.options.endpoint.empty()) return location.url();
    CAIRN_ASSIGN(const s3::Endpoint endpoint, s3::parse_endpoint(location.options.endpoint, "endpoint"));
    return location.url() + "?endpoint=" + endpoint.origin() + endpoint.base_path;
  }
  if (is_file_url(url)) {
    CAIRN_ASSIGN(const std::string path, path_of_file_url(url));
    return file_url(normal_path(path));
  }
  if (!url.starts_with('/')) {
    return Error(ErrorKind::invalid,
                 fmt::format("'{}' is no place: write s3://bucket/prefix, file:///path or a path that begins with /",
                             url.substr(0, url.find('?'))));
  }
  return file_url(normal_path(std::string(url)));
}

std::string with_options(std::string_view url, const std::vector<std::pair<std::string, std::string>>& options) {
  std::string text(url);
  for (const auto& [name, value] : options) {
    text += text.find('?') == std::string::npos ? '?' : '&';
    text += name + "=" + s3::percent_encode(value, s3::Slash::keep);
  }
  return text;
}

}  // namespace cairn::daemon
