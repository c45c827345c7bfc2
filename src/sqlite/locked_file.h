// A database file, open in SQLite's file layer but through no connection, and SQLite's SHARED lock on it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "cairn/error.h"

struct sqlite3_file;
struct sqlite3_io_methods;

namespace cairn::sqlite {

// It stays where it is: the file layer keeps its address. Several threads may use it: the layer itself expects one at a
// time.
class LockedFile {
 public:
  // Null: it cannot be opened.
  static std::unique_ptr<LockedFile> open(int directory, const std::string& name);
  ~LockedFile();
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  Result<bool> try_lock() EXCLUDES(mutex_);
  void unlock() EXCLUDES(mutex_);
  // With the lock: somebody prepares to write.
  Result<bool> has_writer() EXCLUDES(mutex_);
  // What is behind the end reads as zeros.
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) EXCLUDES(mutex_);

 private:
  explicit LockedFile(const std::string& path);
  sqlite3_file* file() REQUIRES(mutex_) { return reinterpret_cast<sqlite3_file*>(space_.data()); }
  const sqlite3_io_methods& methods() REQUIRES(mutex_);
  void unlock_held() REQUIRES(mutex_);

  const char* path_;
  Mutex mutex_;
  std::vector<std::max_align_t> space_ GUARDED_BY(mutex_);
  bool locked_ GUARDED_BY(mutex_) = false;
};

// Lets go of the lock when the time is over, whether or not anybody reads: who writes waits for it.
class LockLimit {
 public:
  LockLimit() = default;
  ~LockLimit();
  LockLimit(const LockLimit&) = delete;
  LockLimit& operator=(const LockLimit&) = delete;

  // Once. `file` lives longer than this. Without a thread to be had the lock goes at once.
  void start(LockedFile& file, std::int64_t ms) EXCLUDES(mutex_);

 private:
  void wait(LockedFile& file, std::chrono::steady_clock::time_point until) EXCLUDES(mutex_);

  Mutex mutex_;
  ConditionVariable ended_;
  bool ends_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::sqlite
