// SQLite's own file layer, but for databases that are reached through a directory held open and that may not be
// touched: a name is taken as it is (no link in it is followed, so nobody can put another file in its place), and
// nothing is made or removed, neither a -wal that is missing nor one that seems to be left over.
#pragma once

namespace cairn::sqlite {

// For sqlite3_open_v2. Registered at the first call.
const char* in_place_vfs();

}  // namespace cairn::sqlite
