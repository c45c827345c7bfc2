#include "cli/config_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <optional>

#include "base/bytes.h"
#include "base/files.h"
#include "cairn/store.h"
#include "cli/layers.h"
#include "cli/places.h"

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

// A layer must not store its own store or state.
Result<void> check_places(const daemon::Config& config, const daemon::LayerEntry& layer, const Store& store) {
  LayerOptions options;
  const auto state = layer_state_directory(config.state_dir, layer.name, layer.url, store);
  if (state) options.state_directory = *state;  // else there is none, and the job says so
  return check_layer_places(real_path(layer.directory), store.url(), options);
}

// That their options fit together is known when they are opened, which asks nothing of them.
Result<void> check_stores(const daemon::Config& config) {
  using Further = std::function<Result<void>(const Store&)>;
  const auto check = [&](const std::string& url, const std::string& where, Further further = {}) -> Result<void> {
    if (url.empty()) return {};
    const Result<std::unique_ptr<Store>> store = open_store(url);
    if (!store) return store.error().with(where).as(ErrorKind::invalid);
    const Result<void> fits = further ? further(**store) : Result<void>();
    return fits ? fits : fits.error().with(where);
  };
  const auto in_file = [&](int line) { return fmt::format("{}:{}", config.file, line); };
  for (const daemon::DatabaseEntry& entry : config.databases) {
    CAIRN_TRY(check(entry.url, entry.is_registered ? "registered: " + entry.path : in_file(entry.line)));
  }
  for (const daemon::LayerEntry& entry : config.layers) {
    CAIRN_TRY(check(entry.url, in_file(entry.line), [&](const Store& store) {
      return check_places(config, entry, store);
    }));
  }
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
  LoadedConfig loaded;
  CAIRN_ASSIGN(loaded.text, read_text_file(path));
  CAIRN_ASSIGN(loaded.config, daemon::parse_config(loaded.text, path, environment));
  CAIRN_TRY(check_stores(loaded.config));
  loaded.found = daemon::find_databases(loaded.config);
  if (!loaded.found.clashes.empty()) return Error(ErrorKind::invalid, loaded.found.clashes.front().sentence);
  return loaded;
}

// A configuration that names nothing is good when something was registered.
Result<LoadedConfig> load_with_registered(const std::string& path, const daemon::FoundDatabases& before) {
  const std::unique_ptr<FileSystem> files = make_real_file_system();
  LoadedConfig loaded;
  CAIRN_ASSIGN(loaded.text, read_text_file(path));
  loaded.config.file = path;
  loaded.found = before;
  std::string root = daemon::state_dir_of(loaded.text, environment);
  if (root.empty()) {
    CAIRN_ASSIGN(root, default_state_root());
  }
  loaded.registered_file = join_path(root, "registered.toml");
  std::vector<daemon::Registration> registered;
  if (files->info(loaded.registered_file)) {
    CAIRN_ASSIGN(const std::string text, read_text_file(loaded.registered_file));
    CAIRN_ASSIGN(registered, daemon::parse_registered(text, loaded.registered_file));
  }
  CAIRN_ASSIGN(LoadedConfig all, with_registered(loaded, std::move(registered)));
  for (const daemon::Clash& clash : all.found.clashes) {
    if (!clash.sentence.starts_with(daemon::kRegisteredClash)) return Error(ErrorKind::invalid, clash.sentence);
  }
  return all;
}

Result<LoadedConfig> with_registered(const LoadedConfig& loaded, std::vector<daemon::Registration> registered) {
  LoadedConfig all;
  all.text = loaded.text;
  all.registered_file = loaded.registered_file;
  const daemon::RegisteredText text{registered.empty() ? "" : daemon::registered_text(registered), all.registered_file};
  CAIRN_ASSIGN(all.config, daemon::parse_config(all.text, loaded.config.file, environment, text));
  CAIRN_TRY(check_stores(all.config));
  all.found = daemon::find_databases(all.config, loaded.found);
  all.registered = std::move(registered);
  return all;
}

Result<void> write_registered(const LoadedConfig& loaded) {
  const std::unique_ptr<FileSystem> files = make_real_file_system();
  CAIRN_TRY(files->make_directories(parent_directory(loaded.registered_file)));
  const std::string text = daemon::registered_text(loaded.registered);
  return write_file_durably(*files, loaded.registered_file, as_bytes(text));
}

}  // namespace cairn::cli
