// A live SQLite database that somebody else writes to, and the two holds that keep its WAL from being overwritten
// before its frames are captured. docs/sqlite.md, "The holds", says why each step is safe.
//
//   pin    a read transaction of ours with a read mark k >= 1: nobody can restart the WAL, and nobody backfills past k.
//   floor  WAL_READ_LOCK(0), taken when every frame is captured and backfilled: nobody can backfill anything. A writer
//          may restart the WAL once; after that nothing is backfilled, so it cannot be restarted again.
//
// Nothing here writes to the database. Three connections: `locks_` never runs SQL after opening and carries the locks
// that we take by hand (of them the gate, the write lock, for a moment when the WAL is rolled over); two take turns as
// pins.
//
// Errors: busy (someone is in the way for a moment: try again), not_found (no such file, or an empty one), invalid (not
// a database, or encrypted), unsupported (rollback mode and no leave to change it), denied, io, corrupt. Once the -shm
// was cut under it (base/cut_mappings.h) there is nothing but io, until it is opened anew.
// One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"
#include "wal/wal.h"

struct sqlite3;
struct sqlite3_file;
struct sqlite3_stmt;

namespace cairn::sqlite {

enum class WalSwitch { allow, refuse };       // may journal_mode be changed to WAL?
// in_place: see in_place.h. A database in rollback mode is refused before SQLite could roll anything back.
enum class Reach { by_path, in_place };
enum class Access { read_write, read_only };  // read_only: no write lock, no checkpoints of ours
enum class Hold { none, pin, floor };
enum class Checkpoint { passive, truncate };
enum class CloseMode {
  tidy,     // like any application: whoever closes last checkpoints and deletes the WAL
  abandon,  // leave the WAL as it is (the process is dying, or the file has been replaced)
};

struct Identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const Identity&) const = default;
};

// The file that `path` leads to now. not_found: none.
Result<Identity> identify(const std::string& path);

// SQLite's version, 3040001 for 3.40.1: of the library this program runs with.
std::uint32_t library_version();

// For a whole process, before it uses SQLite: nobody asks how much memory that has. Counting takes a lock that all
// connections share, at each allocation.
void leave_memory_uncounted();

struct LockTable;

class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const std::string& path, WalSwitch wal_switch,
                                                Reach reach = Reach::by_path);
  ~Database();  // abandons, unless closed
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void close(CloseMode mode);

  const std::string& path() const { return path_; }  // as given
  Access access() const { return access_; }
  Identity identity() const { return identity_; }
  // Whether path(), and the -wal and -shm beside it, still lead to the files that were opened. Somebody who puts
  // another database there may well keep the inode of the database file and only remove the other two.
  bool is_in_place();
  // When the database file was written last, by a look at it; 0: unknown.
  std::int64_t modified_ns();
  // The same as the newest of these two looks found it: where an older time may only be too careful.
  std::int64_t last_modified_ns() const { return modified_ns_; }
  const wal::DatabaseHeader& header_at_open() const { return header_; }

  // The WAL-index as it is now. No system call. busy: no consistent copy for some tries (a writer died, recovery due).
  Result<wal::IndexHeader> look();
  // It was exchanged for memory that nobody else writes to: nothing that it says is to be believed.
  bool index_is_cut();

  Hold hold() const { return hold_; }

  // From none: takes a floor if the WAL is empty or fully backfilled, else a pin. busy: also while anybody checkpoints.
  Result<void> take_hold();

  // From a pin to a pin on the newest commit; from a floor to a pin, if there are frames to pin and no checkpointer
  // from before a restart can still be at work. False: not possible now, the hold stays what it is.
  // `before_release` runs when the new pin is taken and the old hold not yet given up: nothing past the old pin has
  // been backfilled yet, and the new pin lies at or before the index it is given. Its error cancels the move.
  using BeforeRelease = std::function<Result<void>(const wal::IndexHeader& upto)>;
  // `mono_us` is any clock that does not go back: how long a checkpointer has been seen waiting.
  Result<bool> advance(std::int64_t mono_us, const BeforeRelease& before_release = {});
  // Of a pin: it lies at this frame or later.
  FrameNo pinned_frame() const { return pinned_frame_; }

  // From a pin to a floor, if the WAL ends at `frame` of `salts` (all of it is captured) and is fully backfilled.
  Result<bool> try_floor(wal::Salts salts, FrameNo frame);

  // A FULL, RESTART or TRUNCATE may wait for the pin as it would for an older one, and not go on before that is gone:
  // it was at work when the pin was taken, and by `index`, the newest look, it has not gone on since.
  bool pin_may_be_waited_for_in_vain(const wal::IndexHeader& index);
  // The first of these, when the pin was taken.
  bool pin_came_beside_checkpointer() const { return came_beside_checkpointer_; }
  // Gives up the pin for a hold that lets nobody backfill anything, until advance() has a pin again. False: not
  // possible now, the pin stays. Others who checkpoint wait for it: for milliseconds only.
  Result<bool> step_aside();
  bool is_aside() const { return aside_; }

  // The write lock, if it is free within some microseconds; nothing can be committed until release_gate(). Nothing is
  // written.
  Result<bool> try_gate();
  void release_gate();
  bool gate_held() const { return gate_held_; }

  // A checkpoint that never waits. False: someone was in the way. Needs a connection without a transaction of ours, so
  // the caller holds at most one pin.
  Result<bool> checkpoint(Checkpoint mode);

  // What checkpoints have written so far survives a power loss. They sync it themselves only when they reach the newest
  // commit: what is synced before need not be waited for then.
  Result<void> sync_database();

  // Keeps every other checkpointer out (theirs answer SQLITE_BUSY at once, so: for milliseconds only). False: one is
  // at work. Getting it shows that none with an older header is left.
  bool try_checkpoint_lock();
  void release_checkpoint_lock();
  // Whether somebody else is checkpointing (or waits for us in the middle of it).
  bool checkpointer_at_work();
  // Whether it is seen that it is a FULL, RESTART or TRUNCATE: one process holds the write lock, too.
  bool checkpointer_keeps_writers_waiting();

  // Raw bytes. Fewer than asked for: the rest is zeros, and the return value says how many were read.
  Result<std::size_t> read_wal(std::uint64_t offset, std::span<std::byte> into);
  Result<std::size_t> read_database(std::uint64_t offset, std::span<std::byte> into);
  Result<std::uint64_t> size_bytes();
  Result<std::uint64_t> wal_size_bytes();
  // Whether the WAL has more than the newest commit that `index` tells of: a frame behind it, or the beginning of
  // another WAL. Of a transaction that is being written, or was rolled back. What is written later is not in it, nor
  // what was begun anew since a look by which not all of it was in the database file.
  Result<bool> has_more_than(const wal::IndexHeader& index);

 private:
  Database() = default;
  Result<void> open_connections(WalSwitch wal_switch, Reach reach);
  Result<void> read_header();
  Result<void> ensure_wal_mode(WalSwitch wal_switch);
  Result<wal::IndexHeader> look_at_index();
  Error cut_failure() const;
  // A connection whose read transaction is a statement that has begun: as long as it has not ended, it stays.
  struct Pin {
    sqlite3* connection = nullptr;
    sqlite3_stmt* read = nullptr;
    int begin();  // an SQLite code; the first read takes the read mark
    bool has_begun() const;
    void end();
  };
  Result<bool> open_pin(Pin& pin);
  Result<void> take_hold_alone();
  void end_hold();
  bool checkpoint_lock_is_free();
  bool restart_is_proven(const wal::IndexHeader& now, std::int64_t mono_us);
  bool blocked_checkpointer_is_fresh(const wal::IndexHeader& now, std::int64_t mono_us);
  bool lock_floor();
  void unlock_floor();
  Pin& free_pin() { return pins_[1 - current_pin_]; }
  LockTable locks();
  std::optional<LockTable> exact_locks();  // nothing: the kernel does not answer
  bool checkpoint_may_wait_for_new_pin();
  Error failure(sqlite3* connection, int code, const char* what) const;

  std::string path_;
  std::string path_of_database_;  // the file itself, links resolved
  Identity identity_;
  std::int64_t modified_ns_ = 0;
  Identity wal_identity_, shm_identity_;  // zero: there was none
  Access access_ = Access::read_write;
  wal::DatabaseHeader header_;

  sqlite3* locks_ = nullptr;
  Pin pins_[2];
  sqlite3_file* file_ = nullptr;  // of locks_: locks, shared memory, database bytes
  sqlite3_file* wal_ = nullptr;   // of locks_

  Hold hold_ = Hold::none;
  int current_pin_ = 0;           // index of the connection that is the pin, when there is one
  FrameNo pinned_frame_;
  std::int64_t blocked_since_us_ = -1;  // since when a checkpointer with the write lock is seen waiting
  wal::IndexHeader blocked_at_;
  bool aside_ = false;                   // the pin's read transaction has ended, and the lock of a floor is held
  bool came_beside_checkpointer_ = false;  // the pin
  std::optional<int> shm_descriptor_;      // SQLite's, once it was looked for; below 0: not found
  int descriptor_hint_ = -1;
  bool gate_held_ = false;
  bool checkpoint_lock_held_ = false;
  int failed_looks_ = 0;
  std::uint64_t shm_cuts_seen_ = 0;
  bool index_is_cut_ = false;
  wal::IndexHeader floor_at_;     // the index when the floor was taken
  bool floor_proven_ = false;     // the one restart has happened, and no checkpointer from before it is left
};

}  // namespace cairn::sqlite
