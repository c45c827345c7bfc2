// The files of a live database, by what the file system says of them; and the bytes of the database and of its WAL,
// through SQLite's own files: a descriptor of ours would drop its locks when it is closed.
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fmt/format.h"
#include "sqlite/database.h"

namespace cairn::sqlite {

namespace {

std::int64_t modified_ns_of(const struct stat& info) {
  return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

// Fills `info`.
Result<Identity> identify(const std::string& path, struct stat& info) {
  if (::stat(path.c_str(), &info) != 0) {
    const auto kind = errno == ENOENT || errno == ENOTDIR ? ErrorKind::not_found
                      : errno == EACCES                   ? ErrorKind::denied
                                                          : ErrorKind::io;
    return Error(kind, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) return Error(ErrorKind::invalid, fmt::format("{} is not a file", path));
  return Identity{static_cast<std::uint64_t>(info.st_dev), static_cast<std::uint64_t>(info.st_ino)};
}

}  // namespace

Result<Identity> identify(const std::string& path) {
  struct stat info {};
  return identify(path, info);
}

bool Database::is_in_place() {
  struct stat info {};
  const auto now = identify(path_, info);
  modified_ns_ = now ? modified_ns_of(info) : 0;
  return now && *now == identity_ && identify(path_of_database_ + "-wal").value_or(Identity{}) == wal_identity_ &&
         identify(path_of_database_ + "-shm").value_or(Identity{}) == shm_identity_;
}

std::int64_t Database::modified_ns() {
  struct stat info {};
  modified_ns_ = ::stat(path_.c_str(), &info) == 0 ? modified_ns_of(info) : 0;
  return modified_ns_;
}

Result<void> Database::sync_database() {
  const int code = file_->pMethods->xSync(file_, SQLITE_SYNC_NORMAL);
  if (code == SQLITE_OK) return {};
  return Error(ErrorKind::io, fmt::format("{} cannot be synced (SQLite code {})", path_, code));
}

namespace {
Result<std::uint64_t> raw_size(sqlite3_file* file, const std::string& path, const char* what) {
  sqlite3_int64 size = 0;
  const int code = file->pMethods->xFileSize(file, &size);
  if (code != SQLITE_OK) {
    return Error(ErrorKind::io, fmt::format("{}{}: its size cannot be read (SQLite code {})", path, what, code));
  }
  return static_cast<std::uint64_t>(size);
}

Result<std::size_t> read_raw(sqlite3_file* file, std::uint64_t offset, std::span<std::byte> into,
                             const std::string& path, const char* what) {
  if (!file->pMethods) return std::size_t{0};  // no WAL has been opened
  const auto at = static_cast<sqlite3_int64>(offset);
  const int code = file->pMethods->xRead(file, into.data(), static_cast<int>(into.size()), at);
  if (code == SQLITE_OK) return into.size();
  if (code != SQLITE_IOERR_SHORT_READ) {
    return Error(ErrorKind::io, fmt::format("{}{}: cannot be read (SQLite code {})", path, what, code));
  }
  CAIRN_ASSIGN(const std::uint64_t size, raw_size(file, path, what));  // the rest is zeros by now
  return size <= offset ? 0 : std::min<std::size_t>(into.size(), size - offset);
}
}  // namespace

Result<std::size_t> Database::read_wal(std::uint64_t offset, std::span<std::byte> into) {
  return read_raw(wal_, offset, into, path_, "-wal");
}
Result<std::size_t> Database::read_database(std::uint64_t offset, std::span<std::byte> into) {
  return read_raw(file_, offset, into, path_, "");
}
Result<std::uint64_t> Database::size_bytes() { return raw_size(file_, path_, ""); }
Result<std::uint64_t> Database::wal_size_bytes() { return raw_size(wal_, path_, "-wal"); }

Result<bool> Database::has_more_than(const wal::IndexHeader& index) {
  // It is begun anew only when all of it is in the database file.
  const std::uint64_t at = wal::frame_offset(FrameNo(index.max_frame.value + 1), index.page_size);
  if (!index.all_backfilled()) {
    CAIRN_ASSIGN(const std::uint64_t size_bytes, wal_size_bytes());
    if (size_bytes <= at) return false;
  }
  std::array<std::byte, wal::kHeaderSize> bytes;
  CAIRN_ASSIGN(const std::size_t got, read_wal(0, bytes));
  if (got == 0) return false;
  const auto header = wal::parse_header(bytes);
  if (!header || header->salts != index.salts || index.page_size == 0) return true;
  std::array<std::byte, wal::kFrameHeaderSize> next;
  CAIRN_TRY(read_wal(at, next));
  const wal::FrameHeader frame = wal::parse_frame_header(next);
  return frame.page.value != 0 && (frame.salts == index.salts || frame.salts == wal::Salts{});
}

}  // namespace cairn::sqlite
