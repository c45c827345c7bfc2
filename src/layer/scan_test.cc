#include "layer/scan.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include <cstring>
#include <thread>

#include "layer/test_upper.h"
#include "support/without_right.h"

namespace cairn::layer {
namespace {

using cairn::testing::WithoutRight;
using testing::TestUpper;

TEST(Scan, FirstSyncIsEverythingInOrder) {
  TestUpper upper;
  upper.mkdir("a");
  upper.write("a/x", "1");
  upper.write("a.b", "2");
  upper.write("ab", "3");
  ASSERT_EQ(::symlink("nowhere", (upper / "a/l").c_str()), 0);
  EXPECT_EQ(upper.sync_text(),
            "dir \ndir a\nsymlink a/l -> nowhere\nfile a/x=1\nfile a.b=2\nfile ab=3\n");
  EXPECT_TRUE(upper.last.changed);
  EXPECT_EQ(upper.last.entries, 6u);
  EXPECT_EQ(upper.last.planned, 6u);
  EXPECT_EQ(upper.last.planned_bytes, 3u);
}

TEST(Scan, Z6_NothingChangedReadsNothingAndWritesNothing) {
  TestUpper upper;
  upper.mkdir("d");
  upper.write("d/f", "contents");
  upper.tick();
  ASSERT_NE(upper.sync_text(), "");
  const auto size = [&] { return std::filesystem::file_size(upper.beside("state.db-wal")); };
  const auto before = size();
  EXPECT_EQ(upper.sync_text(), "");
  EXPECT_FALSE(upper.last.changed);
  EXPECT_EQ(upper.last.hashed_files, 0u);
  EXPECT_EQ(upper.last.entries, 3u);
  EXPECT_EQ(size(), before);
}

TEST(Scan, RacilyCleanFilesAreHashedAndThenTrusted) {
  TestUpper upper;
  upper.clock.ahead_ms = 0;
  upper.write("f", "abc");
  ASSERT_NE(upper.sync_text(), "");
  EXPECT_EQ(upper.sync_text(), "");
  EXPECT_EQ(upper.last.hashed_files, 1u);
  upper.clock.ahead_ms = 10'000;  // by now the ctime is old
  EXPECT_EQ(upper.sync_text(), "");
  EXPECT_EQ(upper.last.hashed_files, 1u);
  EXPECT_EQ(upper.sync_text(), "");
  EXPECT_EQ(upper.last.hashed_files, 0u);
}

// A power loss may have taken the times of a file, and not its bytes.
TEST(Scan, StampsOfAnotherBootProveNothingOnce) {
  TestUpper upper;
  upper.write("f", "abc");
  upper.write("g", "abc");
  ASSERT_NE(upper.sync_text(), "");
  const auto scan_in_boot = [&](const std::string& sql) {
    ASSERT_TRUE(sql.empty() || upper.catalogue->database().execute(sql));
    ASSERT_TRUE(upper.catalogue->doubt_other_boots());
    EXPECT_EQ(upper.sync_text(), "");
  };
  scan_in_boot("");  // of a Cairn that kept no boot
  EXPECT_EQ(upper.last.hashed_files, 2u);
  scan_in_boot("");
  EXPECT_EQ(upper.last.hashed_files, 0u);
  scan_in_boot("UPDATE layer_scan_boot SET boot = 'another'");
  EXPECT_EQ(upper.last.hashed_files, 2u);
  scan_in_boot("");
  EXPECT_EQ(upper.last.hashed_files, 0u);
}

// A write that leaves size and mtime as they were.
TEST(Scan, ChangedContentsUnderTheSameTimesAreFound) {
  TestUpper upper;
  upper.write("f", "abc");
  upper.tick();
  ASSERT_NE(upper.sync_text(), "");
  struct stat before {};
  ASSERT_EQ(::stat((upper / "f").c_str(), &before), 0);
  upper.write("f", "xyz");
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (upper / "f").c_str(), times, 0), 0);
  EXPECT_EQ(upper.sync_text(), "file f=xyz\n");
}

// A second store into a page that is dirty already does not move the ctime.
TEST(Scan, StoresThroughAMappingAreFound) {
  TestUpper upper;
  // What lies in memory alone is never written back, and shows no store but the first.
  std::string disk = std::filesystem::temp_directory_path() / "cairn-mapped-XXXXXX";
  ASSERT_NE(::mkdtemp(disk.data()), nullptr);
  struct statfs kind {};
  ASSERT_EQ(::statfs(disk.c_str(), &kind), 0);
  std::filesystem::remove(upper.root());
  std::filesystem::create_directory_symlink(disk, upper.root());
  upper.write("f", "abc");
  const int file = ::open((upper / "f").c_str(), O_RDWR);
  void* const mapped = ::mmap(nullptr, 3, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  const auto store = [&](const char* text) { std::memcpy(mapped, text, 3); };
  store("def");
  upper.tick();
  EXPECT_EQ(upper.sync_text(), "dir \nfile f=def\n");
  store("ghi");
  upper.tick();
  const std::string second = upper.sync_text();
  store("jkl");
  const std::string third = upper.sync_text();
  ::munmap(mapped, 3);
  ::close(file);
  std::filesystem::remove_all(disk);
  if (kind.f_type == TMPFS_MAGIC) GTEST_SKIP() << "temporary files lie in memory here: set TMPDIR to a disk";
  EXPECT_EQ(second, "file f=ghi\n");
  EXPECT_EQ(third, "file f=jkl\n");
}

TEST(Scan, OnlyTheCtimeMoved) {
  TestUpper upper;
  upper.write("f", "abc");
  upper.tick();
  ASSERT_NE(upper.sync_text(), "");
  ASSERT_EQ(::chmod((upper / "f").c_str(), 0600), 0);
  ASSERT_EQ(::chmod((upper / "f").c_str(), 0644), 0);
  EXPECT_EQ(upper.sync_text(), "");
  EXPECT_EQ(upper.last.hashed_files, 1u);
  EXPECT_EQ(upper.sync_text(), "");
  EXPECT_EQ(upper.last.hashed_files, 0u);
}

TEST(Scan, VanishedNamesBecomeWhiteoutsOfTheTopmost) {
  TestUpper upper;
  upper.mkdir("d");
  upper.mkdir("d/e");
  upper.write("d/e/f", "1");
  upper.write("g", "2");
  ASSERT_NE(upper.sync_text(), "");
  std::filesystem::remove_all(upper / "d");
  std::filesystem::remove(upper / "g");
  EXPECT_EQ(upper.sync_text(), "dir \nwhiteout d none\nwhiteout g none\n");
  EXPECT_EQ(upper.sync_text(), "");
}

TEST(Scan, DirectoryWhoseOnlyChildVanishedIsWrittenForItsTimes) {
  TestUpper upper;
  upper.mkdir("d");
  upper.write("d/f", "1");
  ASSERT_NE(upper.sync_text(), "");
  std::filesystem::remove(upper / "d/f");
  EXPECT_EQ(upper.sync_text(), "dir d\nwhiteout d/f none\n");
}

TEST(Scan, DirectoryBecomesFileAndFileDirectory) {
  TestUpper upper;
  upper.mkdir("d");
  upper.write("d/f", "1");
  upper.write("e", "2");
  ASSERT_NE(upper.sync_text(), "");
  std::filesystem::remove_all(upper / "d");
  std::filesystem::remove(upper / "e");
  upper.write("d", "file");
  upper.mkdir("e");
  upper.write("e/f", "3");
  EXPECT_EQ(upper.sync_text(), "dir \nfile d=file\ndir e\nfile e/f=3\n");
  EXPECT_EQ(upper.sync_text(), "");
}

TEST(Scan, WhiteoutsComeAndGo) {
  TestUpper upper;
  upper.mkdir("d");
  upper.whiteout("d/gone");
  upper.whiteout("other");
  EXPECT_EQ(upper.sync_text(), "dir \ndir d\nwhiteout d/gone device\nwhiteout other device\n");
  EXPECT_EQ(upper.sync_text(), "");
  std::filesystem::remove(upper / "d/gone");
  std::filesystem::remove(upper / "other");
  upper.write("other", "back");
  EXPECT_EQ(upper.sync_text(), "dir \ndir d forgets gone\nfile other=back\n");
  EXPECT_EQ(upper.sync_text(), "");
}

TEST(Scan, ForgottenNamesAreToldAlthoughTheDirectoryItselfIsAsItWas) {
  TestUpper upper;
  upper.mkdir("d");
  upper.whiteout("d/gone");
  struct stat before {};
  ASSERT_EQ(::stat((upper / "d").c_str(), &before), 0);
  ASSERT_NE(upper.sync_text(), "");
  std::filesystem::remove(upper / "d/gone");
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (upper / "d").c_str(), times, 0), 0);
  EXPECT_EQ(upper.sync_text(), "dir d forgets gone\n");
  EXPECT_EQ(upper.sync_text(), "");
}

// Written on the transition only, and then with all that is in it: else it would hide what older layers have.
TEST(Scan, OpaqueIsWrittenWhenADirectoryBecomesSo) {
  TestUpper upper;
  upper.mkdir("d");
  upper.write("d/a", "1");
  upper.mkdir("d/sub");
  upper.write("d/sub/b", "2");
  upper.write("d/c", "3");
  ASSERT_NE(upper.sync_text(), "");
  std::filesystem::remove(upper / "d/c");
  upper.set("d", "trusted.overlay.opaque", "y");
  EXPECT_EQ(upper.sync_text(), "dir d xattr\nopaque d xattr\nfile d/a=1\ndir d/sub\nfile d/sub/b=2\n");
  upper.write("d/new", "4");
  EXPECT_EQ(upper.sync_text(), "dir d xattr\nfile d/new=4\n");
  std::filesystem::remove(upper / "d/a");
  EXPECT_EQ(upper.sync_text(), "dir d xattr\nwhiteout d/a none\n");
  ASSERT_EQ(::removexattr((upper / "d").c_str(), "trusted.overlay.opaque"), 0);
  EXPECT_EQ(upper.sync_text(), "dir d\n");
  EXPECT_EQ(upper.sync_text(), "");
}

TEST(Scan, HardLinksAreWrittenWholeOrNotAtAll) {
  TestUpper upper;
  upper.write("a", "1");
  std::filesystem::create_hard_link(upper / "a", upper / "b");
  std::filesystem::create_hard_link(upper / "a", upper / "c");
  EXPECT_EQ(upper.sync_text(), "dir \nfile a=1\nlink b -> a\nlink c -> a\n");
  EXPECT_EQ(upper.sync_text(), "");
  upper.write("c", "22");
  EXPECT_EQ(upper.sync_text(), "file a=22\nlink b -> a\nlink c -> a\n");
  std::filesystem::create_hard_link(upper / "a", upper / "0");
  EXPECT_EQ(upper.sync_text(), "dir \nfile 0=22\nlink a -> 0\nlink b -> 0\nlink c -> 0\n");
  std::filesystem::create_hard_link(upper / "a", upper / "d");
  EXPECT_EQ(upper.sync_text(), "dir \nfile 0=22\nlink a -> 0\nlink b -> 0\nlink c -> 0\nlink d -> 0\n");
  std::filesystem::remove(upper / "b");
  EXPECT_EQ(upper.sync_text(), "dir \nwhiteout b none\n");  // the others still are one file
  std::filesystem::remove(upper / "0");
  EXPECT_EQ(upper.sync_text(), "dir \nwhiteout 0 none\nfile a=22\nlink c -> a\nlink d -> a\n");
}

TEST(Scan, SocketsAreLeftOutAndCounted) {
  TestUpper upper;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (upper / "s").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  EXPECT_EQ(upper.sync_text(), "dir \n");
  EXPECT_EQ(upper.last.skipped_sockets, 1u);
  EXPECT_EQ(upper.sync_text(), "");
}

TEST(Scan, MountPointsAreNotCrossed) {
  TestUpper upper;
  upper.mkdir("m");
  upper.write("m/hidden", "1");
  ASSERT_NE(upper.sync_text(), "");
  if (::mount("tmpfs", (upper / "m").c_str(), "tmpfs", 0, nullptr) != 0) GTEST_SKIP() << "mounting is not allowed";
  upper.write("m/foreign", "2");
  EXPECT_EQ(upper.sync_text(), "");
  EXPECT_EQ(upper.notices.size(), 1u);
  ASSERT_EQ(::umount((upper / "m").c_str()), 0);
  EXPECT_EQ(upper.sync_text(), "");
}

// Something is mounted in an upper directory as long as this is there.
class Mounted {
 public:
  explicit Mounted(std::string at)
      : at_(std::move(at)), is_there_(::mount("tmpfs", at_.c_str(), "tmpfs", 0, nullptr) == 0) {}
  ~Mounted() {
    if (is_there_) ::umount(at_.c_str());
  }
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;
  bool is_there() const { return is_there_; }

 private:
  const std::string at_;
  const bool is_there_;
};

// What the store has below a mount, a full layer would not have any more.
TEST(Scan, FullSaysThatAMountHidesWhatTheStoreHas) {
  TestUpper upper;
  upper.mkdir("empty");
  upper.mkdir("m");
  upper.write("m/hidden", "1");
  ASSERT_NE(upper.sync_text(), "");
  {
    const Mounted mounted(upper / "empty");
    if (!mounted.is_there()) GTEST_SKIP() << "mounting is not allowed";
    for (const ScanGoal goal : {ScanGoal::full, ScanGoal::increment}) EXPECT_FALSE(upper.scan(goal)->hides_known);
  }
  const Mounted mounted(upper / "m");
  for (const ScanGoal goal : {ScanGoal::full, ScanGoal::increment}) EXPECT_TRUE(upper.scan(goal)->hides_known);
}

// The mode and the times of what is mounted are not the container's.
TEST(Scan, MountPointIsWrittenAsTheDirectoryThatItIs) {
  TestUpper upper;
  upper.mkdir("m");
  ASSERT_EQ(::chmod((upper / "m").c_str(), 0710), 0);
  upper.set("m", "user.its", "own");
  const Mounted mounted(upper / "m");
  if (!mounted.is_there()) GTEST_SKIP() << "mounting is not allowed";
  for (const ScanGoal goal : {ScanGoal::increment, ScanGoal::full}) {
    const auto all = upper.sync(goal);
    ASSERT_TRUE(all) << all.error().message();
    ASSERT_EQ(all->size(), 2u);
    EXPECT_EQ(all->at(1).entry.mode, 0710u);
    ASSERT_EQ(all->at(1).entry.xattrs.size(), 1u);
    EXPECT_EQ(all->at(1).entry.xattrs.front().name, "user.its");
    EXPECT_EQ(upper.sync_text(), "");
  }
}

// Whoever has no right to look below a mount knows nothing of the directory, and leaves the store what it has of it.
TEST(Scan, MountPointThatCannotBeLookedBelow) {
  if (!WithoutRight::is_possible()) GTEST_SKIP() << "only root with CAP_SYS_ADMIN can let go of it";
  TreeOptions options;
  options.hidden_attributes = LayerHiddenAttributes::accept;
  TestUpper upper(options);
  upper.mkdir("known");
  ASSERT_EQ(::chmod((upper / "known").c_str(), 0710), 0);
  ASSERT_NE(upper.sync_text(), "");
  upper.mkdir("unknown");
  std::optional<Mounted> unknown(upper / "unknown"), known;
  if (!unknown->is_there()) GTEST_SKIP() << "mounting is not allowed";
  {
    const WithoutRight without;
    const auto all = upper.sync();
    ASSERT_TRUE(all) << all.error().message();
    EXPECT_EQ(TestUpper::text_of(*all), "dir \ndir unknown\n");
    EXPECT_EQ(all->at(1).entry.mode, 0755u);
    EXPECT_FALSE(upper.scan(ScanGoal::full)->hides_known);
  }
  known.emplace(upper / "known");
  {
    const WithoutRight without;
    EXPECT_TRUE(upper.scan(ScanGoal::full)->hides_known);
  }
  unknown.reset();
  known.reset();
  EXPECT_EQ(upper.sync_text(), "dir unknown\n");  // its time is known by now
}

// It would hide what the store has below the mount, which cannot be written again.
TEST(Scan, DirectoryThatBecomesOpaqueAroundAMountIsRefused) {
  TestUpper upper;
  upper.mkdir("d");
  upper.mkdir("d/m");
  upper.write("d/m/hidden", "1");
  ASSERT_NE(upper.sync_text(), "");
  {
    const Mounted mounted(upper / "d/m");
    if (!mounted.is_there()) GTEST_SKIP() << "mounting is not allowed";
    upper.set("d", "trusted.overlay.opaque", "y");
    const auto scanned = upper.scan();
    ASSERT_FALSE(scanned);
    EXPECT_EQ(scanned.error().kind(), ErrorKind::conflict);
  }
  EXPECT_EQ(upper.sync_text(), "dir d xattr\nopaque d xattr\ndir d/m\nfile d/m/hidden=1\n");
}

TEST(Scan, WhatIsMountedBetweenScanAndArchiveEndsTheSync) {
  TestUpper upper;
  upper.mkdir("d");
  upper.mkdir("d/m");
  upper.write("d/m/hidden", "1");
  for (const std::string before : {"d", "d/m", "d/m/hidden"}) {
    ASSERT_TRUE(upper.scan(ScanGoal::full));
    std::optional<Mounted> mounted;
    const auto archived = upper.archive([&](const PlanRow& row) {
      if (row.path == before) mounted.emplace(upper / "d/m");
    });
    if (!mounted->is_there()) GTEST_SKIP() << "mounting is not allowed";
    ASSERT_FALSE(archived) << before;
    EXPECT_EQ(archived.error().kind(), ErrorKind::not_found);
  }
}

TEST(Scan, LookEndsAtTheFirstChangeAndLeavesThePlan) {
  TestUpper upper;
  upper.write("a", "1");
  ASSERT_NE(upper.sync_text(), "");
  auto looked = upper.scan(ScanGoal::look);
  ASSERT_TRUE(looked);
  EXPECT_FALSE(looked->changed);
  upper.write("b", "2");
  ASSERT_TRUE(upper.scan());
  looked = upper.scan(ScanGoal::look);
  ASSERT_TRUE(looked);
  EXPECT_TRUE(looked->changed);
  auto emitted = upper.archive();
  ASSERT_TRUE(emitted);
  EXPECT_EQ(TestUpper::text_of(*emitted), "dir \nfile b=2\n");
}

TEST(Scan, FullIsEverythingAgainWithoutReading) {
  TestUpper upper;
  upper.mkdir("d");
  upper.set("d", "trusted.overlay.opaque", "y");
  upper.write("d/f", "1");
  upper.whiteout("w");
  upper.write("z", "1");
  const std::string all = upper.sync_text();
  std::filesystem::remove(upper / "z");
  EXPECT_EQ(upper.sync_text(ScanGoal::full), "dir \ndir d xattr\nopaque d xattr\nfile d/f=1\nwhiteout w device\n");
  EXPECT_EQ(all, "dir \ndir d xattr\nopaque d xattr\nfile d/f=1\nwhiteout w device\nfile z=1\n");
  EXPECT_EQ(upper.sync_text(), "");
}

TEST(Scan, DeepPathsAndNamesOfAnyBytes) {
  TestUpper upper;
  // 1,300 levels: beyond what may be open at a time, and beyond what one path can say to the kernel at once.
  int at = ::open(upper.root().c_str(), O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 1300; ++i) {
    ASSERT_EQ(::mkdirat(at, "dd", 0755), 0);
    const int below = ::openat(at, "dd", O_RDONLY | O_DIRECTORY);
    ::close(at);
    at = below;
  }
  ::close(at);
  const std::string odd = "\xff\n\x01 %=";
  upper.write(odd, "odd");
  upper.write("dd/zz", "last");
  auto first = upper.sync();
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_EQ(first->size(), 1304u - 1);
  EXPECT_EQ(first->at(1301).entry.path, "dd/zz");
  EXPECT_EQ(first->back().entry.path, odd);
  EXPECT_EQ(upper.sync_text(), "");
}

TEST(Scan, ManyNamesInOneDirectory) {
  TestUpper upper;
  upper.mkdir("d");
  for (int i = 0; i < 20'000; ++i) upper.write("d/" + std::to_string(i), "");
  auto first = upper.sync();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), 20'002u);
  EXPECT_EQ(upper.sync_text(), "");
  EXPECT_EQ(upper.last.entries, 20'002u);
}

// More directories than are read ahead, deeper ones, and one with more names than are looked at ahead.
TEST(Scan, WhatIsReadAheadIsTheSame) {
  TestUpper upper;
  std::string deep = "deep";
  for (int i = 0; i < 40; ++i, deep += "/d") upper.mkdir(deep);
  for (int i = 0; i < 200; ++i) {
    const std::string name = "d" + std::to_string(i);
    upper.mkdir(name);
    upper.mkdir(name + "/e");
    upper.write(name + "/f", name);
    upper.write(name + "/e/g", name);
  }
  upper.mkdir("wide");
  for (int i = 0; i < 4200; ++i) upper.write("wide/" + std::to_string(i), "");
  const auto planned = [&] {
    auto scanned = upper.scan(ScanGoal::full);
    EXPECT_TRUE(scanned);
    upper.last = *scanned;
    const auto plan = Plan::load(*upper.catalogue);
    auto rows = (*plan)->rows();
    std::string text;
    while (const auto row = *(*rows)->next()) {
      text += row->path + " " + std::to_string(row->size_bytes) + (row->kind == EntryKind::directory ? "/\n" : "\n");
    }
    return text;
  };
  const std::string without = planned();
  EXPECT_EQ(upper.last.entries, 1 + 40 + 800 + 1 + 4200u);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(without == planned()) << i;
    EXPECT_EQ(upper.last.entries, 1 + 40 + 800 + 1 + 4200u);
  }
}

// Calls `change` whenever somebody is about to open the file, or one in the directory, and waits for it.
class BeforeOpening {
 public:
  BeforeOpening(const std::string& path, std::function<void()> change)
      : change_(std::move(change)), events_(::fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY)) {
    constexpr std::uint64_t kMask = FAN_OPEN_PERM | FAN_EVENT_ON_CHILD;
    if (events_ < 0 || ::fanotify_mark(events_, FAN_MARK_ADD, kMask, AT_FDCWD, path.c_str()) != 0) return;
    is_there = true;
    thread_ = std::thread([this] { run(); });
  }
  ~BeforeOpening() {
    ::close(ends_[1]);
    if (thread_.joinable()) thread_.join();
    ::close(ends_[0]);
    ::close(events_);
  }
  bool is_there = false;

 private:
  void run() {
    for (;;) {
      pollfd either[2] = {{events_, POLLIN, 0}, {ends_[0], POLLIN, 0}};
      if (::poll(either, 2, -1) < 0 || either[1].revents != 0) return;
      fanotify_event_metadata event{};
      if (::read(events_, &event, sizeof event) != sizeof event) return;
      change_();
      const fanotify_response answer{event.fd, FAN_ALLOW};
      EXPECT_EQ(::write(events_, &answer, sizeof answer), static_cast<ssize_t>(sizeof answer));
      ::close(event.fd);
    }
  }

  const std::function<void()> change_;
  const int events_;
  int ends_[2] = {-1, -1};
  const int made_ = ::pipe(ends_);
  std::thread thread_;
};

// However often that is: not left out as if it had vanished.
TEST(Scan, AFileThatIsWrittenToWheneverItIsOpenedIsStored) {
  TestUpper upper;
  upper.write("f", "1");
  const int file = ::open((upper / "f").c_str(), O_WRONLY | O_APPEND);
  auto written = [&] {
    BeforeOpening writer(upper / "f", [&] { EXPECT_EQ(::write(file, "1", 1), 1); });
    return writer.is_there ? upper.sync_text() : "no fanotify";
  }();
  if (written == "no fanotify") GTEST_SKIP() << "this user may not wait for what others open";
  ::close(file);
  const std::string last = "file f=" + std::string(std::filesystem::file_size(upper / "f"), '1') + "\n";
  EXPECT_EQ(written + upper.sync_text(), "dir \n" + last);
}

// Neither is one that is another file whenever it is opened: by name it's never the one that was looked at.
TEST(Scan, AFileThatIsReplacedWheneverItIsOpenedIsStored) {
  TestUpper upper;
  for (const char* name : {"f", "f-shm", "f-wal"}) upper.write(name, "");  // so that it is opened to see what it is
  upper.write("f", "the first");
  int times = 0;
  const auto replace = [&] {
    const std::string next = upper.beside("next");
    std::ofstream(next) << "number " << 100 + ++times;
    std::filesystem::rename(next, upper / "f");
  };
  auto written = [&] {
    BeforeOpening writer(upper.root(), replace);
    return writer.is_there ? upper.sync_text() : "no fanotify";
  }();
  if (written == "no fanotify") GTEST_SKIP() << "this user may not wait for what others open";
  EXPECT_GE(times, 16) << "it was opened before it had been replaced that often";
  EXPECT_TRUE(written.starts_with("dir \nfile f=number 1")) << written;
  EXPECT_EQ(upper.sync_text(), fmt::format("dir \nfile f=number {}\n", 100 + times));
}

TEST(Scan, TornFilesAreWrittenAgain) {
  TestUpper upper;
  upper.write("f", "1");
  ASSERT_TRUE(upper.scan());
  auto plan = Plan::load(*upper.catalogue);
  auto tree = Tree::open(upper.root(), {}, upper.clock);
  auto rows = (*plan)->rows();
  while (const auto row = *(*rows)->next()) {
    auto open = (*tree)->open_entry(*row);
    ASSERT_TRUE((*plan)->record(*row, **open, 5, row->path == "f" ? Contents::torn : Contents::whole));
  }
  ASSERT_TRUE((*plan)->take_over("object"));
  EXPECT_EQ(upper.sync_text(), "file f=1\n");
  EXPECT_EQ(upper.sync_text(), "");
}

}  // namespace
}  // namespace cairn::layer
