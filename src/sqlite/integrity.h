// SQLite's own opinion of a database file that nobody else uses.
#pragma once

#include <string>
#include <vector>

#include "cairn/error.h"

namespace cairn::sqlite {

// Runs PRAGMA integrity_check on the file, read-only and as it is: a -wal beside it is not looked at, nothing is
// written or locked. Returns what SQLite complains about, at most 100 sentences; empty: all is well. A file that is no
// database at all is a complaint, too. Errors: not_found, io (the file cannot be read).
Result<std::vector<std::string>> integrity_check(const std::string& path);

}  // namespace cairn::sqlite
