// What only a directory store can do wrong: crashes, full and read-only disks, and what else lies in the directory.
#include "store/directory_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/files.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

class DirectoryStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-directory-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    base_ = pattern;
    root_ = base_ + "/store";
    store_ = open();
  }
  void TearDown() override {
    if (!mount_.empty()) ::umount2(mount_.c_str(), MNT_DETACH);
    std::filesystem::remove_all(base_);
  }

  std::unique_ptr<Store> open() const { return open(root_); }
  static std::unique_ptr<Store> open(const std::string& path, StoreUse use = StoreUse::publishing) {
    auto store = make_directory_store(path, use);
    EXPECT_TRUE(store);
    return std::move(*store);
  }
  Result<std::string> put_new(std::string_view key, std::string_view text) {
    return store_->put_new(key, BytesSource(as_bytes(text)));
  }
  std::string text_of(std::string_view key) {
    const auto object = store_->get(key);
    return object ? std::string(as_text(object->bytes)) : "error: " + std::string(name_of(object.error().kind()));
  }
  void write(const std::string& path, std::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  static void make_older(const std::string& path, int hours) {
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) - std::chrono::hours(hours));
  }
  std::vector<std::string> keys() {
    std::vector<std::string> keys;
    const auto page = store_->list("");
    EXPECT_TRUE(page) << page.error().message();
    if (page) {
      for (const ObjectInfo& object : page->objects) keys.push_back(object.key);
    }
    return keys;
  }
  // Everything below the root, as a sorted list of paths.
  std::vector<std::string> everything() const {
    std::vector<std::string> paths;
    if (!std::filesystem::exists(root_)) return paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      paths.push_back(std::filesystem::relative(entry.path(), root_).string());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  // A tiny file system at `path`; false: not possible here.
  bool mount_at(const std::string& path, const std::string& options) {
    std::filesystem::create_directories(path);
    if (::mount("tmpfs", path.c_str(), "tmpfs", 0, options.c_str()) != 0) return false;
    mount_ = path;
    return true;
  }

  std::string base_, root_, mount_;
  std::unique_ptr<Store> store_;
};

TEST_F(DirectoryStoreTest, ReadingMakesNothing) {
  EXPECT_EQ(store_->get("a").error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store_->get_suffix("a/b", 1).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store_->head("a").error().kind(), ErrorKind::not_found);
  EXPECT_TRUE(store_->list("a/b")->objects.empty());
  EXPECT_TRUE(store_->list_uploads("")->empty());
  EXPECT_TRUE(store_->remove("a/b"));
  EXPECT_TRUE(store_->abort_upload("a", std::string(32, '0')));
  EXPECT_EQ(store_->put_if("a", BytesSource({}), "etag").error().kind(), ErrorKind::conflict);
  EXPECT_FALSE(std::filesystem::exists(root_));
}

TEST_F(DirectoryStoreTest, ObjectsArePlainFilesForTheirOwnerOnly) {
  ASSERT_TRUE(put_new("app/wal/1", "text"));
  std::ifstream file(root_ + "/app/wal/1");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "text");
  struct stat status{};
  ASSERT_EQ(::stat((root_ + "/app/wal/1").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(status.st_nlink, 1u);
  for (const char* folder : {"", "/app", "/app/wal", "/app/wal/.cairn-tmp"}) {
    ASSERT_EQ(::stat((root_ + folder).c_str(), &status), 0) << folder;
    EXPECT_EQ(status.st_mode & 0777, 0700u) << folder;
  }
}

TEST_F(DirectoryStoreTest, NothingIsLeftBehindByPuts) {
  const std::string etag = *put_new("a/b", "1");
  EXPECT_FALSE(put_new("a/b", "2"));
  ASSERT_TRUE(store_->put_if("a/b", BytesSource(as_bytes("3")), etag));
  EXPECT_FALSE(store_->put_if("a/b", BytesSource(as_bytes("4")), etag));
  const std::string id = *store_->begin_upload("a/c");
  const PartInfo part = *store_->put_part("a/c", id, 1, BytesSource(as_bytes("5")));
  ASSERT_TRUE(store_->complete_new("a/c", id, std::vector{part}));
  const std::string other = *store_->begin_upload("a/c");
  ASSERT_TRUE(store_->abort_upload("a/c", other));
  EXPECT_EQ(everything(),
            (std::vector<std::string>{".cairn-uploads", "a", "a/.cairn-tmp", "a/.cairn-tmp/lock", "a/b", "a/c"}));
}

TEST_F(DirectoryStoreTest, AnotherStoreOnTheSameDirectorySeesTheSame) {
  const std::string etag = *put_new("a", "1");
  const auto other = open();
  EXPECT_EQ(other->head("a")->etag, etag);
  const auto replaced = other->put_if("a", BytesSource(as_bytes("2")), etag);
  ASSERT_TRUE(replaced);
  EXPECT_EQ(store_->head("a")->etag, *replaced);
  const std::string id = *store_->begin_upload("b");
  const PartInfo p1 = *store_->put_part("b", id, 1, BytesSource(as_bytes("12345")));
  const PartInfo p2 = *other->put_part("b", id, 2, BytesSource(as_bytes("678")));
  EXPECT_EQ(other->list_parts("b", id)->size(), 2u);
  ASSERT_TRUE(other->complete_new("b", id, std::vector{p1, p2}));
  EXPECT_EQ(text_of("b"), "12345678");
}

TEST_F(DirectoryStoreTest, EtagSurvivesCopiesHardLinksAndRights) {
  const std::string etag = *put_new("a", "1");
  ASSERT_EQ(::link((root_ + "/a").c_str(), (base_ + "/backup").c_str()), 0);
  ASSERT_EQ(::chmod((root_ + "/a").c_str(), 0640), 0);
  EXPECT_EQ(store_->head("a")->etag, etag);
  EXPECT_TRUE(store_->put_if("a", BytesSource(as_bytes("2")), etag));
  std::ifstream backup(base_ + "/backup");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(backup), {}), "1");
}

TEST_F(DirectoryStoreTest, EtagChangesThoughTheClockWasSetBack) {
  const std::string first = *put_new("a", "1");
  make_older(root_ + "/a", -1000);  // as if it had been put in the future
  const std::string future = store_->head("a")->etag;
  EXPECT_NE(future, first);
  const auto next = store_->put_if("a", BytesSource(as_bytes("2")), future);
  ASSERT_TRUE(next);
  EXPECT_NE(*next, future);
  EXPECT_EQ(store_->head("a")->etag, *next);
}

TEST_F(DirectoryStoreTest, WhatItDidNotMakeIsNotListed) {
  ASSERT_TRUE(put_new("a/b", "1"));
  write(root_ + "/a/.cairn-tmp/00112233445566778899aabbccddeeff", "half");
  write(root_ + "/.cairn-uploads/x/data", "half");
  write(root_ + "/a/not-\xff-utf8", "x");
  ASSERT_EQ(::mkfifo((root_ + "/a/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("nowhere", (root_ + "/a/dangling").c_str()), 0);
  std::filesystem::create_directories(root_ + "/empty/folders/only");
  EXPECT_EQ(keys(), (std::vector<std::string>{"a/b"}));
  EXPECT_EQ(text_of("a/fifo"), "error: not_found");
  EXPECT_EQ(text_of("empty/folders"), "error: not_found");
}

TEST_F(DirectoryStoreTest, FoldersMayBeSymbolicLinksEvenToOtherFileSystems) {
  const std::string other =
      std::filesystem::exists("/dev/shm") ? "/dev/shm/cairn-" + SystemRandom().id().hex() : base_ + "/other";
  std::filesystem::create_directories(other);
  std::filesystem::create_directories(root_);
  std::filesystem::create_directory_symlink(other, root_ + "/app");
  ASSERT_TRUE(put_new("app/one", "1"));
  const std::string id = *store_->begin_upload("app/two");  // its parts lie on the first file system
  const PartInfo p1 = *store_->put_part("app/two", id, 1, BytesSource(as_bytes("12345")));
  const PartInfo p2 = *store_->put_part("app/two", id, 2, BytesSource(as_bytes("678")));
  const auto completed = store_->complete_new("app/two", id, std::vector{p1, p2});
  ASSERT_TRUE(completed) << completed.error().message();
  EXPECT_EQ(text_of("app/two"), "12345678");
  EXPECT_EQ(keys(), (std::vector<std::string>{"app/one", "app/two"}));
  EXPECT_TRUE(std::filesystem::exists(other + "/two"));
  std::filesystem::remove_all(other);
}

TEST_F(DirectoryStoreTest, FolderRemovedByHandIsMadeAgain) {
  ASSERT_TRUE(put_new("a/b/c", "1"));
  std::filesystem::remove_all(root_);
  EXPECT_EQ(text_of("a/b/c"), "error: not_found");
  ASSERT_TRUE(put_new("a/b/c", "2"));
  EXPECT_EQ(text_of("a/b/c"), "2");
  const std::string etag = store_->head("a/b/c")->etag;
  std::filesystem::remove_all(root_ + "/a/b/.cairn-tmp");
  EXPECT_TRUE(store_->put_if("a/b/c", BytesSource(as_bytes("3")), etag));
  std::filesystem::remove_all(root_ + "/a/b/.cairn-tmp");
  EXPECT_TRUE(store_->remove("a/b/c"));
  EXPECT_EQ(text_of("a/b/c"), "error: not_found");
}

// A folder that goes while something is put takes that with it; what is there then may be the right one, and lacks it.
TEST_F(DirectoryStoreTest, WhatIsPutBesideAnotherGoesWhereThatOneLies) {
  class Moving final : public Source {
   public:
    explicit Moving(std::string folder) : folder_(std::move(folder)) {}
    std::uint64_t size_bytes() const override { return 3; }
    Result<void> read_at(std::uint64_t, std::span<std::byte> into) const override {
      std::filesystem::rename(folder_, folder_ + ".moved");
      std::filesystem::create_directories(folder_ + "/.cairn-tmp");
      std::fill(into.begin(), into.end(), std::byte{'x'});
      return {};
    }

   private:
    std::string folder_;
  };
  const auto etag = put_new("app/wal/1", "first");
  ASSERT_TRUE(etag);
  const auto put = store_->put_new_beside("app/wal/2", Moving(root_ + "/app/wal"), {"app/wal/1", *etag});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().kind(), ErrorKind::maybe_done);
  EXPECT_EQ(text_of("app/wal/2"), "error: not_found");
  EXPECT_EQ(text_of("app/wal.moved/1"), "first");
  EXPECT_EQ(text_of("app/wal.moved/2"), "xxx");
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/app/wal/.cairn-tmp"));
  const BytesSource third(as_bytes(std::string_view("3")));
  const auto next = store_->put_new_beside("app/wal/3", third, {"app/wal/1", *etag});
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().kind(), ErrorKind::not_found);
}

TEST_F(DirectoryStoreTest, LeftoversOlderThanADayAreSweptByALaterPut) {
  ASSERT_TRUE(put_new("a/b", "1"));
  const std::string old_file = root_ + "/a/.cairn-tmp/00112233445566778899aabbccddeeff";
  const std::string young_file = root_ + "/a/.cairn-tmp/10112233445566778899aabbccddeeff";
  write(old_file, "half");
  write(young_file, "half");
  make_older(old_file, 25);
  make_older(young_file, 23);
  write(root_ + "/.cairn-uploads/00112233445566778899aabbccddeeff.new/data", "half");
  make_older(root_ + "/.cairn-uploads/00112233445566778899aabbccddeeff.new", 25);
  EXPECT_EQ(keys(), (std::vector<std::string>{"a/b"}));

  store_ = open();
  EXPECT_TRUE(store_->list("").has_value());
  EXPECT_TRUE(std::filesystem::exists(old_file)) << "reading removes nothing";
  ASSERT_TRUE(put_new("a/c", "1"));
  EXPECT_FALSE(std::filesystem::exists(old_file));
  EXPECT_TRUE(std::filesystem::exists(young_file));
  ASSERT_TRUE(store_->begin_upload("a/d"));
  EXPECT_FALSE(std::filesystem::exists(root_ + "/.cairn-uploads/00112233445566778899aabbccddeeff.new"));
}

TEST_F(DirectoryStoreTest, UnfinishedUploadIsNeverSwept) {
  const std::string id = *store_->begin_upload("a");
  const PartInfo part = *store_->put_part("a", id, 1, BytesSource(as_bytes("x")));
  make_older(root_ + "/.cairn-uploads/" + id, 1000);
  store_ = open();
  ASSERT_TRUE(store_->begin_upload("b"));
  EXPECT_TRUE(store_->complete_new("a", id, std::vector{part}));
}

// Unsuitable places. Each gives one sentence that names the place.

TEST_F(DirectoryStoreTest, RootThatIsAFileIsSaidSo) {
  write(root_, "I am a file");
  const BytesSource body(as_bytes("x"));
  const std::vector<Error> errors{put_new("a/b", "x").error(),
                                  store_->put_if("a", body, "etag").error(),
                                  store_->get("a").error(),
                                  store_->head("a").error(),
                                  store_->list("").error(),
                                  store_->list("a/b").error(),
                                  store_->remove("a").error(),
                                  store_->begin_upload("a").error(),
                                  store_->list_uploads("").error(),
                                  put_new("a", "x").error(),
                                  store_->list_parts("a", std::string(32, '0')).error()};
  for (const Error& error : errors) {
    EXPECT_EQ(error.kind(), ErrorKind::io) << error.message();
    EXPECT_THAT(error.message(), HasSubstr(root_ + " is a file, not a directory"));
  }
  EXPECT_TRUE(std::filesystem::is_regular_file(root_));
}

TEST_F(DirectoryStoreTest, RootBelowAFileIsRefused) {
  write(base_ + "/file", "x");
  store_ = open(base_ + "/file/store");
  EXPECT_EQ(put_new("a", "x").error().kind(), ErrorKind::io);
}

TEST_F(DirectoryStoreTest, ReadOnlyFileSystemIsDeniedForWritesAndGoodForReads) {
  if (!mount_at(root_, "size=1m")) GTEST_SKIP() << "mounting a file system needs root";
  const std::string etag = *put_new("a/b", "1");
  ASSERT_EQ(::mount(nullptr, root_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  for (int fresh = 0; fresh < 2; ++fresh, store_ = open()) {
    const BytesSource body(as_bytes("x"));
    const std::vector<Error> errors{put_new("a/c", "x").error(), put_new("new/c", "x").error(),
                                    store_->put_if("a/b", body, etag).error(), store_->remove("a/b").error(),
                                    store_->begin_upload("a/c").error()};
    for (const Error& error : errors) {
      EXPECT_EQ(error.kind(), ErrorKind::denied) << error.message();
      EXPECT_THAT(error.message(), HasSubstr("read-only"));
      EXPECT_THAT(error.message(), HasSubstr(root_));
    }
    EXPECT_EQ(text_of("a/b"), "1");
    EXPECT_EQ(keys(), (std::vector<std::string>{"a/b"}));
  }
}

// Runs `work` on a thread to which the kernel answers every fsync with EIO. False: it does not do that here.
bool run_where_syncs_fail(const std::function<void()>& work) {
  bool may_run = false;
  std::thread([&] {
    sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                           BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsync, 0, 1),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog filter{.len = std::size(steps), .filter = steps};
    may_run = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
              ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
    if (may_run) work();
  }).join();
  return may_run;
}

// Whose name may not survive a crash has been published for nobody; but it is there to be restored.
TEST_F(DirectoryStoreTest, AFolderThatCannotBeSyncedIsReadButNotGoneBy) {
  ASSERT_TRUE(put_new("app/1", "one"));
  const auto reader = open(root_, StoreUse::reading);
  const bool has_run = run_where_syncs_fail([&] {
    const auto listed = store_->list("");
    EXPECT_EQ(listed.error().kind(), ErrorKind::io);
    EXPECT_THAT(listed.error().message(), HasSubstr("syncing the folder " + root_));
    EXPECT_EQ(store_->head("app/1").error().kind(), ErrorKind::io);
    EXPECT_EQ(put_new("app/1", "another").error().kind(), ErrorKind::io) << "nor is it told that it exists";

    const auto shown = reader->list("");
    ASSERT_TRUE(shown) << shown.error().message();
    ASSERT_EQ(shown->objects.size(), 1u);
    const auto looked_at = reader->head("app/1");
    ASSERT_TRUE(looked_at) << looked_at.error().message();
    EXPECT_EQ(looked_at->etag, shown->objects[0].etag);
    EXPECT_TRUE(reader->get("app/1"));
  });
  if (!has_run) GTEST_SKIP() << "a thread cannot have a system call fail here (seccomp)";
  EXPECT_EQ(keys(), std::vector<std::string>{"app/1"}) << "a folder that can be synced again is gone by again";
}

TEST_F(DirectoryStoreTest, FullDiskIsSaidAndNothingBecomesVisible) {
  if (!mount_at(root_, "size=1m")) GTEST_SKIP() << "mounting a file system needs root";
  ASSERT_TRUE(put_new("a/small", "1"));
  const std::string large(2 << 20, 'x');
  const auto put = put_new("a/large", large);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().kind(), ErrorKind::io);
  EXPECT_THAT(put.error().message(), HasSubstr("the disk is full"));
  EXPECT_THAT(put.error().message(), HasSubstr("a/large"));
  const auto replaced = store_->put_if("a/small", BytesSource(as_bytes(large)), store_->head("a/small")->etag);
  ASSERT_FALSE(replaced);
  EXPECT_THAT(replaced.error().message(), HasSubstr("the disk is full"));
  EXPECT_EQ(text_of("a/small"), "1");

  const std::string id = *store_->begin_upload("a/large");
  const std::string half(600 << 10, 'y');
  const PartInfo first = *store_->put_part("a/large", id, 1, BytesSource(as_bytes(half)));
  const auto second = store_->put_part("a/large", id, 2, BytesSource(as_bytes(half)));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), ErrorKind::io);
  EXPECT_THAT(second.error().message(), HasSubstr("the disk is full"));
  EXPECT_EQ(store_->list_parts("a/large", id)->size(), 1u);
  EXPECT_EQ(keys(), (std::vector<std::string>{"a/small"}));
  ASSERT_TRUE(store_->abort_upload("a/large", id));
  EXPECT_TRUE(put_new("a/large", half)) << "all room is free again";
  EXPECT_EQ(first.number, 1);
}

TEST_F(DirectoryStoreTest, FolderThatMayNotBeReadIsAnErrorAndNoHole) {
  ASSERT_TRUE(put_new("a/b", "1"));
  if (::geteuid() == 0) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {  // as nobody, in a copy of this process
      ::chmod(base_.c_str(), 0755);
      ::chmod(root_.c_str(), 0755);
      if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(9);
      const auto page = store_->list("");
      const auto put = put_new("c", "x");
      const auto got = store_->get("a/b");
      const bool right = !page && page.error().kind() == ErrorKind::denied && !put &&
                         put.error().kind() == ErrorKind::denied && !got && got.error().kind() == ErrorKind::denied;
      ::_exit(right ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
  } else {
    ASSERT_EQ(::chmod((root_ + "/a").c_str(), 0), 0);
    EXPECT_EQ(store_->list("").error().kind(), ErrorKind::denied);
    EXPECT_EQ(store_->get("a/b").error().kind(), ErrorKind::denied);
    ASSERT_EQ(::chmod((root_ + "/a").c_str(), 0700), 0);
  }
}

// Crashes. A child works on the store until it is killed; what it left is looked at by us.

class DirectoryStoreCrash : public DirectoryStoreTest {
 protected:
  // Kills a child that repeats `work` after a random time, `rounds` times.
  void crash(int rounds, const std::function<void(int round)>& work, const std::function<void(int round)>& look) {
    SeededRandom random(11);
    for (int round = 0; round < rounds; ++round) {
      const pid_t child = ::fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        work(round);
        ::_exit(0);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(500 + random.below(30000)));
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      look(round);
    }
  }
  static std::string body(int round, int n) {
    return std::string(static_cast<std::size_t>(1 + (n * 7919) % 300000), static_cast<char>('a' + (round + n) % 26));
  }
};

TEST_F(DirectoryStoreCrash, KillDuringPutNewLeavesWholeObjectsOrNone) {
  int seen = 0;
  crash(
      40,
      [&](int round) {
        const auto store = open();
        for (int n = 0;; ++n) {
          const std::string text = body(round, n);
          (void)store->put_new("r" + std::to_string(round) + "/" + std::to_string(n), BytesSource(as_bytes(text)));
        }
      },
      [&](int round) {
        const auto page = store_->list("r" + std::to_string(round) + "/");
        ASSERT_TRUE(page) << page.error().message();
        for (const ObjectInfo& object : page->objects) {
          const int n = std::stoi(object.key.substr(object.key.rfind('/') + 1));
          ASSERT_TRUE(text_of(object.key) == body(round, n)) << object.key;
          ++seen;
        }
        // And they can be put again by the next process, unless they are there.
        const std::string key = "r" + std::to_string(round) + "/0";
        EXPECT_EQ(put_new(key, body(round, 0)).has_value(), page->objects.empty());
      });
  EXPECT_GT(seen, 0);
}

TEST_F(DirectoryStoreCrash, KillDuringPutIfLeavesOldOrNewAndTheLockFree) {
  ASSERT_TRUE(put_new("a", body(0, 0)));
  crash(
      30,
      [&](int round) {
        const auto store = open();
        for (int n = 0;; ++n) {
          const auto head = store->head("a");
          if (head) (void)store->put_if("a", BytesSource(as_bytes(body(round, n))), head->etag);
        }
      },
      [&](int) {
        const std::string text = text_of("a");
        ASSERT_GE(text.size(), 1u);
        ASSERT_EQ(text.find_first_not_of(text[0]), std::string::npos);
        const auto head = store_->head("a");
        ASSERT_TRUE(head);
        ASSERT_TRUE(store_->put_if("a", BytesSource(as_bytes(text)), head->etag));
      });
}

TEST_F(DirectoryStoreCrash, KillDuringUploadLosesNoAcknowledgedPartAndCanBeResumed) {
  constexpr std::size_t kPart = 40000;
  const auto text = [](int number) { return std::string(number < 30 ? kPart : 77, static_cast<char>('A' + number)); };
  int resumed = 0;
  crash(
      30,
      [&](int round) {
        const auto store = open();
        const std::string key = "up" + std::to_string(round);
        const auto id = store->begin_upload(key);
        if (!id) return;
        std::vector<PartInfo> parts;
        for (int number = 1; number <= 30; ++number) {
          const auto part = store->put_part(key, *id, number, BytesSource(as_bytes(text(number))));
          if (part) parts.push_back(*part);
        }
        (void)store->complete_new(key, *id, parts);
      },
      [&](int round) {
        const std::string key = "up" + std::to_string(round);
        std::string whole;
        for (int number = 1; number <= 30; ++number) whole += text(number);
        const auto uploads = store_->list_uploads(key);
        ASSERT_TRUE(uploads) << uploads.error().message();
        if (store_->head(key)) {
          ASSERT_TRUE(text_of(key) == whole) << key;
          for (const UploadInfo& upload : *uploads) {  // killed before it was cleaned up: it can only be aborted
            if (upload.key != key) continue;
            EXPECT_EQ(store_->put_part(key, upload.upload_id, 1, BytesSource(as_bytes("x"))).error().kind(),
                      ErrorKind::not_found);
            EXPECT_TRUE(store_->abort_upload(key, upload.upload_id));
          }
          ASSERT_TRUE(text_of(key) == whole) << key;
          return;
        }
        for (const UploadInfo& upload : *uploads) {
          if (upload.key != key) continue;
          std::vector<PartInfo> parts = *store_->list_parts(key, upload.upload_id);
          for (int number = 1; number <= 30; ++number) {
            const bool there =
                std::any_of(parts.begin(), parts.end(), [&](const PartInfo& part) { return part.number == number; });
            if (there) continue;
            const auto part = store_->put_part(key, upload.upload_id, number, BytesSource(as_bytes(text(number))));
            ASSERT_TRUE(part);
            parts.insert(parts.begin() + (number - 1), *part);
          }
          const auto completed = store_->complete_new(key, upload.upload_id, parts);
          ASSERT_TRUE(completed) << completed.error().message();
          ASSERT_TRUE(text_of(key) == whole) << key;
          ++resumed;
        }
      });
  EXPECT_GT(resumed, 0);
}

TEST_F(DirectoryStoreCrash, PartsOfAnEarlierBootNeverCame) {
  const std::string id = *store_->begin_upload("a");
  const PartInfo part = *store_->put_part("a", id, 1, BytesSource(as_bytes("x")));
  const std::string record = root_ + "/.cairn-uploads/" + id + "/part-00001";
  std::ifstream in(record);
  std::string text(std::istreambuf_iterator<char>(in), {});
  in.close();
  ASSERT_GT(text.size(), 10u);
  text.replace(text.size() - 9, 8, "00000000");  // the end of the boot's id
  write(record, text);
  EXPECT_TRUE(store_->list_parts("a", id)->empty());
  EXPECT_EQ(store_->complete_new("a", id, std::vector{part}).error().kind(), ErrorKind::invalid);
  const PartInfo again = *store_->put_part("a", id, 1, BytesSource(as_bytes("y")));
  ASSERT_TRUE(store_->complete_new("a", id, std::vector{again}));
  EXPECT_EQ(text_of("a"), "y");
}

}  // namespace
}  // namespace cairn
