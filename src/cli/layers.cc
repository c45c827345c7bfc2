#include "cli/layers.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/files.h"
#include "cli/places.h"
#include "cli/spending.h"
#include "cli/system.h"

namespace cairn::cli {

namespace {

constexpr std::size_t kContainersNamed = 3;
constexpr int kTransfers = 8;  // requests wait for a network more than for a processor

// "; containers there: web_1, web_2 and 4 more"
std::string containers_there(Store& store) {
  const Result<std::vector<std::string>> names = stored_container_names(store);
  if (!names || names->empty()) return "";
  std::string text;
  for (std::size_t i = 0; i < std::min(kContainersNamed, names->size()); ++i) text += (i > 0 ? ", " : "") + (*names)[i];
  if (names->size() > kContainersNamed) text += fmt::format(" and {} more", names->size() - kContainersNamed);
  return "; containers there: " + text;
}

}  // namespace

Result<LayerStore> open_layer_store(const std::string& url, StoreUse use) {
  LayerStore opened;
  CAIRN_ASSIGN(opened.store, open_remembering_store(url, use));
  opened.machine = make_machine(System::is_remote(url) ? kTransfers : 0);
  return opened;
}

Failure layer_failure(RememberingStore& store, const Error& error) {
  if (error.kind() == ErrorKind::not_found) {
    return {Error(error.kind(), error.message() + containers_there(store)), Origin::store};
  }
  return {error, store.origin_of(error)};
}

Result<std::string> layer_state_directory(const std::string& state_root, const std::string& name,
                                          const std::string& given_url, const Store& store) {
  std::string root = state_root;
  if (root.empty()) {
    CAIRN_ASSIGN(root, default_state_root());
  }
  return state_directory(join_path(root, "layers"), name, canonical_url(given_url, store.url()));
}

void add_sync_options(CLI::App& command, SyncOptions& options) {
  command.add_option("DIR", options.directory, "the container's writable directory, as overlay's upperdir")
      ->required()
      ->type_name("");
  command.add_option("--to", options.url, "URL of the store; many containers may share it")
      ->required()
      ->type_name("URL");
  command.add_option("--name", options.name, "what the container is called in the store")
      ->required()
      ->type_name("NAME");
  command.add_option("--lower", options.lower,
                     "a directory below DIR, the topmost first; needed where the\n"
                     "mount has metacopy or redirect_dir")
      ->type_name("DIR")
      ->allow_extra_args(false);
  command.add_option("--marks", options.marks,
                     "whose marks of deleted names DIR has: kernel (overlayfs),\n"
                     "fuse-overlayfs, or what DIR itself says")
      ->check(CLI::IsMember({"auto", "kernel", "fuse-overlayfs"}))
      ->type_name("")
      ->capture_default_str();
  command.add_flag("--databases-as-files", options.databases_as_files,
                   "store SQLite databases as the bytes that lie there, not as\n"
                   "one committed state");
  command.add_flag("--accept-hidden-attributes", options.accept_hidden_attributes,
                   "without CAP_SYS_ADMIN, trusted.* attributes are hidden,\n"
                   "overlayfs' marks among them: DIR is synced all the same,\n"
                   "since no overlay mount of root's has written there");
  command.add_option("--adopt", options.adopt,
                     "when the store's newest sync is not what DIR goes on from,\n"
                     "the store has lost its syncs, or DIR is empty and another\n"
                     "one than before: local publishes what DIR is all the same")
      ->check(CLI::IsMember({"local"}))
      ->type_name("");
  command.add_option("--part-size", options.part_size_bytes, "of large uploads")
      ->transform(CLI::AsSizeValue(true).description(""))
      ->default_str("64MiB")
      ->type_name("SIZE");
  command.add_option("--uploads", options.uploads, "parts that are sent at once")
      ->check(CLI::Range(1, 64).description(""))
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--spool-limit", options.spool_limit_bytes,
                     "how much of a layer may lie on disk until it is whole in\n"
                     "the store. Up to there an upload that the store drops is\n"
                     "sent again from disk; beyond it DIR is read again. 0: only\n"
                     "what is on its way lies there")
      ->transform(CLI::AsSizeValue(true).description(""))
      ->default_str("256MiB")
      ->type_name("SIZE");
  command.add_option("--level", options.level, "of zstd's compression")
      ->check(CLI::Range(1, 19).description(""))
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--state-dir", options.state_root,
                     "where local state lies, one folder a container and store.\n"
                     "Default: /var/lib/cairn for root, else\n"
                     "$XDG_STATE_HOME/cairn or ~/.local/state/cairn")
      ->type_name("DIR");
  command.add_option("--staging-dir", options.staging_root,
                     "where parts wait for the store, one folder a container and\n"
                     "store. Default: with the local state")
      ->type_name("DIR");
}

LayerSyncOptions sync_options_of(const SyncOptions& options) {
  LayerSyncOptions sync;
  sync.lower = options.lower;
  if (options.marks == "kernel") sync.marks = LayerMarks::kernel;
  if (options.marks == "fuse-overlayfs") sync.marks = LayerMarks::fuse_overlayfs;
  if (options.adopt == "local") sync.adopt = LayerAdopt::local;
  if (options.databases_as_files) sync.databases = LayerDatabases::as_files;
  if (options.accept_hidden_attributes) sync.hidden_attributes = LayerHiddenAttributes::accept;
  return sync;
}

std::optional<Failure> open_container(const SyncOptions& options, SyncedContainer& container) {
  Result<LayerStore> at = open_layer_store(options.url);
  if (!at) return Failure{at.error()};
  container.at = std::move(*at);
  const Result<std::string> state =
      layer_state_directory(options.state_root, options.name, options.url, *container.at.store);
  if (!state) return Failure{state.error()};
  LayerOptions managing;
  managing.state_directory = *state;
  if (!options.staging_root.empty()) {
    const Result<std::string> staging =
        layer_state_directory(options.staging_root, options.name, options.url, *container.at.store);
    if (!staging) return Failure{staging.error()};
    managing.staging_directory = *staging;
  }
  managing.part_size_bytes = options.part_size_bytes;
  managing.concurrent_uploads = options.uploads;
  managing.spool_limit_bytes = options.spool_limit_bytes;
  managing.compression_level = options.level;
  const std::string directory = real_path(options.directory);
  // Before anything is made there.
  if (auto places = check_layer_places(directory, container.at.store->url(), managing); !places) {
    return Failure{places.error()};
  }
  Result<std::unique_ptr<LayerManager>> manager =
      LayerManager::open(*container.at.store, *container.at.machine, std::move(managing));
  if (!manager) return layer_failure(*container.at.store, manager.error());
  container.manager = std::move(*manager);
  const Result<void> registered = container.manager->register_container(options.name, directory);
  if (!registered) return Failure{registered.error()};
  return std::nullopt;
}

LayerWatchOptions watch_options_of(const SyncOptions& options, SyncedContainer& container, const Log& log) {
  Clock& clock = container.at.machine->clock();
  const Store& store = *container.at.store;
  LayerWatchOptions watching = cairn::watch_options_of(*container.manager);
  watching.sync = sync_options_of(options);
  const auto warn = [&options, &log](std::string_view notice) { log.about_container(options.name).warn("{}", notice); };
  watching.sync.on_notice = watching.on_notice = warn;
  watching.on_sync = [&options, &log, &store, &clock, begun_us = clock.now().mono_us](const LayerSnapshot& snapshot) {
    const std::int64_t elapsed_ms = (clock.now().mono_us - begun_us) / 1000;
    if (options.json) return print_sync(options, store, snapshot, store_json(store.status(), elapsed_ms, std::nullopt));
    log.about_container(options.name).info("{}; {} sent", snapshot_text(snapshot), size_text(snapshot.sent_bytes));
  };
  watching.on_trouble = [&options, &log](const Error& error) {
    log.about_container(options.name).warn("not synced, and tried again: {}", error.message());
  };
  watching.on_recovered = [&options, &log] { log.about_container(options.name).info("it works again"); };
  return watching;
}

Json snapshot_json(const LayerSnapshot& snapshot) {
  Json json;
  json["sequence"] = snapshot.sequence;
  json["time"] = format_time(snapshot.created_at_ms);
  json["time_ms"] = snapshot.created_at_ms;
  json["full"] = snapshot.is_full;
  json["digest"] = snapshot.digest;
  json["entries"] = snapshot.file_count;
  json["size_bytes"] = snapshot.size_bytes;
  json["compressed_size_bytes"] = snapshot.compressed_size_bytes;
  json["torn_files"] = snapshot.torn_files;
  json["skipped_sockets"] = snapshot.skipped_sockets;
  return json;
}

std::string snapshot_text(const LayerSnapshot& snapshot) {
  std::string text = fmt::format("sync {} ({}): {} {}, {}", snapshot.sequence, snapshot.is_full ? "full" : "increment",
                                 snapshot.file_count, snapshot.file_count == 1 ? "entry" : "entries",
                                 size_text(snapshot.size_bytes));
  if (snapshot.skipped_sockets > 0) {
    text += fmt::format("; {} left out", count_text(snapshot.skipped_sockets, "socket"));
  }
  if (snapshot.torn_files > 0) {
    text += fmt::format("; {} kept changing and may be of several moments", count_text(snapshot.torn_files, "file"));
  }
  return text;
}

void print_sync(const SyncOptions& options, const Store& store, const std::optional<LayerSnapshot>& snapshot,
                const Json& store_spending) {
  if (!options.json) {
    if (!snapshot) return print_line(fmt::format("{}: nothing has changed", options.name));
    return print_line(fmt::format("{}: {}; {} stored, {} sent to {}", options.name, snapshot_text(*snapshot),
                                  size_text(snapshot->compressed_size_bytes), size_text(snapshot->sent_bytes),
                                  store.url()));
  }
  Json json;
  json["container"] = options.name;
  json["directory"] = options.directory;
  json["store_url"] = store.url();
  json["published"] = snapshot.has_value();
  json["sync"] = snapshot ? snapshot_json(*snapshot) : Json(nullptr);
  json["sent_bytes"] = snapshot ? snapshot->sent_bytes : 0;
  json["store"] = store_spending;
  print_json(json);
}

}  // namespace cairn::cli
