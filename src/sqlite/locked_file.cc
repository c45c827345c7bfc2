#include "sqlite/locked_file.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <system_error>

#include "sqlite/in_place.h"

namespace cairn::sqlite {
namespace {

Error locked_file_failure(int code, const char* what) {
  return Error(ErrorKind::io, fmt::format("{}: {} (SQLite code {})", what, sqlite3_errstr(code), code));
}

}  // namespace

LockedFile::LockedFile(const std::string& path)
    : path_(sqlite3_create_filename(path.c_str(), (path + "-journal").c_str(), (path + "-wal").c_str(), 0, nullptr)) {}

std::unique_ptr<LockedFile> LockedFile::open(int directory, const std::string& name) {
  std::unique_ptr<LockedFile> opened(new LockedFile(fmt::format("/proc/self/fd/{}/{}", directory, name)));
  sqlite3_vfs* const files = sqlite3_vfs_find(in_place_vfs());
  int code = SQLITE_OK;
  {
    MutexLock hold(opened->mutex_);
    opened->space_.resize(static_cast<std::size_t>(files->szOsFile) / sizeof(std::max_align_t) + 1);
    constexpr int kHow = SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB;
    code = files->xOpen(files, opened->path_, opened->file(), kHow, nullptr);
  }
  if (code != SQLITE_OK) opened.reset();  // who reads it as a file finds out why
  return opened;
}

LockedFile::~LockedFile() {
  MutexLock hold(mutex_);
  if (file()->pMethods != nullptr) {
    unlock_held();
    file()->pMethods->xClose(file());
  }
  sqlite3_free_filename(path_);
}

const sqlite3_io_methods& LockedFile::methods() { return *file()->pMethods; }

Result<bool> LockedFile::try_lock() {
  MutexLock hold(mutex_);
  const int code = methods().xLock(file(), SQLITE_LOCK_SHARED);
  locked_ = code == SQLITE_OK;
  if (locked_ || (code & 0xff) == SQLITE_BUSY) return locked_;
  return locked_file_failure(code, "locking it");
}

void LockedFile::unlock() {
  MutexLock hold(mutex_);
  unlock_held();
}

void LockedFile::unlock_held() {
  if (locked_) methods().xUnlock(file(), SQLITE_LOCK_NONE);
  locked_ = false;
}

Result<bool> LockedFile::has_writer() {
  MutexLock hold(mutex_);
  int reserved = 0;
  const int code = methods().xCheckReservedLock(file(), &reserved);
  if (code != SQLITE_OK) return locked_file_failure(code, "looking at its locks");
  return reserved != 0;
}

Result<void> LockedFile::read_at(std::uint64_t offset, std::span<std::byte> into) {
  constexpr std::size_t kMost = 1 << 24;
  for (std::size_t at = 0; at < into.size(); at += kMost) {
    const auto part = into.subspan(at, std::min(kMost, into.size() - at));
    MutexLock hold(mutex_);
    const int code = methods().xRead(file(), part.data(), static_cast<int>(part.size()),
                                     static_cast<sqlite3_int64>(offset + at));
    if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return locked_file_failure(code, "reading it");
  }
  return {};
}

LockLimit::~LockLimit() {
  {
    MutexLock hold(mutex_);
    ends_ = true;
  }
  ended_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LockLimit::start(LockedFile& file, std::int64_t ms) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  try {
    thread_ = std::thread([this, &file, until] { wait(file, until); });
  } catch (const std::system_error&) {
    file.unlock();
  }
}

void LockLimit::wait(LockedFile& file, std::chrono::steady_clock::time_point until) {
  {
    MutexLock hold(mutex_);
    while (!ends_ && std::chrono::steady_clock::now() < until) ended_.wait_until(mutex_, until);
    if (ends_) return;  // whoever ends it has the file, and its lock
  }
  file.unlock();
}

}  // namespace cairn::sqlite
