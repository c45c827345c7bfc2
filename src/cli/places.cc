#include "cli/places.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/bytes.h"
#include "base/files.h"
#include "s3/uri.h"
#include "segment/format.h"
#include "store/file_url.h"

namespace cairn::cli {

namespace fs = std::filesystem;

namespace {

bool is_file_url(std::string_view url) { return url.starts_with("file://"); }

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

// "?endpoint=https://host" where the user names a server; "": Amazon's own, of which a bucket's name is enough.
std::string server_of(const s3::Location& location) {
  std::string endpoint = location.options.endpoint;
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (const char* value = variable(name); value != nullptr && endpoint.empty()) endpoint = value;
  }
  if (endpoint.empty()) return "";
  const Result<s3::Endpoint> parsed = s3::parse_endpoint(endpoint, "endpoint");
  return "?endpoint=" + (parsed ? parsed->origin() + parsed->base_path : endpoint);
}

}  // namespace

std::string canonical_url(const std::string& given, const std::string& store_url) {
  if (is_file_url(store_url)) {
    const Result<std::string> path = path_of_file_url(store_url);
    return path ? file_url(real_path(*path)) : store_url;
  }
  const Result<s3::Location> location = s3::parse_s3_url(given, {});
  return location ? store_url + server_of(*location) : store_url;
}

std::string shell_word(const std::string& text) {
  static constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += "'\\''";
    else quoted.push_back(c);
  }
  return quoted + "'";
}

std::string real_path(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(path, error);
  if (error || real.empty()) return path;
  const std::string text = fs::absolute(real, error).lexically_normal().string();
  return text.size() > 1 && text.back() == '/' ? text.substr(0, text.size() - 1) : text;
}

std::string file_name(const std::string& path) { return fs::path(path).filename().string(); }

Result<std::string> default_state_root() {
  if (::geteuid() == 0) return std::string("/var/lib/cairn");
  if (const char* state = variable("XDG_STATE_HOME")) return join_path(state, "cairn");
  if (const char* home = variable("HOME")) return join_path(home, ".local/state/cairn");
  return Error(ErrorKind::invalid, "there is no HOME to keep local state in: say where with --state-dir");
}

Result<std::string> default_cache_root() {
  if (::geteuid() == 0) return std::string("/var/cache/cairn");
  if (const char* cache = variable("XDG_CACHE_HOME")) return join_path(cache, "cairn");
  if (const char* home = variable("HOME")) return join_path(home, ".cache/cairn");
  return Error(ErrorKind::invalid, "there is no HOME to keep the catalogue in: say where with --catalogue");
}

Result<std::string> default_control_path() {
  if (const char* control = variable("CAIRN_CONTROL")) return std::string(control);
  if (::geteuid() == 0) return std::string("/run/cairn/cairn.sock");
  if (const char* runtime = variable("XDG_RUNTIME_DIR")) return join_path(runtime, "cairn.sock");
  CAIRN_ASSIGN(const std::string root, default_state_root());
  return join_path(root, "cairn.sock");
}

std::string pair_hash(std::string_view database, std::string_view replica_url) {
  std::string both(database);
  both += '\0';
  both += replica_url;
  return fmt::format("{:016x}", segment::page_hash(PageNo(0), as_bytes(both)));
}

std::string state_directory(const std::string& root, const std::string& real_database, std::string_view replica_url) {
  return join_path(root, fmt::format("{}-{}", file_name(real_database), pair_hash(real_database, replica_url)));
}

}  // namespace cairn::cli
