// Who holds SQLite's WAL locks, as the kernel tells it in /proc/locks. Looking takes no lock and disturbs nobody.
#pragma once

#include <string>
#include <string_view>

#include "sqlite/database.h"

namespace cairn::sqlite {

// True when one and the same process holds both the write lock and the checkpoint lock (bytes 120 and 121) of the
// -shm file `shm`. That is how a FULL, RESTART or TRUNCATE checkpoint looks from outside. False also when the table
// cannot be read or hides other processes (another pid namespace).
bool one_process_writes_and_checkpoints(const Identity& shm);

// The same from the text of /proc/locks; for tests.
bool one_process_writes_and_checkpoints(std::string_view table, const Identity& shm);

}  // namespace cairn::sqlite
