// Without CAP_SYS_ADMIN overlayfs' marks are hidden: what may have some is refused, or taken as it shows itself when
// the user says so. None of it is stored wrongly in silence.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "layer/catalogue.h"
#include "sqlite/local_database.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"
#include "support/without_right.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using ::testing::AssertionResult;
using testing::difference_to;
using testing::LayerWorld;
using testing::RecordingStore;
using testing::WithoutRight;

template <class T>
AssertionResult is_refused(const Result<T>& result) {
  if (result) return ::testing::AssertionFailure() << "it succeeded";
  const std::string& words = result.error().message();
  const bool says_why = words.find("trusted.* attributes") != std::string::npos &&
                        words.find("CAP_SYS_ADMIN") != std::string::npos &&
                        words.find("--accept-hidden-attributes") != std::string::npos;
  if (result.error().kind() == ErrorKind::unsupported && says_why) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << words;
}

struct LayerHidden : ::testing::Test {
  LayerWorld world;
  std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};
  const LayerSyncOptions accepting = [] {
    LayerSyncOptions options;
    options.hidden_attributes = LayerHiddenAttributes::accept;
    return options;
  }();

  void SetUp() override {
    if (!WithoutRight::is_possible()) GTEST_SKIP() << "only root with CAP_SYS_ADMIN can let go of it";
    world.mkdir("d");
    world.write("d/file", "new");
    mark("d");
  }
  // As if all had been synced long after its last change: nothing of it would be looked at again.
  void make_all_proven() {
    const auto database = sqlite::LocalDatabase::open(world.state() + "/state.db", "");
    ASSERT_TRUE(database);
    const auto good = std::to_string(static_cast<int>(layer::Proof::good));
    ASSERT_TRUE((*database)->execute("UPDATE layer_scan_row SET proof = " + good));
  }
  void mark(const std::string& path) {
    ASSERT_EQ(::setxattr((world / path).c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  }
};

TEST_F(LayerHidden, ADirectoryOfRootsIsRefused) {
  const auto manager = world.open(store);
  const WithoutRight without;
  EXPECT_TRUE(is_refused(manager->sync_layer("web")));
  EXPECT_TRUE(is_refused(manager->check_for_changes("web")));
  EXPECT_TRUE(stored_container_names(*inner).value().empty());
}

TEST_F(LayerHidden, AlsoOnceItIsKnown) {
  const auto manager = world.open(store);
  ASSERT_TRUE(manager->sync_layer("web"));
  world.write("d/file", "newer");
  const WithoutRight without;
  EXPECT_TRUE(is_refused(manager->sync_layer("web")));
  EXPECT_TRUE(is_refused(manager->check_for_changes("web")));
}

// What was not seen is looked for as soon as it can be, though no file has changed.
TEST_F(LayerHidden, WhatWasAcceptedUnseenIsStoredOnceItIsSeen) {
  const auto manager = world.open(store);
  {
    const WithoutRight without;
    ASSERT_TRUE(manager->check_for_changes("web", accepting).value());
    const auto synced = manager->sync_layer("web", accepting);
    ASSERT_TRUE(synced && *synced) << synced.error().message();
  }
  EXPECT_NE(difference_to(store, "web", world.upper()), "");
  make_all_proven();
  EXPECT_TRUE(manager->check_for_changes("web").value());
  const auto synced = manager->sync_layer("web");
  ASSERT_TRUE(synced && *synced);
  EXPECT_EQ(difference_to(store, "web", world.upper()), "");
}

// What was interrupted waits for whoever may go on with it, copies and all.
TEST_F(LayerHidden, AnInterruptedSyncThatIsRefusedIsGoneOnWithLater) {
  LayerOptions options = world.options();
  options.part_size_bytes = 300'000;
  options.concurrent_uploads = 1;
  std::string notices;
  LayerSyncOptions told;
  told.on_notice = [&](std::string_view notice) { notices += std::string(notice) + "\n"; };
  world.write("big", LayerWorld::noise(4, (6u << 20) + 5));
  ASSERT_TRUE(world.open(store, options, {})->sync_layer("web", told));
  std::fstream(world / "big", std::ios::in | std::ios::out | std::ios::binary).seekp(5 << 20) << "changed";
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  ASSERT_FALSE(world.open(store, options, {})->sync_layer("web", told));
  ASSERT_GT(store.count(Operation::copy_part), 0u);
  store.before = {};
  {
    const WithoutRight without;
    EXPECT_TRUE(is_refused(world.open(store, options, {})->sync_layer("web", told)));
  }
  store.forget_calls();
  const auto synced = world.open(store, options, {})->sync_layer("web", told);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_LT((*synced)->sent_bytes, 3u << 20);
  EXPECT_EQ(notices.find("does not take the copies"), std::string::npos) << notices;
  EXPECT_EQ(notices.find("begins anew"), std::string::npos) << notices;
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
}

// A user's own directory is taken for one that they mount themselves; root's whiteouts in it show that root does.
TEST_F(LayerHidden, AWhiteoutOfRootsInAUsersDirectoryShowsThatRootMountsIt) {
  constexpr uid_t kUser = 4242;
  ASSERT_EQ(::chown(world.upper().c_str(), kUser, kUser), 0);
  ASSERT_EQ(::mknod((world / "gone").c_str(), S_IFCHR | 0600, ::makedev(0, 0)), 0);
  const auto manager = world.open(store);
  const WithoutRight without(kUser);
  EXPECT_TRUE(is_refused(manager->sync_layer("web")));
  EXPECT_TRUE(stored_container_names(*inner).value().empty());
  ASSERT_EQ(::chown((world / "gone").c_str(), kUser, kUser), 0);
  const auto synced = manager->sync_layer("web");
  EXPECT_TRUE(synced && *synced) << synced.error().message();
}

// A catalogue that is begun anew by somebody who does not see.
TEST_F(LayerHidden, WhatWasNotSeenIsLookedForAlsoWhenTheStoreWasBegunAnew) {
  const auto manager = world.open(store);
  ASSERT_TRUE(manager->sync_layer("web"));
  world.mkdir("e");
  world.write("e/file", "new");
  mark("e");
  const auto listed = inner->list("");
  for (const auto& object : listed->objects) ASSERT_TRUE(inner->remove(object.key));
  {
    const WithoutRight without;
    LayerSyncOptions anew = accepting;
    anew.adopt = LayerAdopt::local;
    const auto synced = manager->sync_layer("web", anew);
    ASSERT_TRUE(synced && *synced) << synced.error().message();
  }
  make_all_proven();
  const auto synced = manager->sync_layer("web");
  ASSERT_TRUE(synced && *synced);
  EXPECT_EQ(difference_to(store, "web", world.upper()), "");
}

TEST_F(LayerHidden, ALowerDirectoryOfAMergedRestoreIsTheSame) {
  ASSERT_TRUE(world.open(store)->sync_layer("web"));
  const std::string below = world.beside("below");
  fs::create_directories(below + "/x");
  LayerOptions elsewhere = world.options();
  elsewhere.state_directory = world.beside("other-state");
  LayerRestoreOptions restoring;
  restoring.form = LayerForm::merged;
  restoring.lower = {below};
  const std::string target = world.beside("merged");
  const WithoutRight without;
  auto manager = LayerManager::open(store, world.machine(), elsewhere);
  ASSERT_TRUE(manager);
  EXPECT_TRUE(is_refused((*manager)->restore_layer("web", target, restoring)));
  EXPECT_FALSE(fs::exists(target));
  restoring.hidden_attributes = LayerHiddenAttributes::accept;
  const auto restored = (*manager)->restore_layer("web", target, restoring);
  EXPECT_TRUE(restored) << restored.error().message();
  EXPECT_TRUE(fs::exists(target + "/x"));
}

// Data of the container's that a later sync would take for marks of a mount with userxattr.
TEST_F(LayerHidden, TheSignThatDataIsNoMarkIsNotLeftOut) {
  ASSERT_EQ(::removexattr((world / "d").c_str(), "trusted.overlay.opaque"), 0);
  ASSERT_EQ(::setxattr((world / "d").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(::setxattr(world.upper().c_str(), "trusted.overlay.impure", "y", 1, 0), 0);
  ASSERT_TRUE(world.open(store)->sync_layer("web"));
  LayerOptions elsewhere = world.options();
  elsewhere.state_directory = world.beside("other-state");
  const std::string target = world.beside("restored");
  const WithoutRight without;
  const auto manager = LayerManager::open(store, world.machine(), elsewhere);
  ASSERT_TRUE(manager);
  LayerRestoreOptions restoring;
  const auto restored = (*manager)->restore_layer("web", target, restoring);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind(), ErrorKind::denied);
  EXPECT_NE(restored.error().message().find("--user-marks"), std::string::npos) << restored.error().message();
  EXPECT_FALSE(fs::exists(target));
  restoring.user_marks = true;
  EXPECT_TRUE((*manager)->restore_layer("web", target, restoring));
}

TEST_F(LayerHidden, MarksAreNotRestoredWithoutTheRight) {
  ASSERT_TRUE(world.open(store)->sync_layer("web"));
  LayerOptions elsewhere = world.options();
  elsewhere.state_directory = world.beside("other-state");
  const std::string target = world.beside("restored");
  const WithoutRight without;
  const auto manager = LayerManager::open(store, world.machine(), elsewhere);
  ASSERT_TRUE(manager);
  LayerRestoreOptions restoring;
  const auto restored = (*manager)->restore_layer("web", target, restoring);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind(), ErrorKind::denied);
  EXPECT_NE(restored.error().message().find("trusted.overlay.opaque of 'd'"), std::string::npos);
  EXPECT_NE(restored.error().message().find("CAP_SYS_ADMIN"), std::string::npos) << restored.error().message();
  EXPECT_FALSE(fs::exists(target));
  restoring.user_marks = true;
  EXPECT_TRUE((*manager)->restore_layer("web", target, restoring));
}

}  // namespace
}  // namespace cairn
