#include "sqlite/write_guard.h"

#include <sqlite3.h>

#include <optional>

#include "base/cut_mappings.h"
#include "sqlite/in_place.h"

namespace cairn::sqlite {
namespace {

thread_local constinit std::optional<std::uint64_t> expected_cut_count;

bool may_write() { return !expected_cut_count || *expected_cut_count == shm_cut_count(); }

// The file layer "unix" has one table of methods for all files that it locks in SQLite's usual way, and one for all
// that it does not lock. Should a file have another one than the first of its kind, it is left as it is.
enum class Kind { database, wal };
template <Kind>
const sqlite3_io_methods* beneath_guard = nullptr;

template <Kind kKind>
int write_unless_cut(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  return may_write() ? beneath_guard<kKind>->xWrite(file, bytes, size, offset) : SQLITE_IOERR_WRITE;
}

template <Kind kKind>
int truncate_unless_cut(sqlite3_file* file, sqlite3_int64 size) {
  return may_write() ? beneath_guard<kKind>->xTruncate(file, size) : SQLITE_IOERR_TRUNCATE;
}

template <Kind kKind>
void guard_file(sqlite3* connection) {
  constexpr int kWhich = kKind == Kind::wal ? SQLITE_FCNTL_JOURNAL_POINTER : SQLITE_FCNTL_FILE_POINTER;
  sqlite3_file* file = nullptr;
  sqlite3_file_control(connection, "main", kWhich, static_cast<void*>(&file));
  if (file == nullptr || file->pMethods == nullptr) return;
  static const sqlite3_io_methods guarded = [&] {
    beneath_guard<kKind> = file->pMethods;
    sqlite3_io_methods methods = *file->pMethods;
    methods.xWrite = write_unless_cut<kKind>;
    methods.xTruncate = truncate_unless_cut<kKind>;
    return methods;
  }();
  if (file->pMethods == beneath_guard<kKind>) file->pMethods = &guarded;
}

// Of any other file layer (an application's own, under this library) it is not known what a table of methods may be.
bool is_sqlites_own(sqlite3* connection) {
  sqlite3_vfs* layer = nullptr;
  sqlite3_file_control(connection, "main", SQLITE_FCNTL_VFS_POINTER, static_cast<void*>(&layer));
  return layer != nullptr && (layer == sqlite3_vfs_find("unix") || layer == sqlite3_vfs_find(in_place_vfs()));
}

}  // namespace

void guard_writes(sqlite3* connection) {
  if (!is_sqlites_own(connection)) return;
  guard_file<Kind::database>(connection);
  guard_file<Kind::wal>(connection);
}

NoWritesAfterACut::NoWritesAfterACut() : count_before_(shm_cut_count()) { expected_cut_count = count_before_; }

NoWritesAfterACut::~NoWritesAfterACut() { expected_cut_count.reset(); }

bool NoWritesAfterACut::has_refused() const { return shm_cut_count() != count_before_; }

}  // namespace cairn::sqlite
