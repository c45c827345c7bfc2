// What the commands of `cairn layer` have in common.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cairn/daemon.h"
#include "cairn/layer.h"
#include "cairn/machine.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/log.h"
#include "cli/output.h"
#include "cli/remembering_store.h"

namespace CLI {
class App;
}

namespace cairn::cli {

void add_layer_sync(CLI::App& layer, Run& run);
void add_layer_check(CLI::App& layer, Run& run);
void add_layer_watch(CLI::App& layer, Run& run);
void add_layer_restore(CLI::App& layer, Run& run);
void add_layer_list(CLI::App& layer, Run& run);
void add_layer_history(CLI::App& layer, Run& run);
void add_layer_verify(CLI::App& layer, Run& run);
void add_layer_prune(CLI::App& layer, Run& run);

// A store, opened for layers, with the machine's cores.
struct LayerStore {
  std::unique_ptr<RememberingStore> store;
  std::unique_ptr<Machine> machine;
};
Result<LayerStore> open_layer_store(const std::string& url, StoreUse use = StoreUse::publishing);

// Where a failure came from. Of a container that is not there the message names those that are.
Failure layer_failure(RememberingStore& store, const Error& error);

// Of a container at a store, below the root of all local state.
Result<std::string> layer_state_directory(const std::string& state_root, const std::string& name,
                                          const std::string& given_url, const Store& store);

// What sync, check and watch are told.
struct SyncOptions {
  std::string directory, url, name, state_root, staging_root, marks = "auto", adopt;
  std::vector<std::string> lower;
  std::uint64_t part_size_bytes = 64ull << 20;
  std::uint64_t spool_limit_bytes = 256ull << 20;
  int uploads = 4, level = 3;
  bool databases_as_files = false, accept_hidden_attributes = false, json = false;
};
void add_sync_options(CLI::App& command, SyncOptions& options);
LayerSyncOptions sync_options_of(const SyncOptions& options);

// A directory that is synced: its store, and the manager of its local state. Not copied, since the manager keeps
// references.
struct SyncedContainer {
  LayerStore at;
  std::unique_ptr<LayerManager> manager;
};
// The manager has the container registered.
std::optional<Failure> open_container(const SyncOptions& options, SyncedContainer& container);

// How a container is watched: every sync is told, and every trouble. All of them outlive what is returned.
LayerWatchOptions watch_options_of(const SyncOptions& options, SyncedContainer& container, const Log& log);

Json snapshot_json(const LayerSnapshot& snapshot);
// "sync 5 (increment): 12 entries, 3.2 MiB"
std::string snapshot_text(const LayerSnapshot& snapshot);
// The line, and the JSON, of something that was published; nothing: nothing had changed.
void print_sync(const SyncOptions& options, const Store& store, const std::optional<LayerSnapshot>& snapshot,
                const Json& store_spending);

}  // namespace cairn::cli
