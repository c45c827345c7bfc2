// Is somebody working with a database? Replacing the file under an open connection would let that program write on into
// a file that no longer has a name, and read a -wal that belongs to another database.
#pragma once

#include <string>

#include "cairn/error.h"

namespace cairn::restore {

// busy: a process holds one of SQLite's locks on `database` (or its -shm), or this process has it open; the message
// says which process. A file that does not exist is not in use. Every connection in WAL mode holds a lock for as long
// as it lives; one in rollback mode only during its transactions, so that one can be missed.
Result<void> refuse_if_in_use(const std::string& database);

}  // namespace cairn::restore
