// A line of /proc/locks (man 5 proc_locks):
//   1: POSIX  ADVISORY  WRITE 1234 fe:01:5678 120 121
// The kernel merges neighbouring locks of one process into one line. Waiters have "->" after the number.
#include "sqlite/lock_table.h"

#include <sys/sysmacros.h>

#include <fstream>
#include <map>
#include <sstream>

namespace cairn::sqlite {
namespace {
constexpr unsigned long long kWriteLockByte = 120;
constexpr unsigned long long kCheckpointLockByte = 121;
}  // namespace

LockTable read_lock_table(std::string_view table, const Identity& shm) {
  LockTable out;
  std::map<long, int> held;  // by process: 1 the write lock, 2 the checkpoint lock
  std::istringstream lines{std::string(table)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, type, advisory, access, file, last_text;
    long process = 0;
    unsigned long long first = 0, last = 0;
    if (!(words >> number >> type >> advisory >> access >> process >> file >> first >> last_text)) continue;
    unsigned major_number = 0, minor_number = 0;
    unsigned long long inode = 0;
    if (std::sscanf(file.c_str(), "%x:%x:%llu", &major_number, &minor_number, &inode) != 3) continue;
    if (inode != shm.inode || makedev(major_number, minor_number) != shm.device) continue;
    if (process > 0) out.readable = true;
    if (type != "POSIX" || access != "WRITE") continue;
    last = last_text == "EOF" ? ~0ull : std::strtoull(last_text.c_str(), nullptr, 10);
    if (first <= kWriteLockByte && kWriteLockByte <= last) held[process] |= 1;
    if (first <= kCheckpointLockByte && kCheckpointLockByte <= last) held[process] |= 2;
  }
  for (const auto& [process, locks] : held) {
    if (locks & 2) out.checkpointing = true;
    if (process > 0 && locks == 3) out.writing_and_checkpointing = true;
  }
  return out;
}

LockTable read_lock_table(const Identity& shm) {
  std::ifstream file("/proc/locks");
  std::ostringstream text;
  text << file.rdbuf();
  return read_lock_table(text.str(), shm);
}

}  // namespace cairn::sqlite
