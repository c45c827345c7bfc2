#include "layer/trusted.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <string>

#include "base/os.h"
#include "support/scratch.h"
#include "support/without_right.h"

namespace cairn::layer {
namespace {

constexpr uid_t kOrdinaryUser = 4242, kSubordinate = 300'000;

TEST(TrustedAttributes, AreSeenWithTheRightAlone) {
  if (!cairn::testing::WithoutRight::is_possible()) GTEST_SKIP() << "only root with CAP_SYS_ADMIN can let go of it";
  EXPECT_TRUE(sees_trusted().value());
  {
    const cairn::testing::WithoutRight without;
    EXPECT_FALSE(sees_trusted().value());
  }
  EXPECT_TRUE(sees_trusted().value());
}

TEST(TrustedAttributes, OnlyOnesOwnDirectoryIsTakenForUnmarked) {
  // In the initial namespace, whose maker is root.
  EXPECT_TRUE(may_be_marked({.directory = 0, .root = 0, .maker = 0, .self = 0}));
  EXPECT_TRUE(may_be_marked({.directory = 0, .root = 0, .maker = 0, .self = kOrdinaryUser}));
  EXPECT_TRUE(may_be_marked({.directory = kSubordinate, .root = 0, .maker = 0, .self = 0}));  // of an engine's users
  EXPECT_TRUE(may_be_marked({.directory = 1, .root = 0, .maker = 0, .self = kOrdinaryUser}));
  EXPECT_FALSE(may_be_marked({.directory = kOrdinaryUser, .root = 0, .maker = 0, .self = kOrdinaryUser}));
}

// What a user of this id, or root, sees of a directory from inside a user namespace of their own making.
class InNamespace : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can be several users";
    ASSERT_EQ(::chmod(scratch_.path().c_str(), 0755), 0);
    if (child(0, "0 0 1", [] { return true; }) == kNoNamespace) GTEST_SKIP() << "no user namespaces here";
  }

  bool is_marked(uid_t maker, const std::string& map, uid_t owner) {
    const FileDescriptor directory(::open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY));
    EXPECT_EQ(::fchown(directory.get(), owner, owner), 0);
    const int status = child(maker, map, [&] { return may_be_marked(owners_of(directory.get()).value()); });
    EXPECT_LE(status, 1);
    return status == 1;
  }

 private:
  static constexpr int kNoNamespace = 3, kFailed = 2;

  static int child(uid_t maker, const std::string& map, const std::function<bool()>& what) {
    int made[2], mapped[2];
    if (::pipe(made) != 0 || ::pipe(mapped) != 0) return kFailed;
    char byte = 0;
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (::setresuid(maker, maker, maker) != 0) ::_exit(kFailed);
      if (::unshare(CLONE_NEWUSER) != 0) ::_exit(kNoNamespace);
      if (::write(made[1], "x", 1) != 1 || ::read(mapped[0], &byte, 1) != 1) ::_exit(kFailed);
      if (::setresuid(0, 0, 0) != 0) ::_exit(kFailed);
      ::_exit(what() ? 1 : 0);
    }
    ::close(made[1]);
    if (::read(made[0], &byte, 1) == 1) {
      std::ofstream("/proc/" + std::to_string(pid) + "/uid_map") << map << std::flush;
      if (::write(mapped[1], "x", 1) != 1) return kFailed;
    }
    int status = -1;
    if (::waitpid(pid, &status, 0) != pid) return kFailed;
    for (const int fd : {made[0], mapped[0], mapped[1]}) ::close(fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : kFailed;
  }

  cairn::testing::Scratch scratch_{"trusted"};
};

TEST_F(InNamespace, OfAUserWhatIsTheirsIsUnmarked) {
  const std::string map = "0 4242 1\n1 300000 65534";  // as podman unshare's
  EXPECT_FALSE(is_marked(kOrdinaryUser, map, kOrdinaryUser));
  EXPECT_FALSE(is_marked(kOrdinaryUser, map, kSubordinate));
  EXPECT_TRUE(is_marked(kOrdinaryUser, map, 0));
  EXPECT_TRUE(is_marked(kOrdinaryUser, map, kOrdinaryUser + 1));
}

TEST_F(InNamespace, OfRootNothingIsUnmarked) {
  EXPECT_TRUE(is_marked(0, "0 0 1", 0));
  EXPECT_TRUE(is_marked(0, "0 0 1", kOrdinaryUser));
  const std::string map = "0 300000 65534";  // as of an engine that runs all containers as other users
  EXPECT_TRUE(is_marked(0, map, 0));
  EXPECT_TRUE(is_marked(0, map, kSubordinate));
  EXPECT_TRUE(is_marked(0, map, kSubordinate + 1));
}

}  // namespace
}  // namespace cairn::layer
