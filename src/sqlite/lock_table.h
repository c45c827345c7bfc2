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
// The same from the text of /proc/locks; for tests.
LockTable read_lock_table(std::string_view table, const Identity& shm);

}  // namespace cairn::sqlite
