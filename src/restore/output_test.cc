// Whatever call to the disk fails during a restore: the old database is whole, or the new one is.
#include "restore/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string_view>

#include "restore/test_replica.h"

namespace cairn::restore {
namespace {

using cairn::testing::Image;
using cairn::testing::ReplicaBuilder;
using ::testing::ElementsAre;

// Counts the calls that change something and fails one of them as a full disk does.
class Countdown {
 public:
  explicit Countdown(int fail_at) : left_(fail_at) {}
  Result<void> step(const char* what) {
    if (at_step) at_step(what);
    if (left_-- != 0) return {};
    failed_ = what;
    return Error(ErrorKind::io, std::string("the disk is full: ") + what);
  }
  const std::string& failed() const { return failed_; }
  std::function<void(std::string_view)> at_step;  // before it

 private:
  int left_;
  std::string failed_;
};

class FailingFile final : public File {
 public:
  FailingFile(std::unique_ptr<File> inner, Countdown& countdown) : inner_(std::move(inner)), countdown_(countdown) {}
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    return inner_->read_at(offset, into);
  }
  Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
    CAIRN_TRY(countdown_.step("write"));
    return inner_->write_at(offset, bytes);
  }
  Result<std::uint64_t> size() const override { return inner_->size(); }
  Result<void> truncate(std::uint64_t size_bytes) override {
    CAIRN_TRY(countdown_.step("truncate"));
    return inner_->truncate(size_bytes);
  }
  Result<void> sync() override {
    CAIRN_TRY(countdown_.step("sync"));
    return inner_->sync();
  }
  void start_writeback(std::uint64_t offset, std::uint64_t length) override { inner_->start_writeback(offset, length); }

 private:
  std::unique_ptr<File> inner_;
  Countdown& countdown_;
};

class FailingFiles final : public FileSystem {
 public:
  FailingFiles(FileSystem& inner, Countdown& countdown) : inner_(inner), countdown_(countdown) {}
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, int permissions) override {
    if (mode != OpenMode::read) CAIRN_TRY(countdown_.step("open"));
    CAIRN_ASSIGN(auto file, inner_.open(path, mode, permissions));
    return std::unique_ptr<File>(std::make_unique<FailingFile>(std::move(file), countdown_));
  }
  Result<std::unique_ptr<MappedFile>> map(const std::string& path, std::uint64_t size_bytes) override {
    return inner_.map(path, size_bytes);
  }
  Result<FileInfo> info(const std::string& path) override { return inner_.info(path); }
  Result<void> rename(const std::string& from, const std::string& to) override {
    CAIRN_TRY(countdown_.step("rename"));
    return inner_.rename(from, to);
  }
  Result<void> link_new(const std::string& from, const std::string& to) override {
    CAIRN_TRY(countdown_.step("link_new"));
    return inner_.link_new(from, to);
  }
  Result<void> remove(const std::string& path) override {
    if (countdown_.at_step) countdown_.at_step("remove");
    return inner_.remove(path);
  }
  Result<void> make_directories(const std::string& path, int permissions) override {
    return inner_.make_directories(path, permissions);
  }
  Result<void> sync_directory(const std::string& path) override {
    CAIRN_TRY(countdown_.step("sync_directory"));
    return inner_.sync_directory(path);
  }
  Result<std::vector<std::string>> list(const std::string& path) override { return inner_.list(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return inner_.lock(path); }

 private:
  FileSystem& inner_;
  Countdown& countdown_;
};

constexpr int kNeverFails = -1;

class RestoreOutput : public testing::ReplicaTest {};

TEST_F(RestoreOutput, AFailureAtAnyStepLeavesTheOldDatabaseWithItsWal) {
  ReplicaBuilder replica(*store_, "app.db");
  replica.begin(Image::made(512, 20, 1));
  const Bytes old = Image::made(512, 5, 2).bytes(), wal(64, std::byte{3});
  executor_ = std::make_unique<InlineExecutor>();
  std::vector<std::string> failed;
  for (int fail_at = 0;; ++fail_at) {
    write("out.db", old);
    write("out.db-wal", wal);
    Countdown countdown(fail_at);
    FailingFiles failing(*files_, countdown);
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    auto result = run_restore(*store_, "app.db", path("out.db"), options, failing, *executor_);
    if (result) break;
    EXPECT_EQ(result.error().kind(), ErrorKind::io);
    failed.push_back(countdown.failed());
    const bool replaced = read("out.db") != old;
    if (replaced) {
      // Only the very last step, the fsync of the folder, comes after the new file has its name.
      EXPECT_EQ(countdown.failed(), "sync_directory");
      EXPECT_TRUE(read("out.db") == replica.state(Sequence(0)).bytes());
      // It is not known to be on the disk: the old one may come back, and would need that.
      EXPECT_THAT(names(), ElementsAre("out.db", "out.db-wal.cairn-old"));
      ASSERT_TRUE(files_->remove(path("out.db-wal.cairn-old")));
    } else {
      EXPECT_TRUE(read("out.db-wal") == wal) << countdown.failed();
      EXPECT_THAT(names(), ElementsAre("out.db", "out.db-wal")) << countdown.failed();
    }
  }
  EXPECT_TRUE(read("out.db") == replica.state(Sequence(0)).bytes());
  EXPECT_THAT(failed, ElementsAre("open", "truncate", "truncate", "write", "sync", "rename", "sync_directory", "rename",
                                  "sync_directory"));
}

// A power loss between the two could bring back the old database without what was committed to it.
TEST_F(RestoreOutput, TheOldWalIsRemovedOnceTheNewNameIsOnTheDisk) {
  ReplicaBuilder replica(*store_, "app.db");
  replica.begin(Image::made(512, 20, 1));
  executor_ = std::make_unique<InlineExecutor>();
  write("out.db", Image::made(512, 5, 2).bytes());
  write("out.db-wal", Bytes(64));
  std::vector<std::string> steps;
  Countdown watching(kNeverFails);
  watching.at_step = [&](std::string_view step) { steps.emplace_back(step); };
  FailingFiles watched(*files_, watching);
  RestoreOptions options;
  options.overwrite = Overwrite::replace;
  ASSERT_TRUE(run_restore(*store_, "app.db", path("out.db"), options, watched, *executor_));
  ASSERT_GE(steps.size(), 3u);
  EXPECT_THAT(std::vector(steps.end() - 3, steps.end()), ElementsAre("rename", "sync_directory", "remove"));
  EXPECT_THAT(names(), ElementsAre("out.db"));
}

// A program makes the database at any step of the restore: it keeps it, with what lies beside it, and the restore says
// so.
TEST_F(RestoreOutput, ADatabaseThatAppearsMeanwhileIsNeverTouched) {
  ReplicaBuilder replica(*store_, "app.db");
  replica.begin(Image::made(512, 20, 1));
  const Bytes theirs = Image::made(512, 5, 2).bytes(), wal(64, std::byte{3});
  executor_ = std::make_unique<InlineExecutor>();
  for (const char* step : {"open", "truncate", "write", "sync"}) {
    write("out.db-wal", Bytes(7));  // of an old one, without its database
    Countdown steps(kNeverFails);
    steps.at_step = [&](std::string_view now) {
      if (now != step) return;
      write("out.db", theirs);
      write("out.db-wal", wal);
    };
    FailingFiles appearing(*files_, steps);
    const auto result = run_restore(*store_, "app.db", path("out.db"), {}, appearing, *executor_);
    ASSERT_FALSE(result) << step;
    EXPECT_EQ(result.error().kind(), ErrorKind::conflict);
    EXPECT_TRUE(read("out.db") == theirs && read("out.db-wal") == wal) << step;
    EXPECT_THAT(names(), ElementsAre("out.db", "out.db-wal")) << step;
    for (const char* name : {"out.db", "out.db-wal"}) ASSERT_TRUE(files_->remove(path(name)));
  }
  // At the last moment of all, when the old siblings are out of the way.
  write("out.db-wal", Bytes(7));
  Countdown steps(kNeverFails);
  steps.at_step = [&](std::string_view now) {
    if (now == "link_new") write("out.db", theirs);
  };
  FailingFiles appearing(*files_, steps);
  const auto result = run_restore(*store_, "app.db", path("out.db"), {}, appearing, *executor_);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::conflict);
  EXPECT_TRUE(read("out.db") == theirs);
  EXPECT_THAT(names(), ElementsAre("out.db"));  // the old WAL is not put beside it
  ASSERT_TRUE(files_->remove(path("out.db")));
  // Nobody makes one.
  ASSERT_TRUE(run_restore(*store_, "app.db", path("out.db"), {}, *files_, *executor_));
  EXPECT_TRUE(read("out.db") == replica.state(Sequence(0)).bytes());
  EXPECT_THAT(names(), ElementsAre("out.db"));
}

TEST_F(RestoreOutput, WhatAKilledRestoreLeftIsRemovedAndWhatARunningOneWritesIsNot) {
  ReplicaBuilder replica(*store_, "app.db");
  replica.begin(Image::made(512, 20, 1));
  for (const char* name :
       {"out.db.cairn-0badcafe", "out.db.cairn-00000001", "out.db.cairn-backups", "out.db.cairn-12"}) {
    write(name, Bytes(10));
  }
  auto running = files_->lock(path("out.db.cairn-00000001"));
  ASSERT_TRUE(running);
  ASSERT_TRUE(restore(*store_, {}));
  EXPECT_THAT(names(), ElementsAre("out.db", "out.db.cairn-00000001", "out.db.cairn-12", "out.db.cairn-backups"));
}

// As root, /dev/null would be an ordinary file from then on; and --onto would wait for somebody to write to a pipe.
TEST_F(RestoreOutput, APipeOrADeviceIsNeitherReplacedNorOpened) {
  ReplicaBuilder replica(*store_, "app.db");
  replica.begin(Image::made(512, 20, 1));
  executor_ = std::make_unique<InlineExecutor>();
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  ASSERT_EQ(::symlink(path("pipe").c_str(), path("link").c_str()), 0);
  for (const char* name : {"pipe", "link"}) {
    for (const Base base : {Base::none, Base::existing}) {
      RestoreOptions options;
      options.overwrite = Overwrite::replace;
      options.base = base;
      const auto result = run_restore(*store_, "app.db", path(name), options, *files_, *executor_);
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().kind(), ErrorKind::invalid) << result.error().message();
    }
  }
  struct stat pipe{};
  ASSERT_EQ(::stat(path("pipe").c_str(), &pipe), 0);
  EXPECT_TRUE(S_ISFIFO(pipe.st_mode));
  EXPECT_THAT(names(), ElementsAre("link", "pipe"));
}

}  // namespace
}  // namespace cairn::restore
