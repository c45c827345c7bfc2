// A line of /proc/locks (man 5 proc_locks):
//   1: POSIX  ADVISORY  WRITE 1234 fe:01:5678 120 121
// The kernel merges neighbouring locks of one process into one line. Waiters have "->" after the number.
#include "sqlite/lock_table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "base/mount_list.h"

namespace cairn::sqlite {
namespace {

constexpr unsigned long long kWriteLockByte = 120;
constexpr unsigned long long kCheckpointLockByte = 121;
constexpr unsigned long long kConnectionByte = 128;  // DMS in SQLite's os_unix.c

struct TableLine {
  std::string type, access;
  long process = 0;
  unsigned long long first = 0, last = 0;
  bool covers(unsigned long long byte) const { return first <= byte && byte <= last; }
};

template <class Take>
void each_line_of(std::string_view table, const Identity& file_wanted, const Take& take) {
  std::istringstream lines{std::string(table)};
  for (std::string text; std::getline(lines, text);) {
    std::istringstream words(text);
    std::string number, advisory, file, last;
    TableLine line;
    if (!(words >> number >> line.type >> advisory >> line.access >> line.process >> file >> line.first >> last)) {
      continue;
    }
    unsigned major_number = 0, minor_number = 0;
    unsigned long long inode = 0;
    if (std::sscanf(file.c_str(), "%x:%x:%llu", &major_number, &minor_number, &inode) != 3) continue;
    if (inode != file_wanted.inode || makedev(major_number, minor_number) != file_wanted.device) continue;
    line.last = last == "EOF" ? ~0ull : std::strtoull(last.c_str(), nullptr, 10);
    take(line);
  }
}

std::string table_of_kernel() {
  std::ifstream file("/proc/locks");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// As the table names it: by the device of the file system. What stat says is another one in subvolumes of btrfs, and in
// some overlay mounts.
std::optional<Identity> identity_in_table(int directory, const std::string& name) {
  struct statx info {};
  if (::statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_MNT_ID, &info) != 0) return {};
  if (!S_ISREG(info.stx_mode)) return {};
  Identity identity{makedev(info.stx_dev_major, info.stx_dev_minor), info.stx_ino};
  if ((info.stx_mask & STATX_MNT_ID) == 0) return identity;  // Linux before 5.8
  unsigned major_number = 0, minor_number = 0;
  const std::string device = device_of_mount(info.stx_mnt_id);
  if (std::sscanf(device.c_str(), "%u:%u", &major_number, &minor_number) == 2) {
    identity.device = makedev(major_number, minor_number);
  }
  return identity;
}

// What of `path` lies below the directory `upper`, however that was named; nothing: it lies elsewhere. A relative name
// was of a directory that is not known here.
std::optional<std::string> path_below(const std::string& upper, const std::string& path) {
  if (!upper.starts_with('/')) {
    const std::size_t at = path.find('/' + upper + '/');
    return at == std::string::npos ? std::nullopt : std::optional(path.substr(at + upper.size() + 1));
  }
  struct stat wanted {}, found {};
  if (::stat(upper.c_str(), &wanted) != 0) return {};
  for (std::size_t end = path.rfind('/'); end != std::string::npos && end > 0; end = path.rfind('/', end - 1)) {
    const bool is_there = ::stat(path.substr(0, end).c_str(), &found) == 0;
    if (is_there && found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino) return path.substr(end);
  }
  return {};
}

}  // namespace

LockTable read_lock_table(std::string_view table, const Identity& shm) {
  LockTable out;
  std::map<long, int> held;  // by process: 1 the write lock, 2 the checkpoint lock
  each_line_of(table, shm, [&](const TableLine& line) {
    if (line.process > 0) out.readable = true;
    if (line.type != "POSIX" || line.access != "WRITE") return;
    if (line.covers(kWriteLockByte)) held[line.process] |= 1;
    if (line.covers(kCheckpointLockByte)) held[line.process] |= 2;
  });
  for (const auto& [process, locks] : held) {
    if (locks & 2) out.checkpointing = true;
    if (process > 0 && locks == 3) out.writing_and_checkpointing = true;
  }
  return out;
}

LockTable read_lock_table(const Identity& shm) { return read_lock_table(table_of_kernel(), shm); }

bool shows_connection(std::string_view table, const Identity& shm, long process) {
  bool shown = false;
  each_line_of(table, shm, [&](const TableLine& line) {
    shown = shown || (line.covers(kConnectionByte) && (process == 0 || line.process == process));
  });
  return shown;
}

bool is_seen_connected(int directory, const std::string& name) {
  const auto shm = identity_in_table(directory, name + "-shm");
  return shm && shows_connection(table_of_kernel(), *shm);
}

bool is_connected_here(int directory, const std::string& name) {
  const auto shm = identity_in_table(directory, name + "-shm");
  return shm && shows_connection(table_of_kernel(), *shm, ::getpid());
}

Result<void> expect_locks_to_be_seen(const std::string& path) {
  char* const resolved = ::realpath(path.c_str(), nullptr);
  const std::string real = resolved ? resolved : path;
  std::free(resolved);
  for (const OverlayMount& overlay : read_overlays()) {
    const auto below = path_below(overlay.upper, real);
    if (!below) continue;
    return Error(ErrorKind::unsupported,
                 fmt::format("{} lies in the upper directory of the overlay that is mounted at {}, and who uses it "
                             "there has locks that are not seen here: both would be harmed. Name it as {}{}",
                             path, overlay.point, overlay.point, *below));
  }
  return {};
}

}  // namespace cairn::sqlite
