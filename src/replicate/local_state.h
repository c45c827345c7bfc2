// What this machine remembers of one replica: who it is, how far it has captured and published, and where in the WAL
// that was. Losing it costs a reconcile, never data; believing it wrongly could cost data, so everything in it is
// checked against the store and the database before it is used.
//
// Kept in the file `position`: slots, each with a generation and a checksum. The newest whole slot counts. Synced
// writes take turns in the first two, all others in the second two: a power loss never garbles the last synced one, nor
// a kill the last one.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/files.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "cairn/error.h"
#include "replicate/rest.h"
#include "segment/format.h"
#include "sqlite/database.h"
#include "wal/wal.h"

namespace cairn::replicate {

// A place in a WAL: behind `frame` of the WAL with these salts, where the running checksum is `sum`. Frame 0: at its
// start, whatever the salts say.
struct WalPosition {
  wal::Salts salts;
  FrameNo frame;
  wal::Checksum sum;
  bool operator==(const WalPosition&) const = default;
};

struct LocalRecord {
  Id128 lineage;  // zero: nothing has been begun
  Id128 writer;   // this state directory

  // The newest segment known to be in the store, and the state after it.
  Sequence published;
  std::uint64_t published_hash = 0;
  // The segment whose put may have been begun: written before the put, so that after a crash nothing but this segment
  // can be in the store beyond `published` without being somebody else's. Synced, too, unless it is ours by its time.
  Sequence intent;
  std::uint64_t intent_hash = 0;

  // The newest captured state (in the store, or in the spool), and the place in the WAL that it corresponds to.
  Sequence captured;
  std::uint64_t captured_hash = 0;
  std::uint32_t page_size = 0;
  std::uint32_t page_count = 0;
  WalPosition position;
  sqlite::Identity database;
  std::int64_t database_modified_ns = 0;  // when the file was written last: a copy put in its place shows
  bool has_position = false;

  // The database on this machine is known to continue this history: it began it, or it was found equal to its head, or
  // a person adopted it.
  bool proven = false;

  std::int64_t begun_ms = 0;  // of a replica that was begun here: what the claim says, and names the first snapshot

  // Of the captured state above; until the next one is.
  bool rests = false;
  RestMark rest;

  // The bundle that ends with a segment whose own object was removed while it was the newest; level 0: there is none.
  // Synced before that, so that the head can be found by keys alone.
  std::int32_t bundle_level = 0;
  Sequence bundle_first, bundle_last;

  // How many snapshots may still take ranges from the one before; 0: the next one is sent whole.
  std::uint32_t copies_left = 0;
  bool copies_refused = false;  // the store does not make objects of them

  // From this state on nothing can be restored before a snapshot of it, of a later one or of the one before it is sent
  // whole; 0: all can.
  Sequence unreachable_from;

  // Segments of this writer, of commits up to this time and kIntentAhead_ms before it, may have been put without a
  // synced intent each: a power loss may take the newest notes, and leaves these. 0: none.
  // The second: the machine's boot that they were put in; as long as it runs, no note is lost.
  std::int64_t intent_until_ms = 0;
  Id128 intent_boot;

  bool operator==(const LocalRecord&) const = default;
};

inline constexpr std::int64_t kIntentAhead_ms = 10'000;
// Whether intent_until_ms speaks of a segment whose newest commit is of this time.
bool is_intended_at(const LocalRecord& record, std::int64_t time_ms);
// Whether the newest object of a replica is the one that was to be put next.
bool is_intent(const LocalRecord& record, const segment::Footer& head);
// Whether it may be one of those that were put since the last note that a power loss has left. `boot`: of now.
bool is_intended_by_time(const LocalRecord& record, const segment::Footer& head, const Id128& boot);

enum class Sync { no, yes };

// Safe from many threads.
class LocalState {
 public:
  static Result<std::unique_ptr<LocalState>> open(FileSystem& files, const std::string& directory);

  // A look from outside, while nobody writes it. Nothing there: an empty one.
  static Result<LocalRecord> read_record(FileSystem& files, const std::string& directory);

  LocalRecord record() const EXCLUDES(mutex_);

  // Changes the record and writes it; with Sync::yes it survives a power loss once this returns.
  template <class Change>
  Result<void> update(Sync sync, Change change) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    change(record_);
    is_noted_only_ = true;
    return write(sync);
  }

  // Two notes that the file may get later: with the next that is written, or by write_down(). What is captured, where
  // the intent to put it is still to come: until then a next process finds what was captured before, which is in the
  // WAL still. What is published, unless `at_once`: until then the intent says that it may be.
  template <class Change>
  Result<void> note_captured(Change change) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    change(record_);
    return note(record_.captured > record_.intent);
  }
  Result<void> note_published(Sequence sequence, std::uint64_t hash, bool at_once) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    record_.published = sequence;
    record_.published_hash = hash;
    return note(!at_once);
  }
  bool is_written_down() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return !is_noted_only_;
  }
  Result<void> write_down() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return is_noted_only_ ? write(Sync::no) : Result<void>();
  }

 private:
  explicit LocalState(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<void> read();
  Result<void> write(Sync sync) REQUIRES(mutex_);
  Result<void> note(bool later) REQUIRES(mutex_) {
    is_noted_only_ = true;
    return later ? Result<void>() : write(Sync::no);
  }

  std::unique_ptr<File> file_;
  mutable Mutex mutex_;
  LocalRecord record_ GUARDED_BY(mutex_);
  std::uint64_t generation_ GUARDED_BY(mutex_) = 0;
  std::array<std::size_t, 2> next_slots_ GUARDED_BY(mutex_){};  // of what is synced, and of what is not
  bool is_noted_only_ GUARDED_BY(mutex_) = false;  // the file has not all of it yet
};

}  // namespace cairn::replicate
