// One call at a time works with the state (a lock, so that it may come from any thread); what only tells of it reads
// through a connection of its own, and waits for nobody.
#include "layer/manager.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "base/mutex.h"
#include "base/os.h"
#include "base/utf8.h"
#include "cairn/machine.h"
#include "layer/heads.h"
#include "layer/refill.h"
#include "layer/restore.h"
#include "layer/state.h"
#include "layer/sync_run.h"

namespace cairn::layer {
namespace {

Error not_registered(std::string_view name) {
  return Error(ErrorKind::not_found, fmt::format("{} is not registered in this state directory: name its directory "
                                                 "first (register)", name));
}

bool same_path(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return std::filesystem::weakly_canonical(a, ignored) == std::filesystem::weakly_canonical(b, ignored);
}

Result<std::unique_ptr<FileLock>> lock_file(FileSystem& files, const std::string& path, const std::string& of) {
  CAIRN_TRY(files.make_directories(parent_directory(path)));
  auto lock = files.lock(path);
  if (lock || lock.error().kind() != ErrorKind::busy) return lock;
  return Error(ErrorKind::busy, of + " is in use by another process: stop that one, or name another one here");
}

class Manager final : public LayerManager {
 public:
  Manager(Store& store, Machine& machine, LayerOptions options, Hook hook)
      : store_(store),
        machine_(machine),
        options_(with_places(std::move(options))),
        hook_(std::move(hook)),
        transfers_(make_thread_pool(options_.concurrent_uploads)) {}

  Result<void> open();

  Result<void> register_container(std::string_view name, const std::string& directory) override;
  Result<bool> check_for_changes(std::string_view name, const LayerSyncOptions& options) override;
  Result<std::optional<LayerSnapshot>> sync_layer(std::string_view name, const LayerSyncOptions& options) override;
  Result<LayerRestoreResult> restore_layer(std::string_view name, const std::string& target,
                                           const LayerRestoreOptions& options) override;
  Result<std::vector<LayerSyncState>> list_containers() override;
  Result<LayerSyncState> sync_state(std::string_view name) override;
  LayerOptions options() const override { return options_; }

 private:
  const std::string& path() const { return options_.state_database; }
  Result<SyncRun> prepare(std::string_view name, const LayerSyncOptions& options) REQUIRES(mutex_);
  Result<LayerSyncState> describe(State& state, const Container& container) const;
  Result<LayerRestoreResult> restore_and_record(std::string_view name, const std::string& target,
                                                const LayerRestoreOptions& options, const RestoreMachine& machine,
                                                std::optional<Container> container) REQUIRES(mutex_);

  Store& store_;
  Machine& machine_;
  const LayerOptions options_;
  const Hook hook_;
  const std::unique_ptr<Executor> transfers_;
  std::unique_ptr<FileLock> lock_, staging_lock_;
  Mutex mutex_;
  std::unique_ptr<State> state_ GUARDED_BY(mutex_);
};

Result<void> Manager::open() {
  const auto& [directory, staging, database] =
      std::tie(options_.state_directory, options_.staging_directory, options_.state_database);
  if (staging.empty() || database.empty()) {
    return Error(ErrorKind::invalid, "a state directory has to be named, or a staging directory and a state database");
  }
  FileSystem& files = machine_.files();
  const bool is_usual = !directory.empty() && database == join_path(directory, "state.db");
  CAIRN_ASSIGN(lock_, is_usual ? lock_file(files, join_path(directory, "lock"), directory)
                               : lock_file(files, database + ".lock", database));
  // Parts are named by numbers of the database, so another one's must not lie beside them.
  if (directory.empty() || staging != join_path(directory, "spool")) {
    CAIRN_ASSIGN(staging_lock_, lock_file(files, join_path(staging, "lock"), staging));
  }
  MutexLock hold(mutex_);
  auto state = State::open(path(), machine_.random());
  if (!state && state.error().kind() == ErrorKind::corrupt) {
    return state.error().with(path() + " is damaged: remove it, and the next sync compares every file with the store");
  }
  if (!state) return state.error();
  state_ = std::move(*state);
  return {};
}

Result<void> Manager::register_container(std::string_view name, const std::string& directory) {
  if (name.empty() || !is_utf8(name)) return Error(ErrorKind::invalid, "a container needs a name, in UTF-8");
  struct stat status{};
  if (::stat(directory.c_str(), &status) != 0) {
    const Error error = os_error(errno, directory);
    return error.kind() == ErrorKind::not_found ? error.as(ErrorKind::invalid) : error;
  }
  if (!S_ISDIR(status.st_mode)) return Error(ErrorKind::invalid, directory + " is no directory");
  CAIRN_TRY(check_layer_places(directory, store_.url(), options_));
  MutexLock hold(mutex_);
  CAIRN_ASSIGN(auto found, state_->find(name));
  Container container = found ? std::move(*found) : Container();
  if (!found) container.store_url = store_.url();
  container.name = name;
  container.directory = directory;
  container.registered = true;
  return state_->put(container);
}

Result<SyncRun> Manager::prepare(std::string_view name, const LayerSyncOptions& options) {
  CAIRN_ASSIGN(auto container, state_->find(name));
  if (!container || !container->registered) return not_registered(name);
  CAIRN_TRY(check_layer_places(container->directory, store_.url(), options_));
  return SyncRun({.store = store_,
                  .state = *state_,
                  .files = machine_.files(),
                  .clock = machine_.clock(),
                  .random = machine_.random(),
                  .executor = machine_.executor(),
                  .transfers = *transfers_,
                  .options = options_,
                  .sync = options,
                  .hook = hook_},
                 std::move(*container));
}

Result<bool> Manager::check_for_changes(std::string_view name, const LayerSyncOptions& options) {
  MutexLock hold(mutex_);
  CAIRN_ASSIGN(SyncRun run, prepare(name, options));
  return run.look();
}

Result<std::optional<LayerSnapshot>> Manager::sync_layer(std::string_view name, const LayerSyncOptions& options) {
  MutexLock hold(mutex_);
  CAIRN_ASSIGN(SyncRun run, prepare(name, options));
  auto synced = run.run();
  state_->roll_back();  // what a failed one has left open
  if (!synced) return synced.error().with(fmt::format("sync {}", name));
  return synced;
}

Result<LayerSyncState> Manager::describe(State& state, const Container& container) const {
  LayerSyncState told;
  told.name = container.name;
  told.directory = container.directory;
  if (container.head) {
    told.lineage = container.head->lineage.hex();
    told.sequence = container.head->sequence;
    told.digest = container.head->digest;
    told.last_sync_ms = container.head->time_ms;
  }
  CAIRN_ASSIGN(const auto pending, state.pending(container.id));
  told.upload_pending = pending.has_value();
  CAIRN_ASSIGN(const auto parts, state.parts(container.id));
  for (const JournaledPart& part : parts) {
    if (part.is_acknowledged()) ++told.pending_parts_done;
    else told.pending_bytes += part.size_bytes;
  }
  return told;
}

Result<std::vector<LayerSyncState>> Manager::list_containers() {
  CAIRN_ASSIGN(const auto state, State::open_beside(path()));
  CAIRN_ASSIGN(const auto containers, state->containers());
  std::vector<LayerSyncState> all;
  for (const Container& container : containers) {
    if (!container.registered) continue;
    CAIRN_ASSIGN(LayerSyncState told, describe(*state, container));
    all.push_back(std::move(told));
  }
  return all;
}

Result<LayerSyncState> Manager::sync_state(std::string_view name) {
  CAIRN_ASSIGN(const auto state, State::open_beside(path()));
  CAIRN_ASSIGN(const auto container, state->find(name));
  if (!container || !container->registered) return not_registered(name);
  return describe(*state, *container);
}

Result<LayerRestoreResult> Manager::restore_layer(std::string_view name, const std::string& target,
                                                  const LayerRestoreOptions& options) {
  const RestoreMachine machine{machine_.executor(), *transfers_, machine_.random(),
                               {options_.state_database, options_.staging_directory}};
  MutexLock hold(mutex_);
  CAIRN_ASSIGN(auto container, state_->find(name));
  const bool is_whole = options.form == LayerForm::upper && !options.path && !options.dry_run;
  bool is_watched = false;  // what is known of another directory stays
  if (container) {
    CAIRN_ASSIGN(const auto pending, state_->pending(container->id));
    is_watched = pending || (container->registered && !same_path(container->directory, target));
  }
  if (!is_whole || is_watched) {
    CAIRN_ASSIGN(RestoredSync restored, layer::restore_layer(store_, name, target, options, machine));
    return std::move(restored.result);
  }
  auto restored = restore_and_record(name, target, options, machine, container);
  state_->roll_back();
  return restored;
}

// The catalogue is filled while files are restored, in a transaction that counts only when they are the head's.
Result<LayerRestoreResult> Manager::restore_and_record(std::string_view name, const std::string& target,
                                                       const LayerRestoreOptions& options,
                                                       const RestoreMachine& machine,
                                                       std::optional<Container> container) {
  CAIRN_TRY(state_->begin());
  if (!container) {
    Container made;
    made.name = name;
    made.registered = false;
    CAIRN_TRY(state_->put(made));
    CAIRN_ASSIGN(container, state_->find(name));
  }
  Catalogue catalogue(state_->database(), container->id);
  CAIRN_ASSIGN(const auto refill, CatalogueRefill::begin(catalogue));
  std::int64_t last_ms = 0;
  const auto on_restored = [&](const MergedEntry& merged, const LayerReader& reader,
                               const struct ::statx& status) -> Result<void> {
    last_ms = machine_.clock().now().wall_ms;
    const IndexedEntry& indexed = merged.indexed;
    CAIRN_TRY(refill->add(indexed.entry, indexed.content_hash, indexed.contents, stamp_of(status), last_ms));
    const std::vector<Block> blocks = blocks_in(reader, indexed);
    return blocks.empty() ? Result<void>() : refill->add_blocks(indexed.entry.path, reader.key(), blocks);
  };
  CAIRN_ASSIGN(RestoredSync restored, layer::restore_layer(store_, name, target, options, machine, on_restored));
  if (!restored.is_head) return std::move(restored.result);
  CAIRN_TRY(refill->untouched_until(last_ms));
  container->directory = target;
  container->store_url = store_.url();
  container->head = head_of(restored.stored.manifest);
  CAIRN_TRY(state_->put(*container));
  CAIRN_TRY(state_->commit());
  return std::move(restored.result);
}

}  // namespace

LayerOptions with_places(LayerOptions options) {
  if (options.state_directory.empty()) return options;
  if (options.staging_directory.empty()) options.staging_directory = join_path(options.state_directory, "spool");
  if (options.state_database.empty()) options.state_database = join_path(options.state_directory, "state.db");
  return options;
}

Result<std::unique_ptr<LayerManager>> open_manager(Store& store, Machine& machine, LayerOptions options, Hook hook) {
  auto manager = std::make_unique<Manager>(store, machine, std::move(options), std::move(hook));
  CAIRN_TRY(manager->open());
  return std::unique_ptr<LayerManager>(std::move(manager));
}

}  // namespace cairn::layer

namespace cairn {

Result<std::unique_ptr<LayerManager>> LayerManager::open(Store& store, Machine& machine, LayerOptions options) {
  return layer::open_manager(store, machine, std::move(options), {});
}

}  // namespace cairn
