#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/bytes.h"

namespace cairn {
namespace {

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-files-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string at(std::string_view name) const { return join_path(root_, name); }
  void put(const std::string& path, std::string_view text) {
    auto file = fs_->open(path, OpenMode::write);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->truncate(0));
    ASSERT_TRUE((*file)->write_at(0, as_bytes(text)));
  }
  std::string get(const std::string& path) {
    const auto bytes = read_file(*fs_, path);
    return bytes ? std::string(as_text(*bytes)) : "error: " + bytes.error().message();
  }

  std::string root_;
  std::unique_ptr<FileSystem> fs_ = make_real_file_system();
};

TEST_F(Files, WhatIsWrittenIsReadBack) {
  auto file = fs_->open(at("a"), OpenMode::create_new);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write_at(5, as_bytes("hello")));
  EXPECT_EQ(*(*file)->size(), 10u);
  ASSERT_TRUE((*file)->sync());
  (*file)->start_writeback(0, 10);
  Bytes bytes(20);
  EXPECT_EQ(*(*file)->read_at(0, bytes), 10u);
  EXPECT_EQ(as_text(ByteView(bytes).subspan(5, 5)), "hello");
  EXPECT_EQ(*(*file)->read_at(8, bytes), 2u);
  EXPECT_EQ(*(*file)->read_at(10, bytes), 0u);
  ASSERT_TRUE((*file)->truncate(7));
  EXPECT_EQ(*(*file)->size(), 7u);
}

TEST_F(Files, NewFilesAreForTheirOwnerOnly) {
  ASSERT_TRUE(fs_->open(at("a"), OpenMode::create_new));
  struct stat status{};
  ASSERT_EQ(::stat(at("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(Files, KindsOfFailureAreTold) {
  put(at("file"), "x");
  EXPECT_EQ(fs_->open(at("none"), OpenMode::read).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(fs_->open(at("file"), OpenMode::create_new).error().kind(), ErrorKind::conflict);
  EXPECT_EQ(fs_->info(at("none")).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(fs_->info(at("file/below")).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(fs_->list(at("none")).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(fs_->rename(at("none"), at("b")).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(fs_->link_new(at("none"), at("b")).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(fs_->make_directories(at("file/below")).error().kind(), ErrorKind::io);
  EXPECT_EQ(fs_->make_directories(at("file")).error().kind(), ErrorKind::io);
  const auto opened = fs_->open(at("none"), OpenMode::read);
  EXPECT_NE(opened.error().message().find(at("none")), std::string::npos) << opened.error().message();
}

TEST_F(Files, FullDiskIsSaidInPlainWords) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full";
  auto file = fs_->open("/dev/full", OpenMode::write);
  ASSERT_TRUE(file);
  const auto written = (*file)->write_at(0, as_bytes("x"));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind(), ErrorKind::io);
  EXPECT_NE(written.error().message().find("the disk is full"), std::string::npos) << written.error().message();
}

TEST_F(Files, LinkNewNeverReplaces) {
  put(at("new"), "new");
  put(at("old"), "old");
  EXPECT_EQ(fs_->link_new(at("new"), at("old")).error().kind(), ErrorKind::conflict);
  EXPECT_EQ(get(at("old")), "old");
  ASSERT_TRUE(fs_->link_new(at("new"), at("other")));
  EXPECT_EQ(get(at("other")), "new");
  EXPECT_EQ(get(at("new")), "new");
}

TEST_F(Files, RenameReplaces) {
  put(at("new"), "new");
  put(at("old"), "old");
  ASSERT_TRUE(fs_->rename(at("new"), at("old")));
  EXPECT_EQ(get(at("old")), "new");
  EXPECT_FALSE(fs_->info(at("new")));
}

TEST_F(Files, RemovingWhatIsNotThereSucceeds) {
  put(at("a"), "x");
  EXPECT_TRUE(fs_->remove(at("a")));
  EXPECT_TRUE(fs_->remove(at("a")));
  EXPECT_TRUE(fs_->remove(at("no/such/folder")));
}

TEST_F(Files, DirectoriesAreMadeWithAllAboveThem) {
  ASSERT_TRUE(fs_->make_directories(at("a/b/c")));
  ASSERT_TRUE(fs_->make_directories(at("a/b/c")));
  EXPECT_TRUE(fs_->info(at("a/b/c"))->is_directory);
  EXPECT_TRUE(fs_->sync_directory(at("a/b")));
  struct stat status{};
  ASSERT_EQ(::stat(at("a/b").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  EXPECT_EQ(fs_->make_directories("").error().kind(), ErrorKind::invalid);
}

TEST_F(Files, NamesAreListedInOrder) {
  for (const char* name : {"b", "a", "c", ".hidden"}) put(at(name), "");
  ASSERT_TRUE(fs_->make_directories(at("aa")));
  EXPECT_EQ(*fs_->list(root_), (std::vector<std::string>{".hidden", "a", "aa", "b", "c"}));
}

TEST_F(Files, InfoFollowsLinksAndTellsReplacedFilesApart) {
  put(at("a"), "12345");
  ASSERT_EQ(::symlink("a", at("link").c_str()), 0);
  const FileInfo direct = *fs_->info(at("a"));
  const FileInfo linked = *fs_->info(at("link"));
  EXPECT_EQ(direct.size_bytes, 5u);
  EXPECT_FALSE(direct.is_directory);
  EXPECT_EQ(direct.inode, linked.inode);
  put(at("b"), "12345");
  ASSERT_TRUE(fs_->rename(at("b"), at("a")));
  EXPECT_NE(fs_->info(at("a"))->inode, direct.inode);
}

TEST_F(Files, MappedFileKeepsItsBytesAndGrowsWithZeros) {
  {
    auto mapped = fs_->map(at("map"), 8);
    ASSERT_TRUE(mapped);
    std::memcpy((*mapped)->bytes().data(), "12345678", 8);
    ASSERT_TRUE((*mapped)->resize(100000));
    ASSERT_EQ((*mapped)->bytes().size(), 100000u);
    EXPECT_EQ(as_text((*mapped)->bytes().first(8)), "12345678");
    EXPECT_EQ((*mapped)->bytes()[99999], std::byte{0});
    (*mapped)->bytes()[99999] = std::byte{'x'};
  }
  auto again = fs_->map(at("map"), 100000);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->bytes()[99999], std::byte{'x'});
  ASSERT_TRUE((*again)->resize(4));
  ASSERT_TRUE((*again)->resize(8));
  EXPECT_EQ(as_text((*again)->bytes()), std::string_view("1234\0\0\0\0", 8));
  ASSERT_TRUE((*again)->resize(0));
  EXPECT_TRUE((*again)->bytes().empty());
  EXPECT_EQ(fs_->info(at("map"))->size_bytes, 0u);
}

TEST_F(Files, LockIsHeldByOneAndLetGoOfByTheKernel) {
  auto lock = fs_->lock(at("lock"));
  ASSERT_TRUE(lock);
  EXPECT_EQ(fs_->lock(at("lock")).error().kind(), ErrorKind::busy);
  lock->reset();
  EXPECT_TRUE(fs_->lock(at("lock")));

  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto held = fs_->lock(at("lock"));
    (void)!::write(ready[1], held ? "1" : "0", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, '1');
  EXPECT_EQ(fs_->lock(at("lock")).error().kind(), ErrorKind::busy);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs_->lock(at("lock")));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(Files, WriteFileDurablyReplacesWholeAndLeavesNothingBehind) {
  ASSERT_TRUE(write_file_durably(*fs_, at("state"), as_bytes("first")));
  put(at("state.tmp"), "left by a crash");
  ASSERT_TRUE(write_file_durably(*fs_, at("state"), as_bytes("second")));
  EXPECT_EQ(get(at("state")), "second");
  EXPECT_EQ(*fs_->list(root_), (std::vector<std::string>{"state"}));
  EXPECT_EQ(write_file_durably(*fs_, at("none/state"), as_bytes("x")).error().kind(), ErrorKind::not_found);
}

TEST_F(Files, FileSourceFailsWhenTheFileGetsShorter) {
  put(at("a"), "0123456789");
  auto file = fs_->open(at("a"), OpenMode::write);
  const FileSource source(**file, 10);
  Bytes some(4);
  ASSERT_TRUE(source.read_at(6, some));
  EXPECT_EQ(as_text(some), "6789");
  EXPECT_FALSE(source.read_at(7, some));
  ASSERT_TRUE((*file)->truncate(8));
  EXPECT_EQ(source.read_at(6, some).error().kind(), ErrorKind::io);
}

TEST(Paths, ParentAndJoin) {
  EXPECT_EQ(parent_directory("/a/b"), "/a");
  EXPECT_EQ(parent_directory("/a/b/"), "/a");
  EXPECT_EQ(parent_directory("/a"), "/");
  EXPECT_EQ(parent_directory("/"), "/");
  EXPECT_EQ(parent_directory("a"), ".");
  EXPECT_EQ(parent_directory("a/b"), "a");
  EXPECT_EQ(parent_directory("a//b"), "a");
  EXPECT_EQ(join_path("/a", "b"), "/a/b");
  EXPECT_EQ(join_path("/a/", "b"), "/a/b");
  EXPECT_EQ(join_path("", "b"), "b");
}

}  // namespace
}  // namespace cairn
