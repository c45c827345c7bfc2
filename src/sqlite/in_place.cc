#include "sqlite/in_place.h"

#include <sqlite3.h>

#include <cstring>
#include <string_view>

namespace cairn::sqlite {
namespace {

// "unix", which the file layer below is: it shares its account of locks with all other connections of the process.
sqlite3_vfs* beneath() {
  static sqlite3_vfs* const found = sqlite3_vfs_find("unix");
  return found;
}

int take_name(sqlite3_vfs*, const char* name, int size, char* into) {
  const std::size_t length = std::strlen(name);
  if (length + 1 > static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(into, name, length + 1);
  return SQLITE_OK;
}

int open_existing(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* got_flags) {
  if (name == nullptr) return beneath()->xOpen(beneath(), name, file, flags, got_flags);  // of its own, elsewhere
  int how = (flags & ~SQLITE_OPEN_CREATE) | SQLITE_OPEN_NOFOLLOW;
  // As root SQLite gives a WAL to the owner of its database whenever it opens one (unixOpen), which moves its ctime
  // even if nothing else changes. It does not do that to a file of another type.
  if ((how & SQLITE_OPEN_WAL) != 0) how = (how & ~SQLITE_OPEN_WAL) | SQLITE_OPEN_SUBJOURNAL;
  return beneath()->xOpen(beneath(), name, file, how, got_flags);
}

// All that is read through this is in WAL mode, and has no journal. One that lies there, whatever it is (SQLite would
// wait for ever at a FIFO), is not opened; nor is it rolled back, which would write to the database.
int see_no_journal(sqlite3_vfs*, const char* name, int flags, int* is_there) {
  if (!std::string_view(name).ends_with("-journal")) return beneath()->xAccess(beneath(), name, flags, is_there);
  *is_there = 0;
  return SQLITE_OK;
}

int refuse_to_remove(sqlite3_vfs*, const char*, int) { return SQLITE_IOERR_DELETE; }

}  // namespace

const char* in_place_vfs() {
  static const char* const name = [] {
    static sqlite3_vfs ours = *beneath();
    ours.zName = "cairn-in-place";
    ours.pNext = nullptr;
    ours.xFullPathname = take_name;
    ours.xOpen = open_existing;
    ours.xAccess = see_no_journal;
    ours.xDelete = refuse_to_remove;
    sqlite3_vfs_register(&ours, 0);
    return ours.zName;
  }();
  return name;
}

}  // namespace cairn::sqlite
