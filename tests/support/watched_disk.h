// Seams for tests of rolling over: SQLite's file layer and Cairn's, watched.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "base/files.h"

namespace cairn::replicator_test {

// Tells before Cairn looks at the WAL-index, and before it reads out of the WAL. So it does before anybody reads,
// writes or syncs one of the two files, and whether one of the two locks that others wait for is held.
class WatchedWal {
 public:
  WatchedWal() : unix_(sqlite3_vfs_find("unix")), vfs_(*unix_) {
    vfs_.zName = "watched";
    vfs_.pNext = nullptr;
    vfs_.xOpen = open;
    vfs_.pAppData = this;
    EXPECT_EQ(sqlite3_vfs_register(&vfs_, 1), SQLITE_OK);
  }
  ~WatchedWal() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(unix_, 1);
  }
  WatchedWal(const WatchedWal&) = delete;
  WatchedWal& operator=(const WatchedWal&) = delete;

  // Not while they are at work themselves.
  std::function<void()> before_look;
  std::function<void()> before_scan;  // of frames, to see what was committed
  std::function<void()> before_page;  // of one of them, to take it into a segment
  std::function<void()> before_database_read, before_database_write, before_sync;
  bool write_locked = false, checkpoint_locked = false;  // by anybody in this process
  std::function<void()> before_write_lock;  // is asked for

 private:
  struct Methods {
    sqlite3_io_methods io;  // the first member: leads back here
    WatchedWal* vfs;
    const sqlite3_io_methods* real;
  };
  static constexpr sqlite3_int64 kFrameBytes = 24 + 4096;
  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    auto* self = static_cast<WatchedWal*>(vfs->pAppData);
    const int result = self->unix_->xOpen(self->unix_, name, file, flags, out_flags);
    if (result == SQLITE_OK && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB)) != 0) {
      Methods& methods = self->methods_.emplace_back(Methods{*file->pMethods, self, file->pMethods});
      const bool is_wal = (flags & SQLITE_OPEN_WAL) != 0;
      methods.io.xRead = is_wal ? read : read_database;
      if (!is_wal) methods.io.xWrite = write_database;
      methods.io.xSync = sync;
      methods.io.xShmLock = lock;
      methods.io.xShmMap = map;  // SQLite itself calls it once a connection, Cairn at each look
      file->pMethods = &methods.io;
    }
    return result;
  }
  static int read(sqlite3_file* file, void* into, int bytes, sqlite3_int64 offset) {
    const auto* methods = reinterpret_cast<const Methods*>(file->pMethods);
    WatchedWal& self = *methods->vfs;
    const bool is_frame = offset >= 32 && (offset - 32) % kFrameBytes == 0;
    if (offset > 0) self.run(is_frame ? self.before_scan : self.before_page);
    return methods->real->xRead(file, into, bytes, offset);
  }
  static int read_database(sqlite3_file* file, void* into, int bytes, sqlite3_int64 offset) {
    const auto* methods = reinterpret_cast<const Methods*>(file->pMethods);
    methods->vfs->run(methods->vfs->before_database_read);
    return methods->real->xRead(file, into, bytes, offset);
  }
  static int write_database(sqlite3_file* file, const void* from, int bytes, sqlite3_int64 offset) {
    const auto* methods = reinterpret_cast<const Methods*>(file->pMethods);
    methods->vfs->run(methods->vfs->before_database_write);
    return methods->real->xWrite(file, from, bytes, offset);
  }
  static int sync(sqlite3_file* file, int flags) {
    const auto* methods = reinterpret_cast<const Methods*>(file->pMethods);
    methods->vfs->run(methods->vfs->before_sync);
    return methods->real->xSync(file, flags);
  }
  static int lock(sqlite3_file* file, int slot, int count, int flags) {
    const auto* methods = reinterpret_cast<const Methods*>(file->pMethods);
    WatchedWal& self = *methods->vfs;
    const bool asks = slot == 0 && (flags & SQLITE_SHM_LOCK) != 0 && (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    if (asks) self.run(self.before_write_lock);
    const int result = methods->real->xShmLock(file, slot, count, flags);
    if (result != SQLITE_OK || (flags & SQLITE_SHM_EXCLUSIVE) == 0) return result;
    const bool taken = (flags & SQLITE_SHM_LOCK) != 0;
    if (slot <= 1 && slot + count > 1) self.checkpoint_locked = taken;
    if (slot == 0) self.write_locked = taken;
    return result;
  }
  static int map(sqlite3_file* file, int page, int bytes, int extends, volatile void** shared) {
    const auto* methods = reinterpret_cast<const Methods*>(file->pMethods);
    methods->vfs->run(methods->vfs->before_look);
    return methods->real->xShmMap(file, page, bytes, extends, shared);
  }
  void run(const std::function<void()>& hook) {
    if (!hook || std::exchange(at_work_, true)) return;
    hook();
    at_work_ = false;
  }

  sqlite3_vfs* unix_;
  sqlite3_vfs vfs_;
  std::list<Methods> methods_;  // one a file: their addresses must last
  bool at_work_ = false;
};

// A disk that is full as long as the test wants it.
class LimitedFiles final : public FileSystem {
 public:
  explicit LimitedFiles(std::unique_ptr<FileSystem> inner) : inner_(std::move(inner)) {}
  std::uint64_t room = ~0ull;   // no file of the spool grows past that
  std::uint64_t written = 0;    // to it
  std::function<void()> before_write, before_sync;  // of such a file
  bool has_scratch_room = true;  // the same for its scratch files alone
  bool loses_scratch = false;    // once: they cannot be read any more when a segment comes into the spool
  std::uint64_t scratch_files = 0;  // opened
  // What is read from the scratch file that was opened as the `number`th, from 1.
  std::function<void(std::uint64_t number, std::uint64_t offset, std::span<std::byte> bytes)> after_scratch_read;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, int permissions) override {
    CAIRN_ASSIGN(auto file, inner_->open(path, mode, permissions));
    if (path.find("/spool/") == std::string::npos) return file;
    const bool is_scratch = path.ends_with("/scratch");
    if (is_scratch) scratch_is_lost_ = false, ++scratch_files;
    return std::unique_ptr<File>(new LimitedFile(std::move(file), *this, is_scratch ? scratch_files : 0));
  }
  Result<std::unique_ptr<MappedFile>> map(const std::string& path, std::uint64_t size) override {
    return inner_->map(path, size);
  }
  Result<FileInfo> info(const std::string& path) override { return inner_->info(path); }
  Result<void> rename(const std::string& from, const std::string& to) override {
    if (to.find("/spool/") != std::string::npos && std::exchange(loses_scratch, false)) scratch_is_lost_ = true;
    return inner_->rename(from, to);
  }
  Result<void> link_new(const std::string& from, const std::string& to) override {
    return inner_->link_new(from, to);
  }
  Result<void> remove(const std::string& path) override { return inner_->remove(path); }
  Result<void> make_directories(const std::string& path, int permissions) override {
    return inner_->make_directories(path, permissions);
  }
  Result<void> sync_directory(const std::string& path) override { return inner_->sync_directory(path); }
  Result<std::vector<std::string>> list(const std::string& path) override { return inner_->list(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return inner_->lock(path); }

 private:
  class LimitedFile final : public File {
   public:
    LimitedFile(std::unique_ptr<File> file, LimitedFiles& disk, std::uint64_t scratch_number)
        : file_(std::move(file)), disk_(disk), scratch_number_(scratch_number) {}
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
      if (scratch_number_ == 0) return file_->read_at(offset, into);
      if (disk_.scratch_is_lost_) return Error(ErrorKind::io, "the disk fails");
      auto got = file_->read_at(offset, into);
      if (got && disk_.after_scratch_read) disk_.after_scratch_read(scratch_number_, offset, into.first(*got));
      return got;
    }
    Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
      disk_.written += bytes.size();
      if (disk_.before_write) disk_.before_write();
      const bool has_room = scratch_number_ == 0 || disk_.has_scratch_room;
      if (!has_room || offset + bytes.size() > disk_.room) return Error(ErrorKind::io, "the disk is full");
      return file_->write_at(offset, bytes);
    }
    Result<std::uint64_t> size() const override { return file_->size(); }
    Result<void> truncate(std::uint64_t size) override { return file_->truncate(size); }
    Result<void> sync() override {
      if (disk_.before_sync) disk_.before_sync();
      return file_->sync();
    }
    void start_writeback(std::uint64_t from, std::uint64_t to) override { file_->start_writeback(from, to); }

   private:
    std::unique_ptr<File> file_;
    LimitedFiles& disk_;
    const std::uint64_t scratch_number_;  // 0: it is none
  };

  std::unique_ptr<FileSystem> inner_;
  bool scratch_is_lost_ = false;
};

}  // namespace cairn::replicator_test
