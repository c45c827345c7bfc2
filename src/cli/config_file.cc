#include "cli/config_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "base/files.h"
#include "cairn/store.h"

namespace cairn::cli {

namespace {

constexpr std::uint64_t kMostBytes = 64ull << 20;

std::optional<std::string> environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Result<std::string> read_text_file(const std::string& path) {
  const std::unique_ptr<FileSystem> files = make_real_file_system();
  Result<FileInfo> info = files->info(path);
  if (info && (info->is_directory || info->size_bytes > kMostBytes)) {
    const char* what = info->is_directory ? "a folder" : "too large to be a configuration";
    return Error(ErrorKind::invalid, fmt::format("{} is {}: name the configuration file", path, what));
  }
  if (!info && info.error().kind() == ErrorKind::not_found) {
    return Error(ErrorKind::invalid, fmt::format("there is no configuration {}: write one (docs/operations.md tells "
                                                 "how), or name yours", path));
  }
  CAIRN_TRY(info);
  CAIRN_ASSIGN(const Bytes bytes, read_file(*files, path));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// That their options fit together is known when they are opened, which asks nothing of them.
Result<void> check_stores(const daemon::Config& config) {
  const auto check = [&](const std::string& url, int line) -> Result<void> {
    if (url.empty()) return {};
    const Result<std::unique_ptr<Store>> store = open_store(url);
    if (store) return {};
    return store.error().with(fmt::format("{}:{}", config.file, line)).as(ErrorKind::invalid);
  };
  for (const daemon::DatabaseEntry& entry : config.databases) CAIRN_TRY(check(entry.url, entry.line));
  for (const daemon::LayerEntry& entry : config.layers) CAIRN_TRY(check(entry.url, entry.line));
  return {};
}

}  // namespace

Result<std::string> default_config_path() {
  if (::geteuid() == 0) return std::string("/etc/cairn/cairn.toml");
  for (const auto& [name, below] : {std::pair("XDG_CONFIG_HOME", "cairn/cairn.toml"),
                                    std::pair("HOME", ".config/cairn/cairn.toml")}) {
    const std::optional<std::string> folder = environment(name);
    if (folder && !folder->empty()) return join_path(*folder, below);
  }
  return Error(ErrorKind::invalid, "there is no HOME to look for a configuration in: name the file");
}

Result<LoadedConfig> load_config(const std::string& path) {
  CAIRN_ASSIGN(const std::string text, read_text_file(path));
  LoadedConfig loaded;
  CAIRN_ASSIGN(loaded.config, daemon::parse_config(text, path, environment));
  CAIRN_TRY(check_stores(loaded.config));
  loaded.found = daemon::find_databases(loaded.config);
  if (!loaded.found.clashes.empty()) return Error(ErrorKind::invalid, loaded.found.clashes.front());
  return loaded;
}

}  // namespace cairn::cli
