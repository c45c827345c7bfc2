// Who holds SQLite's WAL locks, as the kernel tells it in /proc/locks. Looking takes no lock and disturbs nobody.
#pragma once

#include <string>
#include <string_view>

#include "sqlite/database.h"

namespace cairn::sqlite {

// What the table shows of a -shm file, by its bytes 120 (write lock) and 121 (checkpoint lock).
struct LockTable {
  bool readable = false;          // some process's lock on this file is shown: others' would be, too
  bool checkpointing = false;     // some process holds the checkpoint lock
  // One and the same process holds both. That is how a FULL, RESTART or TRUNCATE checkpoint looks from outside.
  bool writing_and_checkpointing = false;
};

LockTable read_lock_table(const Identity& shm);

// Whether some process, this one too, is seen to be connected to the database `name` in the open directory: each one
// holds byte 128 of the -shm for as long. False is no proof that nobody is. A lock belongs to the inode that it was
// taken on, and in an overlay mount that is one of the mount: whoever uses the database there is seen in a directory of
// the mount, and not in the upper directory although its file is the same. Nor are processes shown outside of this
// one's pid namespace and those in it.
bool is_seen_connected(int directory, const std::string& name);

// The same of this process alone, as far as it is seen.
bool is_connected_here(int directory, const std::string& name);

// unsupported: the database at `path` lies in the upper directory of an overlay mount.
Result<void> expect_locks_to_be_seen(const std::string& path);
// The same from the text of /proc/locks; for tests.
LockTable read_lock_table(std::string_view table, const Identity& shm);
// `process`: of that one only; 0: of any.
bool shows_connection(std::string_view table, const Identity& shm, long process = 0);

}  // namespace cairn::sqlite
