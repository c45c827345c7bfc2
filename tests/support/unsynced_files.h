// The real files, but nothing waits for the disk: for tests that write thousands of files and crash nothing.
#pragma once

#include <memory>
#include <utility>

#include "base/files.h"

namespace cairn::testing {

class UnsyncedFile final : public File {
 public:
  explicit UnsyncedFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    return file_->read_at(offset, into);
  }
  Result<void> write_at(std::uint64_t offset, ByteView bytes) override { return file_->write_at(offset, bytes); }
  Result<std::uint64_t> size() const override { return file_->size(); }
  Result<void> truncate(std::uint64_t size_bytes) override { return file_->truncate(size_bytes); }
  Result<void> sync() override { return {}; }
  void start_writeback(std::uint64_t, std::uint64_t) override {}

 private:
  std::unique_ptr<File> file_;
};

class UnsyncedFiles final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, int permissions) override {
    CAIRN_ASSIGN(auto file, files_->open(path, mode, permissions));
    return std::make_unique<UnsyncedFile>(std::move(file));
  }
  Result<std::unique_ptr<MappedFile>> map(const std::string& path, std::uint64_t size_bytes) override {
    return files_->map(path, size_bytes);
  }
  Result<FileInfo> info(const std::string& path) override { return files_->info(path); }
  Result<void> rename(const std::string& from, const std::string& to) override { return files_->rename(from, to); }
  Result<void> link_new(const std::string& from, const std::string& to) override { return files_->link_new(from, to); }
  Result<void> remove(const std::string& path) override { return files_->remove(path); }
  Result<void> make_directories(const std::string& path, int permissions) override {
    return files_->make_directories(path, permissions);
  }
  Result<void> sync_directory(const std::string&) override { return {}; }
  Result<std::vector<std::string>> list(const std::string& path) override { return files_->list(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return files_->lock(path); }

 private:
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
};

}  // namespace cairn::testing
