// The holds, as locks. What each lock means and who waits for it is in docs/sqlite.md; in short:
//
// A reader that opens while everything is backfilled gets WAL_READ_LOCK(0) and protects no frame at all; any other
// reader gets a read mark k >= 1. SQLite does not say which of the two it was. So a pin is opened as an ordinary read
// transaction and then proven from the WAL-index: if, after it was opened, still less is backfilled than the WAL had
// frames before, it cannot have been lock 0. And a floor is not a read transaction but lock 0 itself, taken through
// the VFS on a connection that never runs SQL, and then checked under the lock.
//
// The restart that a writer makes under a floor is the moment of the WAL-reset bug: a checkpointer that read the
// header before it could, once lock 0 is free, store a backfill count for frames that no longer exist. Checkpointers
// hold WAL_CKPT_LOCK from before they read the header until they are done, so having had that lock once since the
// restart shows that no such checkpointer is left; only then does a floor become a pin.
#include "sqlite/database.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/check.h"
#include "base/cut_mappings.h"
#include "base/os.h"
#include "fmt/format.h"
#include "sqlite/in_place.h"
#include "sqlite/lock_table.h"
#include "sqlite/write_guard.h"

namespace cairn::sqlite {
namespace {
// Slots of SQLite's WAL locks (wal.c).
constexpr int kWriteLock = 0;
constexpr int kCheckpointLock = 1;
constexpr int kReadLock0 = 3;
constexpr int kIndexPage = 32768;  // bytes of the first piece of the WAL-index
constexpr int kLookTries = 64;
constexpr int kHoldTries = 32, kGateTries = 32;
// Of the header only: the tables of the database, which may be many, are neither read nor remembered.
constexpr const char* kReadSomething = "PRAGMA schema_version";

int lock_shm(sqlite3_file* file, int slot, int flags) { return file->pMethods->xShmLock(file, slot, 1, flags); }

int run(sqlite3* connection, const char* sql) { return sqlite3_exec(connection, sql, nullptr, nullptr, nullptr); }

ErrorKind kind_of_failure(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: return ErrorKind::busy;
    case SQLITE_NOTADB: return ErrorKind::invalid;
    case SQLITE_CORRUPT: return ErrorKind::corrupt;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY: return ErrorKind::denied;
    default: return ErrorKind::io;
  }
}

// The mark that a reader who opens now would get, if it cannot set one itself: all four may be in use by older readers.
FrameNo newest_mark(const wal::IndexHeader& index) {
  FrameNo newest;
  for (std::size_t i = 1; i < index.read_marks.size(); ++i) {
    const FrameNo mark(index.read_marks[i]);
    if (mark <= index.max_frame) newest = std::max(newest, mark);
  }
  return newest;
}

Result<std::string> journal_mode(sqlite3* connection, const char* sql, int& code) {
  sqlite3_stmt* statement = nullptr;
  std::string mode;
  code = sqlite3_prepare_v2(connection, sql, -1, &statement, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    const auto* text = sqlite3_column_text(statement, 0);
    mode = text ? reinterpret_cast<const char*>(text) : "";
    code = SQLITE_OK;
  }
  sqlite3_finalize(statement);
  return mode;
}

}  // namespace

void leave_memory_uncounted() { ::sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }

std::uint32_t library_version() { return static_cast<std::uint32_t>(sqlite3_libversion_number()); }

Error Database::failure(sqlite3* connection, int code, const char* what) const {
  const int extended = connection ? sqlite3_extended_errcode(connection) : code;
  const char* said = connection && extended != SQLITE_OK ? sqlite3_errmsg(connection) : sqlite3_errstr(code);
  if ((code & 0xff) == SQLITE_NOTADB) {
    return Error(ErrorKind::invalid, fmt::format("{} is not a SQLite database, or it is encrypted", path_));
  }
  return Error(kind_of_failure(code), fmt::format("{}: {}: {} (SQLite code {})", path_, what, said, code));
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path, WalSwitch wal_switch, Reach reach) {
  std::unique_ptr<Database> db(new Database);
  db->path_ = path;
  CAIRN_ASSIGN(db->identity_, identify(path));
  char* real = ::realpath(path.c_str(), nullptr);  // SQLite, too, names the WAL after the file a link leads to
  db->path_of_database_ = real ? real : path;
  std::free(real);
  if (reach == Reach::by_path) CAIRN_TRY(expect_locks_to_be_seen(db->path_of_database_));
  CAIRN_TRY(db->open_connections(wal_switch, reach));
  CAIRN_ASSIGN(const Identity now, identify(path));
  if (now != db->identity_) return Error(ErrorKind::busy, fmt::format("{} was replaced while it was opened", path));
  return db;
}

Result<void> Database::open_connections(WalSwitch wal_switch, Reach reach) {
  const char* const vfs = reach == Reach::in_place ? in_place_vfs() : nullptr;
  sqlite3** const all[] = {&locks_, &pins_[0].connection, &pins_[1].connection};
  descriptor_hint_ = FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)).get();  // what opens next is near it
  for (sqlite3** connection : all) {
    // Without CREATE: a missing file stays missing. SQLite falls back to read-only where the file is write-protected.
    const int code = sqlite3_open_v2(path_.c_str(), connection, SQLITE_OPEN_READWRITE, vfs);
    if (code != SQLITE_OK) {
      Error error = failure(*connection, code, "cannot be opened");
      return code == SQLITE_CANTOPEN ? error.as(ErrorKind::denied) : error;
    }
    sqlite3_db_config(*connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    sqlite3_extended_result_codes(*connection, 1);
    sqlite3_busy_timeout(*connection, 0);
  }
  CAIRN_TRY(read_header());
  if (vfs && !header_.wal_mode) return Error(ErrorKind::unsupported, path_ + " is in rollback mode");
  access_ = sqlite3_db_readonly(locks_, "main") == 1 ? Access::read_only : Access::read_write;
  CAIRN_TRY(ensure_wal_mode(wal_switch));
  for (sqlite3** connection : all) {
    run(*connection, "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=2");
    sqlite3_db_release_memory(*connection);  // 20 pages set aside, 87 KiB, which a cache below three pages does not do
    // One read maps the WAL-index and opens the WAL. A connection that has never read cannot checkpoint.
    const int code = run(*connection, kReadSomething);
    if (code != SQLITE_OK) return failure(*connection, code, "cannot be read");
  }
  sqlite3_file_control(locks_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal_);
  for (const Pin& pin : pins_) guard_writes(pin.connection);
  CAIRN_TRY(look());
  wal_identity_ = identify(path_of_database_ + "-wal").value_or(Identity{});
  shm_identity_ = identify(path_of_database_ + "-shm").value_or(Identity{});
  return {};
}

Result<void> Database::read_header() {
  sqlite3_file_control(locks_, "main", SQLITE_FCNTL_FILE_POINTER, &file_);
  std::byte bytes[100];
  CAIRN_ASSIGN(const std::size_t got, read_database(0, bytes));
  if (got == 0) {
    return Error(ErrorKind::not_found, fmt::format("{} is empty (0 bytes): there is no database in it yet", path_));
  }
  auto header = wal::parse_database_header(ByteView(bytes, got));
  if (!header) {
    return Error(ErrorKind::invalid, fmt::format("{} is not a SQLite database, or it is encrypted", path_));
  }
  header_ = *header;
  return {};
}

Result<void> Database::ensure_wal_mode(WalSwitch wal_switch) {
  int code = SQLITE_OK;
  CAIRN_ASSIGN(std::string mode, journal_mode(locks_, "PRAGMA journal_mode", code));
  if (access_ == Access::read_only && (code & 0xff) == SQLITE_READONLY) {  // its WAL-index is to be made first
    return Error(ErrorKind::denied, path_ + " may not be written, so it can be read only while a program that may has "
                                            "it open: start that, or let Cairn write to the file and its folder");
  }
  if (code != SQLITE_OK) return failure(locks_, code, "cannot be read");
  if (mode == "wal") return {};
  if (wal_switch == WalSwitch::refuse) {
    return Error(ErrorKind::unsupported,
                 fmt::format("{} is in rollback mode (journal_mode={}) and Cairn may not change it: "
                             "run \"PRAGMA journal_mode=WAL\" on it, or leave out --no-wal-switch",
                             path_, mode));
  }
  if (access_ == Access::read_only) {
    return Error(ErrorKind::denied,
                 fmt::format("{} is in rollback mode (journal_mode={}) and may not be written: "
                             "run \"PRAGMA journal_mode=WAL\" on it as its owner",
                             path_, mode));
  }
  CAIRN_ASSIGN(mode, journal_mode(locks_, "PRAGMA journal_mode=WAL", code));
  if (code != SQLITE_OK) return failure(locks_, code, "cannot be changed to WAL mode");
  if (mode != "wal") {
    return Error(ErrorKind::busy, fmt::format("{} stays in journal_mode={}: another program is using it", path_, mode));
  }
  return {};
}

Database::~Database() { close(CloseMode::abandon); }

void Database::close(CloseMode mode) {
  if (!locks_ && !pins_[0].connection && !pins_[1].connection) return;
  if (gate_held_) release_gate();
  if (checkpoint_lock_held_) release_checkpoint_lock();
  end_hold();
  const NoWritesAfterACut guard;
  const bool checkpoints = mode == CloseMode::tidy && pins_[1].connection && !index_is_cut();
  if (checkpoints) sqlite3_db_config(pins_[1].connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  for (Pin& pin : pins_) sqlite3_finalize(std::exchange(pin.read, nullptr));
  sqlite3** const all[] = {&locks_, &pins_[0].connection, &pins_[1].connection};
  for (sqlite3** connection : all) {
    sqlite3_close(*connection);
    *connection = nullptr;
  }
  file_ = wal_ = nullptr;
}

// The exchanged memory goes only when all connections of this process to the database are closed: until then whatever
// SQLite has made of the zeros in it is an index that nobody else writes to.
bool Database::index_is_cut() {
  if (index_is_cut_ || file_ == nullptr) return index_is_cut_;
  if (shm_cut_count() == shm_cuts_seen_) return false;
  volatile void* shared = nullptr;
  (void)file_->pMethods->xShmMap(file_, 0, kIndexPage, 0, &shared);
  index_is_cut_ = shared != nullptr && is_cut_off(shared, shm_cuts_seen_);
  return index_is_cut_;
}

Error Database::cut_failure() const {
  return Error(ErrorKind::io,
               fmt::format("{}-shm was cut while it was read: the database is opened anew. If this comes again, find "
                           "out what truncates that file (SQLite does not while anybody has it open), or whether its "
                           "disk fails or is full", path_));
}

Result<wal::IndexHeader> Database::look() {
  auto seen = look_at_index();
  return index_is_cut() ? cut_failure() : seen;
}

Result<wal::IndexHeader> Database::look_at_index() {
  volatile void* shared = nullptr;
  const int code = file_->pMethods->xShmMap(file_, 0, kIndexPage, 0, &shared);
  if ((code != SQLITE_OK && (code & 0xff) != SQLITE_READONLY) || shared == nullptr) {
    return Error(ErrorKind::busy, fmt::format("{}: the WAL-index cannot be read now (SQLite code {}): is a program "
                                              "that may write to the database running?", path_, code));
  }
  wal::IndexHeader header;
  for (int i = 0; i < kLookTries; ++i) {
    if (wal::read_index(const_cast<const volatile void*>(shared), header) == wal::IndexState::ok) {
      failed_looks_ = 0;
      return header;
    }
  }
  // Whoever was writing it may have died: the next reader repairs it, so let one of ours read.
  constexpr int kRepairAfter = 20;
  if (++failed_looks_ % kRepairAfter == 0 && pins_[0].connection != nullptr && !free_pin().has_begun()) {
    (void)free_pin().begin();
    free_pin().end();
  }
  return Error(ErrorKind::busy, fmt::format("{}: the WAL-index is being written", path_));
}

int Database::Pin::begin() {
  int code = SQLITE_OK;
  if (read == nullptr) {
    code = sqlite3_prepare_v3(connection, kReadSomething, -1, SQLITE_PREPARE_PERSISTENT, &read, nullptr);
  }
  if (code == SQLITE_OK) code = sqlite3_step(read);
  return code == SQLITE_ROW ? SQLITE_OK : code;
}

bool Database::Pin::has_begun() const { return read != nullptr && sqlite3_stmt_busy(read) != 0; }

void Database::Pin::end() { sqlite3_reset(read); }

// A read transaction that is a pin for certain: true. False: it may be lock 0, and was ended again.
Result<bool> Database::open_pin(Pin& pin) {
  CAIRN_ASSIGN(const wal::IndexHeader before, look());
  if (const int code = pin.begin(); code != SQLITE_OK) {
    Error error = failure(pin.connection, code, "cannot begin to read");
    pin.end();
    if (error.kind() == ErrorKind::busy) return false;
    return error;
  }
  auto after = look();
  if (after && after->salts == before.salts && after->backfilled < before.max_frame) {
    pinned_frame_ = std::min(before.max_frame, newest_mark(*after));
    came_beside_checkpointer_ = checkpoint_may_wait_for_new_pin();
    return true;
  }
  pin.end();
  return false;
}

bool Database::lock_floor() {
  return lock_shm(file_, kReadLock0, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED) == SQLITE_OK;
}

void Database::unlock_floor() { lock_shm(file_, kReadLock0, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED); }

void Database::end_hold() {
  if (hold_ == Hold::pin && !aside_) pins_[current_pin_].end();
  if (hold_ == Hold::floor || aside_) unlock_floor();
  hold_ = Hold::none;
  aside_ = false;
}

// With WAL_CKPT_LOCK in hand: a pin that is taken while a checkpointer from before a restart is still at work would not
// keep that one from storing its stale backfill count.
Result<void> Database::take_hold() {
  CAIRN_CHECK(hold_ == Hold::none);
  const bool had_lock = checkpoint_lock_held_;
  const bool alone = access_ == Access::read_write && try_checkpoint_lock();
  if (!alone && access_ == Access::read_write) {
    return Error(ErrorKind::busy, fmt::format("{}: a checkpoint is at work; trying again", path_));
  }
  auto taken = take_hold_alone();
  if (alone && !had_lock) release_checkpoint_lock();
  if (taken && hold_ == Hold::floor) floor_proven_ = alone && floor_at_.max_frame.value == 0;
  return taken;
}

Result<void> Database::take_hold_alone() {
  for (int i = 0; i < kHoldTries; ++i) {
    CAIRN_ASSIGN(const wal::IndexHeader seen, look());
    if (seen.all_backfilled()) {
      if (!lock_floor()) continue;
      auto under = look();
      if (under && under->all_backfilled()) {
        hold_ = Hold::floor;
        floor_at_ = *under;
        return {};
      }
      unlock_floor();
    } else {
      CAIRN_ASSIGN(const bool pinned, open_pin(pins_[current_pin_]));
      if (pinned) {
        hold_ = Hold::pin;
        return {};
      }
    }
  }
  return Error(ErrorKind::busy, fmt::format("{}: no hold on the WAL could be had; trying again", path_));
}

// At one moment of this call nobody else had it. To try to get it is the last resort: an application that begins its
// checkpoint just then would be refused, and SQLite asks no busy handler for that.
bool Database::checkpoint_lock_is_free() {
  if (checkpoint_lock_held_) return true;
  if (const auto exact = exact_locks()) return !exact->checkpointing;
  if (!try_checkpoint_lock()) return false;
  release_checkpoint_lock();
  return true;
}

// Under a floor: true when no checkpointer that read the header before a restart can be at work.
bool Database::restart_is_proven(const wal::IndexHeader& now, std::int64_t mono_us) {
  if (floor_proven_) return true;
  // Not restarted. (With an empty WAL the salts tell nothing: it may be in the middle of a restart just then.)
  if (floor_at_.max_frame.value != 0 && now.salts == floor_at_.salts) return true;
  if (!checkpoint_lock_is_free() && !blocked_checkpointer_is_fresh(now, mono_us)) return false;
  floor_proven_ = true;  // there is no second restart under a floor
  return true;
}

// A checkpointer holds WAL_CKPT_LOCK, so the restart cannot be proven by having that lock. If it is one that waits for
// us to let go of lock 0 (FULL, RESTART, TRUNCATE), it holds the write lock too, took it before it read the header,
// and so read it after the restart. A stale one is PASSIVE, never waits, and never has the write lock; it could only
// be mistaken for the other if a second thread of the same process kept the write lock all the time that the
// stale one is suspended between two instructions. Seen without a break for kFreshAfter_us, that is ruled out.
bool Database::blocked_checkpointer_is_fresh(const wal::IndexHeader& now, std::int64_t mono_us) {
  constexpr std::int64_t kFreshAfter_us = 20'000;
  if (!locks().writing_and_checkpointing) {
    blocked_since_us_ = -1;
    return false;
  }
  if (blocked_since_us_ < 0 || blocked_at_ != now) {
    blocked_since_us_ = mono_us;
    blocked_at_ = now;
  }
  return mono_us - blocked_since_us_ >= kFreshAfter_us;
}

Result<bool> Database::advance(std::int64_t mono_us, const BeforeRelease& before_release) {
  CAIRN_CHECK(hold_ != Hold::none);
  if (hold_ == Hold::floor) {
    CAIRN_ASSIGN(const wal::IndexHeader now, look());
    const bool proven = restart_is_proven(now, mono_us);
    if (!proven || now.all_backfilled()) return false;
  }
  const FrameNo held_frame = pinned_frame_;
  const bool held_came_beside = came_beside_checkpointer_;
  CAIRN_ASSIGN(const bool pinned, open_pin(free_pin()));
  if (!pinned) return false;
  const auto upto = look();
  auto agreed = upto ? Result<void>() : Result<void>(upto.error());
  if (agreed && before_release) agreed = before_release(*upto);
  if (!agreed) {  // the old hold stays, and what is known of it
    free_pin().end();
    pinned_frame_ = held_frame;
    came_beside_checkpointer_ = held_came_beside;
    return agreed.error();
  }
  end_hold();
  current_pin_ = 1 - current_pin_;
  hold_ = Hold::pin;
  return true;
}

Result<bool> Database::try_floor(wal::Salts salts, FrameNo frame) {
  CAIRN_CHECK((hold_ == Hold::pin || gate_held_) && !aside_);
  const auto fits = [&](const wal::IndexHeader& index) {
    return index.all_backfilled() && index.max_frame == frame && index.salts == salts;
  };
  CAIRN_ASSIGN(const wal::IndexHeader seen, look());
  if (!fits(seen) || !lock_floor()) return false;
  auto under = look();
  if (!under || !fits(*under)) {
    unlock_floor();
    return false;
  }
  end_hold();
  hold_ = Hold::floor;
  floor_at_ = *under;
  floor_proven_ = false;
  return true;
}

// The lock itself, on the connection that runs no SQL: asking costs one system call, so that the moment between two
// commits of a busy writer is met soon. What a transaction would check besides (that it has read the newest commit)
// matters to who writes.
Result<bool> Database::try_gate() {
  CAIRN_CHECK(!gate_held_);
  if (access_ == Access::read_only) return false;
  for (int i = 0; i < kGateTries && !gate_held_; ++i) {
    gate_held_ = lock_shm(file_, kWriteLock, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) == SQLITE_OK;
  }
  return gate_held_;
}

void Database::release_gate() {
  lock_shm(file_, kWriteLock, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  gate_held_ = false;
}

Result<bool> Database::checkpoint(Checkpoint mode) {
  if (access_ == Access::read_only) return false;
  if (index_is_cut()) return cut_failure();
  const NoWritesAfterACut guard;
  const int how = mode == Checkpoint::passive ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE;
  const int code = sqlite3_wal_checkpoint_v2(free_pin().connection, "main", how, nullptr, nullptr);
  if (index_is_cut()) return cut_failure();  // what it answers is about an index of its own
  if (code != SQLITE_OK && guard.has_refused()) return false;  // another database's was cut: nothing is wrong here
  if (code == SQLITE_OK) {
    // It restarted the WAL itself, holding WAL_CKPT_LOCK.
    if (mode == Checkpoint::truncate && hold_ == Hold::floor) floor_proven_ = true;
    return true;
  }
  Error error = failure(free_pin().connection, code, "checkpoint failed");
  if (error.kind() == ErrorKind::busy) return false;
  return error;
}

bool Database::try_checkpoint_lock() {
  if (checkpoint_lock_held_) return true;
  checkpoint_lock_held_ =
      lock_shm(file_, kCheckpointLock, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) == SQLITE_OK;
  return checkpoint_lock_held_;
}

void Database::release_checkpoint_lock() {
  if (!checkpoint_lock_held_) return;
  lock_shm(file_, kCheckpointLock, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  checkpoint_lock_held_ = false;
}

}  // namespace cairn::sqlite
