// Segments that are captured and not yet published: files <sequence>.wal.zst in the state directory, in order. They
// survive a killed process as they are; make_durable() makes them survive a power loss. A small one that waits for
// nothing is put from memory and gets no file of its own (SmallFront), if what a kill then costs is little: at most a
// comparison of that database.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/files.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/scratch_list.h"
#include "cairn/shared_spool.h"
#include "replicate/file_sink.h"
#include "replicate/held_files.h"
#include "segment/format.h"

namespace cairn::replicate {

struct SpooledSegment {
  Sequence sequence;
  std::string path;
  std::uint64_t size_bytes = 0, file_hash = 0;
  std::shared_ptr<const Bytes> bytes;  // all of it, while it is likely to be wanted; null: look into the file
  bool has_file = true;                // no: it is in memory
  bool in_front_file = false;          // as well
  std::int64_t time_ms = 0;
  std::uint64_t hash_before = 0, hash_after = 0;
  std::uint32_t page_size = 0, page_count = 0;
  std::uint64_t commit_count = 0;
  std::int64_t oldest_ms = 0;  // when the oldest commit in it was seen first; of an earlier process' segment time_ms
};

class Kept;

// Where a small segment is that nothing waits before.
enum class SmallFront {
  own_file,
  memory,      // only: whoever puts it dies before or after the put
  front_file,  // too: the put may take place when its process is gone, and then its bytes have to be known
};

// Safe from many threads: one adds, one publishes.
class Spool {
 public:
  // Reads what an earlier process left. Files that are not whole, or do not follow each other, end the chain: they and
  // all behind them are removed. `kept` gets what has been published.
  // `published`: so much of it certainly is.
  static Result<std::unique_ptr<Spool>> open(FileSystem& files, const std::string& directory, const Id128& lineage,
                                             Sequence published, Kept& kept, SharedSpool* shared);
  ~Spool();

  // What lies there and is not published, by its name or as the front: before it is known what the store holds.
  struct LeftOver {
    std::uint64_t segments = 0, size_bytes = 0;
  };
  static Result<LeftOver> left_over(FileSystem& files, const std::string& directory, Sequence published);

  // From now on, if the database is small as well. At first they have files of their own. Any thread.
  void hold_small_front_in(SmallFront where) { small_front_ = where; }

  // An empty file to write the next segment to, if it is not small; add() takes it over, or give_up() removes it.
  Result<std::unique_ptr<File>> begin();
  void give_up();
  // For lists of pages that are too long for memory, by the thread that adds. Does not outlive the spool.
  ScratchSpace scratch(std::size_t most_in_memory);
  Result<void> add(const segment::Footer& footer, const WrittenFile& written) EXCLUDES(mutex_);

  std::optional<SpooledSegment> front() const EXCLUDES(mutex_);
  std::optional<SpooledSegment> back() const EXCLUDES(mutex_);
  std::deque<SpooledSegment> all() const EXCLUDES(mutex_);
  // Lets go of the front, which has been published, or lies in the store already.
  void pop(std::string etag) EXCLUDES(mutex_);
  // What an earlier process did not let go of, up to `published`, the newest in the store. Kept is only what `newest`,
  // the footer of that one (null: it was not asked for), says was published: a process that dies between putting and
  // letting go leaves it. What lies before it came back with a power loss, and may be of states that were never
  // published: it is no source of merges.
  void pop_published(Sequence published, const segment::Footer* newest) EXCLUDES(mutex_);
  // The front is not published at once: it gets its file, if it has none.
  Result<void> write_front() EXCLUDES(mutex_);
  // The same, and it leaves memory. On an error it stays there.
  Result<void> put_front_aside() EXCLUDES(mutex_);
  // None of them comes back, not even with a power loss, once this returns.
  Result<void> clear() EXCLUDES(mutex_);
  // Before another process may have the state directory.
  void leave() EXCLUDES(mutex_);
  std::size_t count() const EXCLUDES(mutex_);
  std::uint64_t size_bytes() const EXCLUDES(mutex_);

  // By the thread that adds: of what is committed and in no segment yet, when it was seen first (0: there is none), and
  // how many commits have been read. The next segment begins with it.
  void note_waiting(std::int64_t since_ms, std::uint64_t commits) EXCLUDES(mutex_);
  struct Unpublished {
    std::int64_t since_ms = 0;  // 0: none
    std::uint64_t commits = 0;
  };
  Unpublished unpublished() const EXCLUDES(mutex_);

  // No: something was added that a power loss may take, or a kill.
  bool is_durable() const EXCLUDES(mutex_);
  // Everything added so far survives a power loss once this returns. Called by the thread that adds.
  Result<void> make_durable() EXCLUDES(mutex_);

 private:
  Spool(FileSystem& files, std::string directory, Kept& kept, SharedSpool* shared)
      : files_(files),
        directory_(std::move(directory)),
        kept_(kept),
        shared_(shared),
        front_file_(files, front_path(directory_)) {}
  void grow(std::uint64_t size_bytes) REQUIRES(mutex_);
  void shrink(std::uint64_t size_bytes) REQUIRES(mutex_);
  SpooledSegment take_front() REQUIRES(mutex_);
  Result<void> load(const Id128& lineage, Sequence published);
  Result<void> load_front(const Id128& lineage, Sequence published) REQUIRES(mutex_);
  static std::string front_path(const std::string& directory);
  std::string path_of(Sequence sequence) const;
  std::string partial_path() const;

  FileSystem& files_;
  const std::string directory_;
  Kept& kept_;
  SharedSpool* const shared_;
  std::atomic<SmallFront> small_front_ = SmallFront::own_file;
  FrontFile front_file_;  // written by who adds, when there is none; let go of with the lock held, when there is one
  mutable Mutex mutex_;
  std::deque<SpooledSegment> segments_ GUARDED_BY(mutex_);
  std::uint64_t size_bytes_ GUARDED_BY(mutex_) = 0, commits_ GUARDED_BY(mutex_) = 0;
  Unpublished waiting_ GUARDED_BY(mutex_);  // in no segment yet
  Sequence durable_ GUARDED_BY(mutex_);
};

}  // namespace cairn::replicate
