// What is published and stays on the local disk until it has become part of a merged object, and merged objects until
// they have become part of a wider one. So merging reads nothing from the store.
//
// Files <level>/<first>-<last>.kept in the folder `kept` of the state directory. Nothing is synced: all of it is in the
// store, and what a power loss takes or garbles is simply not merged. Bounded in bytes: what finds no room goes. What
// was put from memory stays there until it is merged, as far as a MemoryShare goes: a kill takes that from the merged
// objects too, if it is not in the log. What came from a front file is: a store that counts requests is not to have one
// object more for each of them for good.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "cairn/replicator.h"
#include "replicate/held_files.h"
#include "replicate/memory_share.h"
#include "replicate/spool.h"
#include "segment/format.h"

namespace cairn::replicate {

struct KeptObject {
  int level = 0;  // in its key
  Sequence first, last;
  std::uint64_t size_bytes = 0;
  std::int64_t time_ms = 0;  // of its newest commit
  std::uint64_t hash_before = 0, hash_after = 0;
  std::uint32_t page_size = 0;
  std::int64_t since_us = 0;  // when it was seen here first
  std::string etag{};         // what the store called it; empty: not known (an earlier process put it)
  std::shared_ptr<const Bytes> bytes{};  // all of it, and there is no file of it; null: it is in the file
  std::optional<std::size_t> stretch{};  // of the log that has it, too
};

KeptObject describe_kept(const segment::Footer& footer, int level, std::uint64_t size_bytes);

// Safe from many threads: one publishes, one merges.
class Kept {
 public:
  // Both must outlive it.
  Kept(FileSystem& files, const ReplicatorOptions& options);

  // Makes the folder; without levels it is emptied, too. What an earlier process has left in the log gets files.
  Result<void> open();

  // Whoever publishes. Takes over a published segment, or removes its file.
  void take(const SpooledSegment& segment, std::string etag) EXCLUDES(mutex_);
  // The history goes on from somewhere else than here: what is kept is let go of. `fence` is the first sequence that
  // this state directory will publish (Levels says what for); it survives a power loss once this returns. What is to be
  // removed from the store is forgotten, unless it is the same history that goes on.
  enum class History { another, same };
  Result<void> begin_anew(Sequence fence, History history) EXCLUDES(mutex_);
  // Before another process may have the state directory.
  void leave() EXCLUDES(mutex_);

  // Whoever merges. What an earlier process has left of this history, ascending, without what was taken since; the rest
  // is removed.
  Result<std::vector<KeptObject>> load(const Id128& lineage, Sequence published) EXCLUDES(mutex_);
  // What was taken since this was called last, ascending.
  std::vector<KeptObject> taken() EXCLUDES(mutex_);
  Sequence fence() const EXCLUDES(mutex_);
  std::string partial_path() const { return join_path(directory_, "partial"); }
  std::string merging_path() const { return join_path(directory_, "merging"); }  // a scratch file's, for a moment
  std::string removals_path() const { return join_path(directory_, "removals"); }
  std::string log_path() const { return join_path(directory_, "log"); }
  // What it holds: from memory, or from its file.
  Result<std::unique_ptr<Source>> open(const KeptObject& object) const;
  // The same of a merged one that is not added yet: its file is the partial one.
  Result<std::unique_ptr<Source>> open_merged(const KeptObject& object) const;
  std::string name_of(const KeptObject& object) const;  // for messages
  // What is in memory gets its file, or the partial file becomes it.
  Result<void> add_merged(KeptObject& object) EXCLUDES(mutex_);
  // What is in memory gets its file: nothing merges it soon.
  Result<void> write_down(KeptObject& object) EXCLUDES(mutex_);
  void let_go(const KeptObject& object) EXCLUDES(mutex_);
  std::uint64_t size_bytes() const EXCLUDES(mutex_);

 private:
  std::string path_of(const KeptObject& object) const;
  Result<std::unique_ptr<Source>> open_file(const KeptObject& object, const std::string& path) const;
  std::string folder_of(int level) const { return join_path(directory_, std::to_string(level)); }
  Result<void> empty_levels();
  void give_files_to_logged();
  void give_up_merged(const std::vector<KeptObject>& kept) EXCLUDES(mutex_);
  bool has_levels() const { return !options_.level_windows_ms.empty(); }
  std::string fence_path() const { return join_path(directory_, "fence"); }

  FileSystem& files_;
  const ReplicatorOptions& options_;
  const std::string directory_;
  mutable Mutex mutex_;
  std::vector<KeptObject> taken_ GUARDED_BY(mutex_);
  std::uint64_t size_bytes_ GUARDED_BY(mutex_) = 0;
  MemoryShare in_memory_ GUARDED_BY(mutex_);
  KeptLog log_ GUARDED_BY(mutex_);
  Sequence fence_ GUARDED_BY(mutex_);
};

}  // namespace cairn::replicate
