// The order keeps the database whole at every moment. First the old file and its WAL (which may hold commits that the
// file does not) get second names; then the restore renames the new file over the first name and removes the WAL
// beside it. Local state is put aside meanwhile and then removed: what it says is about the old history, and so are the
// segments in its spool, whose commits are all in the files that are kept. Losing it in a crash costs a comparison with
// the replica, no more.
#include "cli/adopt.h"

#include <fmt/format.h>

#include <filesystem>
#include <vector>

#include "cairn/replicator.h"
#include "cairn/restore.h"
#include "cli/progress.h"
#include "cli/reading.h"

namespace cairn::cli {

namespace {

// busy when another process works with this state directory. It is made when absent.
Result<void> check_nobody_replicates(const AdoptRemote& adopt) {
  ReplicatorOptions options;
  options.database = adopt.database;
  options.state_directory = adopt.state_directory;
  System& system = adopt.system;
  CAIRN_ASSIGN(const std::unique_ptr<Replicator> replicator,
               Replicator::open(adopt.store, *system.files, *system.executor, system.random, options));
  replicator->close(StopMode::tidy);
  return {};
}

// Whether the database is still the file that keep() gave a second name to, or is missing because it was moved there.
bool is_untouched(FileSystem& files, const std::string& database, const std::string& kept) {
  const auto now = files.info(database);
  const auto old = files.info(kept);
  return !now || (old && now->device == old->device && now->inode == old->inode);
}

// Puts back what keep() gave second names to. A restore that failed after its rename has replaced the database: then
// the old one stays where it is kept.
void put_back(FileSystem& files, const std::string& database, const std::string& kept) {
  if (!is_untouched(files, database, kept)) return;
  for (const char* suffix : {"", "-wal"}) {
    // Where there are no hard links, the second name is the only one.
    const bool moved = !files.info(database + suffix) && files.info(kept + suffix);
    if (moved) {
      (void)files.rename(kept + suffix, database + suffix);
    } else {
      (void)files.remove(kept + suffix);
    }
  }
}

// Second names for the database and its WAL, both or none. False: there is no database.
Result<bool> keep(FileSystem& files, const std::string& database, const std::string& kept) {
  bool found = false;
  for (const std::string suffix : {"", "-wal"}) {
    const Result<void> linked = files.link_new(database + suffix, kept + suffix);
    if (linked) {
      found |= suffix.empty();
    } else if (linked.error().kind() != ErrorKind::not_found) {
      put_back(files, database, kept);
      return linked.error();
    }
  }
  return found;
}

// From here on a power loss neither takes the old database's other name nor brings the old state back under its own.
Result<void> set_aside(const AdoptRemote& adopt, const std::string& state_aside) {
  FileSystem& files = *adopt.system.files;
  CAIRN_TRY(files.sync_directory(parent_directory(adopt.database)));
  CAIRN_TRY(files.rename(adopt.state_directory, state_aside));
  return files.sync_directory(parent_directory(adopt.state_directory));
}

Result<RestoreResult> restore_over(const AdoptRemote& adopt) {
  RestoreOptions options;
  options.overwrite = Overwrite::replace;
  options.base = Base::existing;  // what is the same already need not be fetched
  ProgressBar bar("restoring", ProgressBar::Unit::bytes);
  options.progress = [&](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
  return run_restore(adopt.store, "", adopt.database, options, *adopt.system.files,
                     adopt.system.readers(adopt.store.url()));
}

}  // namespace

Result<std::string> adopt_remote(const AdoptRemote& adopt) {
  FileSystem& files = *adopt.system.files;
  CAIRN_ASSIGN(const RestorePlan plan, plan_restore(adopt.store, "", {}));
  CAIRN_TRY(check_nobody_replicates(adopt));

  const std::string suffix = ".before-adopt-" + format_compact_time(adopt.system.clock.now().wall_ms);
  const std::string kept = adopt.database + suffix;
  const std::string state_aside = adopt.state_directory + suffix;
  CAIRN_ASSIGN(const bool found, keep(files, adopt.database, kept));
  const Result<void> aside = set_aside(adopt, state_aside);
  const Result<RestoreResult> restored = aside ? restore_over(adopt) : Result<RestoreResult>(aside.error());
  if (!restored) {
    (void)files.rename(state_aside, adopt.state_directory);
    put_back(files, adopt.database, kept);
    return restored.error();
  }
  std::error_code ignored;  // a folder too many does no harm
  std::filesystem::remove_all(state_aside, ignored);
  warn_of(restored->plan.damaged);
  return fmt::format("{} now is sequence {} of the replica; {}", adopt.database, restored->plan.point.sequence,
                     found ? "the old database is kept as " + kept : "there was no database before");
}

}  // namespace cairn::cli
