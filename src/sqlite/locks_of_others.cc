// Who else holds SQLite's locks; and how a checkpoint is let by that waits for a pin which is not in its way
// (docs/sqlite.md, "The holds").
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "base/check.h"
#include "sqlite/database.h"
#include "sqlite/lock_table.h"

namespace cairn::sqlite {
namespace {

constexpr int kNone = -1;
// os_unix.c: UNIX_SHM_BASE, the locks of wal.c, and UNIX_SHM_DMS, which each connection shares as long as it is open.
constexpr off_t kWriteByte = 120, kCheckpointByte = 121, kConnectedByte = 128;
constexpr int kNearHint = 64;  // descriptors

bool leads_to(int descriptor, const Identity& wanted) {
  struct stat status{};
  return descriptor >= 0 && ::fstat(descriptor, &status) == 0 && status.st_ino == wanted.inode &&
         status.st_dev == wanted.device;
}

// By its name first: to ask for the state of a descriptor may hang with the disk that it is on.
bool is_named(int descriptor, const std::string& path) {
  char name[PATH_MAX];
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), name, sizeof name);
  return size > 0 && std::string_view(name, static_cast<std::size_t>(size)) == path;
}

// SQLite's own: to close one of ours would drop every lock that this process has on the file (POSIX). It gets the
// lowest number that is free; thousands may be open.
int find_descriptor(const std::string& path, const Identity& wanted, int hint) {
  const auto fits = [&](int descriptor) { return is_named(descriptor, path) && leads_to(descriptor, wanted); };
  for (int descriptor = hint; hint >= 0 && descriptor < hint + kNearHint; ++descriptor) {
    if (fits(descriptor)) return descriptor;
  }
  std::error_code failed;
  std::filesystem::directory_iterator at("/proc/self/fd", failed);
  for (; !failed && at != std::filesystem::directory_iterator(); at.increment(failed)) {
    const std::string name = at->path().filename();
    int descriptor = kNone;
    std::from_chars(name.data(), name.data() + name.size(), descriptor);
    if (descriptor >= 0 && fits(descriptor)) return descriptor;
  }
  return kNone;
}

struct Owner {
  bool is_known = false, is_there = false;
  long process = 0;  // 0 or less: outside of this pid namespace
};

// Of a lock on that byte. Asked as if for the open file and not for this process, so that this process's locks count,
// too: fcntl(2), "Open file description locks".
Owner owner_of(int descriptor, off_t byte) {
  struct flock asked{};
  asked.l_type = F_WRLCK;
  asked.l_whence = SEEK_SET;
  asked.l_start = byte;
  asked.l_len = 1;
  if (descriptor < 0 || ::fcntl(descriptor, F_OFD_GETLK, &asked) != 0) return {};
  const bool is_there = asked.l_type != F_UNLCK;
  return {true, is_there, is_there ? asked.l_pid : 0};
}

}  // namespace

// What a file system answers that only pretends to is not believed: our own connection's lock must be there.
std::optional<LockTable> Database::exact_locks() {
  const bool is_another = shm_descriptor_ && *shm_descriptor_ >= 0 && !leads_to(*shm_descriptor_, shm_identity_);
  if (!shm_descriptor_ || is_another) {
    shm_descriptor_ = find_descriptor(path_of_database_ + "-shm", shm_identity_, descriptor_hint_);
  }
  const Owner checkpointer = owner_of(*shm_descriptor_, kCheckpointByte);
  if (!checkpointer.is_known) return std::nullopt;
  if (!checkpointer.is_there && !owner_of(*shm_descriptor_, kConnectedByte).is_there) return std::nullopt;
  LockTable table{.readable = true, .checkpointing = checkpointer.is_there};
  if (!checkpointer.is_there || checkpointer.process <= 0) return table;
  const Owner writer = owner_of(*shm_descriptor_, kWriteByte);
  table.writing_and_checkpointing = writer.is_there && writer.process == checkpointer.process;
  return table;
}

LockTable Database::locks() {
  if (const auto exact = exact_locks()) return *exact;
  const auto shm = identify(path_of_database_ + "-shm");
  return shm ? read_lock_table(*shm) : LockTable();
}

bool Database::checkpointer_at_work() {
  if (checkpoint_lock_held_) return false;
  if (const LockTable table = locks(); table.readable) return table.checkpointing;
  // Other processes' locks are hidden from us: only trying tells.
  if (!try_checkpoint_lock()) return true;
  release_checkpoint_lock();
  return false;
}

bool Database::checkpointer_keeps_writers_waiting() {
  return !checkpoint_lock_held_ && !gate_held_ && locks().writing_and_checkpointing;
}

bool Database::checkpoint_may_wait_for_new_pin() {
  if (checkpoint_lock_held_ || gate_held_) return false;
  const auto exact = exact_locks();
  return exact && exact->writing_and_checkpointing;
}

bool Database::pin_may_be_waited_for_in_vain(const wal::IndexHeader& index) {
  const bool is_past = index.attempted >= index.max_frame || index.max_frame > pinned_frame_;
  came_beside_checkpointer_ =
      came_beside_checkpointer_ && hold_ == Hold::pin && !is_past && checkpoint_may_wait_for_new_pin();
  return came_beside_checkpointer_;
}

Result<bool> Database::step_aside() {
  CAIRN_CHECK(hold_ == Hold::pin && !aside_);
  CAIRN_ASSIGN(const wal::IndexHeader seen, look());
  if (!lock_floor()) return false;
  // With lock 0 nothing more is backfilled; and while not all is, nobody begins the WAL anew.
  const auto under = look();
  if (!under || under->salts != seen.salts || under->all_backfilled()) {
    unlock_floor();
    return false;
  }
  pins_[current_pin_].end();
  aside_ = true;
  return true;
}

}  // namespace cairn::sqlite
