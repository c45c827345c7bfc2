// What the keys of the configuration mean. One function a table, each of which reads what it knows and complains of the
// rest; then what tables say about each other.
#include "daemon/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <utility>

#include "base/nearest.h"
#include "base/units.h"
#include "base/utf8.h"
#include "daemon/path_text.h"
#include "daemon/retention.h"
#include "daemon/store_url.h"
#include "daemon/toml_section.h"

namespace cairn::daemon {

namespace {

namespace fs = std::filesystem;
using Keys = std::vector<std::string>;

const Keys kDatabaseSettings{"interval",       "wal_switch", "spool_limit", "segment_level",
                             "snapshot_level", "levels",     "kept_limit",  "snapshot_interval",
                             "retention",      "restore_if_missing"};
const Keys kLayerSettings{"interval",  "quiet",   "marks",       "databases_as_files", "accept_hidden_attributes",
                          "part_size", "uploads", "spool_limit", "level"};
const Keys kStoreTexts{"endpoint", "region",     "profile",    "addressing", "ca_bundle",
                       "storage_class", "encryption", "kms_key_id", "tags"};
const Keys kStoreFlags{"requester_pays", "create_bucket", "accept_single_writer"};

Keys operator+(Keys keys, const Keys& more) {
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

bool has_wildcard(std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; }

// Where the objects of a table go.
struct Destination {
  std::string url;     // "": nothing says where
  bool whole = false;  // `to` of the table itself says it all
};

class Parser {
 public:
  Parser(const std::string& file, const Environment& environment) : environment_(environment), mistakes_(file) {
    config_.file = file;
  }

  Result<Config> parse(const toml::table& root, const RegisteredText& registered);

 private:
  TomlSection section(const toml::table& table, std::string title, const Keys& keys) {
    return {mistakes_, environment_, table, std::move(title), keys};
  }
  const toml::table* table_at(const toml::table& above, const char* key, const char* title);
  template <class Read>
  void each_table(const toml::table& root, const char* key, const Read& read);

  void read_defaults(const toml::table& table);
  void read_http(const toml::table& table);
  void read_store(const std::string& name, const toml::node& node);
  void read_database(const toml::table& table);
  void read_pattern(const TomlSection& section, DatabaseEntry& entry);
  bool split_glob(const TomlSection& section, DatabaseEntry& entry);
  void check_pattern(const TomlSection& section, const char* key, const std::string& pattern);
  void read_layer(const toml::table& table);
  void read_settings(const TomlSection& section, DatabaseSettings& settings);
  void read_settings(const TomlSection& section, LayerSettings& settings);

  Destination destination_of(const TomlSection& section);
  std::string below_store(const TomlSection& section, const std::string& store, const std::string& to);
  std::optional<std::string> absolute_path(const TomlSection& section, const char* key);
  std::string joined(const TomlSection& section, const char* key, const std::string& url, const std::string& below);
  Result<void> add_registered(const RegisteredText& registered);
  void refuse_shared(const toml::table& root);
  const toml::source_region& place_of_entry(const toml::table& root, const char* key, std::size_t index);

  const Environment& environment_;
  TomlMistakes mistakes_;
  Config config_;
  std::map<std::string, std::string> stores_;  // to URLs with options
  std::string default_url_;
  DatabaseSettings database_settings_;
  LayerSettings layer_settings_;
};

Result<Config> Parser::parse(const toml::table& root, const RegisteredText& registered) {
  section(root, "this file", {"defaults", "stores", "http", "database", "layer"});
  if (const toml::table* stores = table_at(root, "stores", "[stores.NAME]")) {
    for (const auto& [name, node] : *stores) read_store(std::string(name.str()), node);
  }
  if (const toml::table* defaults = table_at(root, "defaults", "[defaults]")) read_defaults(*defaults);
  if (const toml::table* http = table_at(root, "http", "[http]")) read_http(*http);
  each_table(root, "database", [&](const toml::table& table) { read_database(table); });
  each_table(root, "layer", [&](const toml::table& table) { read_layer(table); });
  if (!mistakes_.first()) refuse_shared(root);
  if (mistakes_.first()) return *mistakes_.first();
  CAIRN_TRY(add_registered(registered));
  // With a socket something may be registered later.
  const bool may_grow = !config_.control.empty() && config_.control != "off";
  if (config_.databases.empty() && config_.layers.empty() && !may_grow) {
    return Error(ErrorKind::invalid,
                 fmt::format("{} names nothing to replicate: add a [[database]] or a [[layer]]", config_.file));
  }
  return std::move(config_);
}

Result<toml::table> parse_toml(std::string_view text, const std::string& file) {
  toml::parse_result parsed = toml::parse(text);
  if (parsed) return std::move(parsed).table();
  const toml::source_position at = parsed.error().source().begin;
  return Error(ErrorKind::invalid, fmt::format("{}:{}:{}: this is not TOML: {}", file, at.line, at.column,
                                               parsed.error().description()));
}

// What the configuration says of a database goes first; one that it does not name is read with its defaults.
Result<void> Parser::add_registered(const RegisteredText& registered) {
  if (registered.text.empty()) return {};
  CAIRN_ASSIGN(const toml::table root, parse_toml(registered.text, registered.file));
  const std::size_t configured = config_.databases.size();
  mistakes_ = TomlMistakes(registered.file);
  section(root, "this file", {"database"});
  each_table(root, "database", [&](const toml::table& table) { read_database(table); });
  if (mistakes_.first()) return *mistakes_.first();
  for (std::size_t i = configured; i < config_.databases.size(); ++i) config_.databases[i].is_registered = true;
  return {};
}

const toml::table* Parser::table_at(const toml::table& above, const char* key, const char* title) {
  const toml::node* node = above.get(key);
  if (node == nullptr || node->is_table()) return node == nullptr ? nullptr : node->as_table();
  mistakes_.add(node->source(), fmt::format("'{}' is {}: write {}", key, toml_type_text(*node), title));
  return nullptr;
}

template <class Read>
void Parser::each_table(const toml::table& root, const char* key, const Read& read) {
  const toml::node* node = root.get(key);
  if (node == nullptr) return;
  const auto refuse = [&](const toml::node& what) {
    mistakes_.add(what.source(), fmt::format("'{0}' is {1}: write [[{0}]] above each", key, toml_type_text(what)));
  };
  if (!node->is_array()) return refuse(*node);
  for (const toml::node& one : *node->as_array()) {
    if (!one.is_table()) return refuse(one);
    read(*one.as_table());
  }
}

void Parser::read_store(const std::string& name, const toml::node& node) {
  const std::string title = fmt::format("[stores.{}]", name);
  if (!node.is_table()) {
    mistakes_.add(node.source(), fmt::format("'stores.{}' is {}: write {} and a url below it", name,
                                             toml_type_text(node), title));
    return;
  }
  const TomlSection store =
      section(*node.as_table(), title, Keys{"url"} + kStoreTexts + kStoreFlags + Keys{"connections"});
  std::vector<std::pair<std::string, std::string>> options;
  for (const std::string& key : kStoreTexts) {
    if (const auto text = store.text(key.c_str())) options.emplace_back(key, *text);
  }
  for (const std::string& key : kStoreFlags) {
    bool flag = false;
    store.read_flag(key.c_str(), flag);
    if (flag) options.emplace_back(key, "true");
  }
  int connections = 0;
  store.read_number("connections", connections, 1, 1000);
  if (connections > 0) options.emplace_back("connections", std::to_string(connections));

  const std::optional<std::string> url = store.text("url");
  stores_[name] = url.value_or("");  // known, whatever is wrong with it
  if (!url) {
    if (store.has("url")) return;
    return store.complain("url", fmt::format("{} has no url: add one, as url = \"s3://bucket/prefix\"", title));
  }
  Result<std::string> place = place_of(*url);
  if (place && !options.empty() && place->starts_with("file://")) {
    place = Error(ErrorKind::invalid, fmt::format("'{}' is for s3:// stores: leave it out", options[0].first));
  }
  const std::string whole = with_options(*url, options);
  if (place) place = place_of(whole);
  if (!place) return store.complain("url", place.error().with(title).message());
  stores_[name] = whole;
}

void Parser::read_defaults(const toml::table& table) {
  const TomlSection defaults = section(
      table, "[defaults]",
      Keys{"store", "to", "state_dir", "stop_timeout", "sleep_after", "spool_limit_of_all", "drain_rate", "prices",
           "layer", "control"} + kDatabaseSettings);
  default_url_ = destination_of(defaults).url;
  if (const auto state = absolute_path(defaults, "state_dir")) config_.state_dir = *state;
  defaults.read_duration("stop_timeout", config_.stop_timeout_ms);
  if (const auto control = defaults.text("control")) {
    config_.control = *control == "off" ? "off" : absolute_path(defaults, "control").value_or("");
  }
  defaults.read_duration("sleep_after", config_.sleep_after_ms);
  defaults.read_size("spool_limit_of_all", config_.spool.size_bytes);
  defaults.read_size("drain_rate", config_.spool.drain_bytes_per_s);  // 0: as fast as it goes
  if (const auto prices = defaults.text("prices")) {
    Result<PriceList> parsed = parse_prices(*prices);
    if (parsed) config_.prices = std::move(*parsed);
    else defaults.complain("prices", parsed.error().with("prices").message());
  }
  read_settings(defaults, database_settings_);
  if (const toml::table* layer = table_at(table, "layer", "[defaults.layer]")) {
    read_settings(section(*layer, "[defaults.layer]", kLayerSettings), layer_settings_);
  }
}

void Parser::read_http(const toml::table& table) {
  const TomlSection http = section(table, "[http]", {"listen", "hosts", "metrics_databases"});
  HttpSettings settings;
  if (const auto listen = http.text("listen")) {
    const Result<ListenAddress> address = parse_listen_address(*listen);
    if (address) settings.listen = *address;
    else http.complain("listen", address.error().with("listen").message());
  } else if (!http.has("listen")) {
    http.complain("", "[http] does not say where to listen: add listen = \"127.0.0.1:9178\", or leave it all out");
  }
  for (const std::string& host : http.texts("hosts")) {
    if (host.find_first_of(":/[]* ") == std::string::npos) settings.hosts.push_back(ascii_lower(host));
    else http.complain("hosts", fmt::format("hosts: '{}' is no name of a machine: write it without a port", host));
  }
  http.read_number("metrics_databases", settings.metrics_databases, 0, 100'000);
  config_.http = std::move(settings);
}

void Parser::read_settings(const TomlSection& section, DatabaseSettings& settings) {
  section.read_duration("interval", settings.interval_ms);
  section.read_flag("wal_switch", settings.wal_switch);
  section.read_size("spool_limit", settings.spool_limit_bytes);
  if (section.has("spool_limit") && settings.spool_limit_bytes == 0) {
    section.complain("spool_limit", "'spool_limit' is 0: give it room, as \"100MiB\"");
  }
  section.read_number("segment_level", settings.segment_level, 1, 19);
  section.read_number("snapshot_level", settings.snapshot_level, 1, 19);
  if (const auto levels = section.text("levels")) {
    Result<std::optional<std::vector<std::int64_t>>> windows = parse_windows(*levels);
    if (windows) settings.level_windows_ms = std::move(*windows);
    else section.complain("levels", windows.error().with("levels").message());
  }
  section.read_size("kept_limit", settings.kept_limit_bytes);
  section.read_duration("snapshot_interval", settings.snapshot_interval_ms);
  section.read_flag("restore_if_missing", settings.restore_if_missing);
  if (const auto retention = section.text("retention")) {
    auto policy = parse_retention(*retention);
    if (policy) settings.retention = *policy;
    else section.complain("retention", policy.error().with("retention").message());
  }
}

void Parser::read_settings(const TomlSection& section, LayerSettings& settings) {
  section.read_duration("interval", settings.interval_ms);
  if (section.has("interval") && settings.interval_ms == 0) {
    section.complain("interval", "'interval' is 0, and it would look all the time: give it some length, as \"30s\"");
  }
  section.read_duration("quiet", settings.quiet_ms);
  section.read_word("marks", settings.marks, {"auto", "kernel", "fuse-overlayfs"});
  section.read_flag("databases_as_files", settings.databases_as_files);
  section.read_flag("accept_hidden_attributes", settings.accept_hidden_attributes);
  section.read_size("part_size", settings.part_size_bytes);
  if (section.has("part_size") && settings.part_size_bytes == 0) {
    section.complain("part_size", "'part_size' is 0: give it some, as \"64MiB\"");
  }
  section.read_number("uploads", settings.uploads, 1, 64);
  section.read_size("spool_limit", settings.spool_limit_bytes);  // 0: nothing is kept
  section.read_number("level", settings.level, 1, 19);
}

void Parser::read_database(const toml::table& table) {
  const TomlSection database =
      section(table, "[[database]]", Keys{"path", "glob", "directory", "pattern", "store", "to"} + kDatabaseSettings);
  DatabaseEntry entry;
  entry.line = database.line();
  entry.settings = database_settings_;
  read_settings(database, entry.settings);
  const Destination to = destination_of(database);
  entry.url = to.url;
  const int named = database.has("path") + database.has("glob") + database.has("directory");
  if (named != 1) {
    return database.complain("", named == 0 ? "[[database]] names no database: give it a path, a glob or a directory"
                                            : "[[database]] has more than one of path, glob and directory: make an "
                                              "entry of each");
  }
  if (!database.has("path")) {
    read_pattern(database, entry);
    if (!entry.url.empty()) entry.to = DatabaseEntry::To::folder;
  } else {
    const std::optional<std::string> path = absolute_path(database, "path");
    if (database.has("pattern")) {
      database.complain("pattern", "'pattern' is for a directory: leave it out beside a path");
    }
    if (!path) return;
    entry.path = *path;
    const std::string name = fs::path(*path).filename().string();
    if (name.empty() || name == "." || name == "..") {
      return database.complain("path", fmt::format("path: '{}' is not the name of a database file", *path));
    }
    if (!entry.url.empty()) {
      entry.to = DatabaseEntry::To::replica;
      if (!to.whole) entry.url = joined(database, "path", entry.url, name);
    }
  }
  config_.databases.push_back(std::move(entry));
}

void Parser::read_pattern(const TomlSection& section, DatabaseEntry& entry) {
  if (section.has("glob")) {
    if (section.has("pattern")) section.complain("pattern", "'pattern' is for a directory: write it into the glob");
    split_glob(section, entry);
    return;
  }
  if (const auto directory = absolute_path(section, "directory")) entry.directory = *directory;
  entry.pattern = section.text("pattern").value_or("*.db");
  check_pattern(section, "pattern", entry.pattern);
}

bool Parser::split_glob(const TomlSection& section, DatabaseEntry& entry) {
  const std::optional<std::string> glob = absolute_path(section, "glob");
  if (!glob) return false;
  if (!has_wildcard(*glob)) {
    section.complain("glob", fmt::format("glob: '{}' has no wildcard (*, ? or [): name it as a path", *glob));
    return false;
  }
  const std::size_t wildcard = glob->find_first_of("*?[");
  const std::size_t slash = glob->rfind('/', wildcard);
  entry.directory = slash == 0 ? "/" : glob->substr(0, slash);
  entry.pattern = glob->substr(slash + 1);
  check_pattern(section, "glob", entry.pattern);
  return true;
}

void Parser::check_pattern(const TomlSection& section, const char* key, const std::string& pattern) {
  const std::vector<std::string> components = components_of(pattern);
  for (const std::string& component : components) {
    if (component.empty() || component == "." || component == "..") {
      return section.complain(key, fmt::format("{}: '{}' has '{}' between slashes: write names and wildcards only", key,
                                               pattern, component));
    }
    if (component != "**" && component.find("**") != std::string::npos) {
      return section.complain(key, fmt::format("{}: '**' stands for any number of directories, and alone between "
                                               "slashes: '{}' has more there", key, component));
    }
  }
  if (components.back() == "**") {
    section.complain(key, fmt::format("{}: '{}' means directories: say which files in them, as **/*.db", key, pattern));
  }
}

void Parser::read_layer(const toml::table& table) {
  const TomlSection layer =
      section(table, "[[layer]]", Keys{"directory", "name", "lower", "store", "to"} + kLayerSettings);
  LayerEntry entry;
  entry.line = layer.line();
  entry.settings = layer_settings_;
  read_settings(layer, entry.settings);
  if (const auto directory = absolute_path(layer, "directory")) entry.directory = *directory;
  if (const auto name = layer.text("name")) entry.name = *name;
  entry.lower = layer.texts("lower");
  for (const std::string& lower : entry.lower) {
    if (lower.front() == '/') continue;
    layer.complain("lower", fmt::format("lower: '{}' is no absolute path: begin it with /", lower));
  }
  const Destination to = destination_of(layer);
  entry.url = to.whole || to.url.empty() ? to.url : joined(layer, "name", to.url, "layers");
  for (const char* key : {"directory", "name"}) {
    if (!layer.has(key)) layer.complain("", fmt::format("[[layer]] has no {0}: add {0} = \"...\"", key));
  }
  if (to.url.empty() && !layer.has("to") && !layer.has("store")) {
    layer.complain("", "[[layer]] does not say where it goes: add to = \"URL\", or a store or to in [defaults]");
  }
  config_.layers.push_back(std::move(entry));
}

// `to` alone is a URL; with `store` a path below that; with neither it is what [defaults] says.
Destination Parser::destination_of(const TomlSection& section) {
  const std::optional<std::string> store = section.text("store"), to = section.text("to");
  if (store) {
    const auto known = stores_.find(*store);
    if (known != stores_.end()) return {below_store(section, known->second, to.value_or("")), to.has_value()};
    Keys names;
    for (const auto& [name, url] : stores_) names.push_back(name);
    const std::string meant = nearest(*store, names);
    section.complain("store", fmt::format("there is no store '{}': {}", *store,
                                          meant.empty() ? fmt::format("declare it as [stores.{}]", *store)
                                                        : fmt::format("did you mean '{}'?", meant)));
    return {};
  }
  if (!to) return {default_url_, false};
  if (const Result<std::string> place = place_of(*to); !place) {
    section.complain("to", place.error().with("to").message());
    return {};
  }
  return {*to, true};
}

std::string Parser::below_store(const TomlSection& section, const std::string& store, const std::string& to) {
  if (to.empty() || store.empty()) return store;
  std::string url = store;
  if (to.find("://") != std::string::npos) {
    section.complain("to", "to: beside a store it is a path in it, not a URL: leave out one of them");
    return "";
  }
  for (const std::string& component : components_of(without_slash(to))) {
    if (component.empty() || component == "." || component == "..") {
      section.complain("to", fmt::format("to: '{}' is no path in a store: write it like app/main.db", to));
      return "";
    }
    url = joined(section, "to", url, component);
  }
  return url;
}

std::string Parser::joined(const TomlSection& section, const char* key, const std::string& url,
                           const std::string& below) {
  Result<std::string> whole = join_url(url, below);
  if (whole) return *whole;
  section.complain(key, whole.error().with(key).message());
  return "";
}

std::optional<std::string> Parser::absolute_path(const TomlSection& section, const char* key) {
  const std::optional<std::string> path = section.text(key);
  if (!path) return std::nullopt;
  if (path->front() == '/') return without_slash(*path);
  section.complain(key, fmt::format("{}: '{}' is no absolute path: begin it with /", key, *path));
  return std::nullopt;
}

const toml::source_region& Parser::place_of_entry(const toml::table& root, const char* key, std::size_t index) {
  return root.get_as<toml::array>(key)->get(index)->source();
}

// Of paths alone: what patterns mean is known when they are looked at.
void Parser::refuse_shared(const toml::table& root) {
  struct Taken {
    std::string what;
    int line;
  };
  std::map<std::string, Taken> paths, replicas, names;
  for (std::size_t i = 0; i < config_.databases.size(); ++i) {
    const DatabaseEntry& entry = config_.databases[i];
    if (entry.path.empty()) continue;
    const auto [path, new_path] = paths.try_emplace(normal(entry.path), Taken{entry.path, entry.line});
    if (!new_path) {
      mistakes_.add(place_of_entry(root, "database", i),
                    fmt::format("{} is named in line {} already: name it once", entry.path, path->second.line));
    }
    const Result<std::string> url = replica_url(entry, entry.path, "");
    const Result<std::string> place = url ? place_of(*url) : url;
    if (!place) {
      mistakes_.add(place_of_entry(root, "database", i), place.error().message());
      continue;
    }
    const auto [replica, new_replica] = replicas.try_emplace(*place, Taken{entry.path, entry.line});
    if (!new_replica && new_path) {
      mistakes_.add(place_of_entry(root, "database", i),
                    fmt::format("{} would share the replica {} with {} of line {}: give one of them a to of its own",
                                entry.path, *place, replica->second.what, replica->second.line));
    }
  }
  for (std::size_t i = 0; i < config_.layers.size(); ++i) {
    const LayerEntry& entry = config_.layers[i];
    const auto [name, new_name] = names.try_emplace(entry.name, Taken{entry.name, entry.line});
    if (new_name) continue;
    mistakes_.add(place_of_entry(root, "layer", i),
                  fmt::format("there is a layer called '{}' in line {} already: give one of them another name",
                              entry.name, name->second.line));
  }
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& file, const Environment& environment,
                            const RegisteredText& registered) {
  CAIRN_ASSIGN(const toml::table root, parse_toml(text, file));
  return Parser(file, environment).parse(root, registered);
}

std::string state_dir_of(std::string_view text, const Environment& environment) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed || !parsed.table()["defaults"].is_table()) return std::string();
  TomlMistakes mistakes("");
  const TomlSection defaults(mistakes, environment, *parsed.table()["defaults"].as_table(), "[defaults]",
      {"state_dir"});
  return without_slash(defaults.text("state_dir").value_or(""));
}

}  // namespace cairn::daemon
