// Syncs through the S3 twin, as each kind of server: what it can do is used, what it refuses is done without, and what
// goes wrong on the way hurts nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "layer/manifest.h"
#include "s3_store/twin_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

using s3::TwinStore;
using s3::TwinStoreOptions;
using testing::describe_directory;
using testing::describe_sync;
using testing::difference;
using testing::difference_to;
using testing::kMiB;
using testing::LayerWorld;
using testing::RecordingStore;

struct OnServer {
  std::string dialect;
  bool copies = true;
};

void PrintTo(const OnServer& server, std::ostream* out) { *out << server.dialect; }

class LayerTwin : public ::testing::TestWithParam<OnServer> {};

TwinStoreOptions options_of(const OnServer& server) {
  TwinStoreOptions options;
  options.twin.dialect = *twin::dialect_named(server.dialect);
  options.retry.breaker.failures = 1'000'000;  // its time would be real time
  if (server.dialect == "nothing" || server.dialect == "b2") options.s3.accept_single_writer = true;
  return options;
}

LayerOptions small_parts(const LayerWorld& world) {
  LayerOptions options = world.options();
  options.part_size_bytes = 5 * kMiB;
  return options;
}

void change(const LayerWorld& world, std::uint64_t offset) {
  std::fstream file(world / "big", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset)) << "changed " << offset;
}

TEST_P(LayerTwin, ThereAndOn) {
  TwinStore on(options_of(GetParam()));
  RecordingStore store(*on.store);
  const LayerWorld world;
  world.fill();
  world.write("big", LayerWorld::noise(1, 24 * kMiB + 5));
  const auto manager = world.open(store, small_parts(world), {});
  for (const std::uint64_t offset : {12 * kMiB, std::uint64_t{0}}) {
    const auto synced = manager->sync_layer("web");
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ(difference_to(store, "web", world.upper()), "");
    change(world, offset);
    store.forget_calls();
  }
  const auto last = manager->sync_layer("web");
  ASSERT_TRUE(last && *last) << last.error().message();
  EXPECT_EQ(difference_to(store, "web", world.upper()), "");
  EXPECT_EQ((*last)->sent_bytes <= 16 * kMiB, GetParam().copies) << (*last)->sent_bytes;
  EXPECT_TRUE(on.store->list_uploads("")->empty());
  EXPECT_TRUE(on.store->list("tmp/")->objects.empty());

  // Nothing has changed: nothing comes to the server.
  const std::uint64_t before = on.twin.counts().all_requests();
  const auto same = manager->sync_layer("web");
  ASSERT_TRUE(same) << same.error().message();
  EXPECT_FALSE(*same);
  EXPECT_FALSE(*manager->check_for_changes("web"));
  EXPECT_EQ(on.twin.counts().all_requests(), before);
}

// A rule for unfinished uploads has worked while nobody synced, or does so in the middle of a sync.
TEST_P(LayerTwin, UploadThatTheServerDropsIsSentAgainFromTheSpool) {
  TwinStore on(options_of(GetParam()));
  RecordingStore store(*on.store);
  const LayerWorld world;
  world.fill();
  world.write("big", LayerWorld::noise(1, 24 * kMiB + 5));
  const std::string first = describe_directory(world.upper());
  const auto manager = world.open(store, small_parts(world), {});
  store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::complete_new) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  ASSERT_FALSE(manager->sync_layer("web"));
  store.before = {};
  on.twin.expire_uploads();
  world.write("big", LayerWorld::noise(2, 11 * kMiB));
  const std::string second = describe_directory(world.upper());
  on.twin.fail_next(twin::Operation::upload_part, twin::Fault::expired_upload, 1, 1);
  std::string notices;
  LayerSyncOptions told;
  told.on_notice = [&](std::string_view notice) { notices += std::string(notice) + "\n"; };
  const auto synced = manager->sync_layer("web", told);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ(difference(describe_sync(store, "web", 1), first), "");
  EXPECT_EQ(difference(describe_sync(store, "web", 2), second), "");
  EXPECT_EQ(std::ranges::count(notices, '\n'), 2) << notices;
  EXPECT_EQ(on.twin.counts().all_faults(), 1u);
  EXPECT_TRUE(on.store->list_uploads("")->empty());
  EXPECT_TRUE(on.store->list("tmp/")->objects.empty());
}

TEST_P(LayerTwin, UnderFaults) {
  std::uint64_t faults = 0;  // of one seed there may be none: which request meets one depends on their order
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    TwinStore on(options_of(GetParam()));
    ASSERT_TRUE(on.requests->ready_to_write());
    twin::FaultPlan plan;
    plan.seed = seed;
    plan.per_mille = 100;
    on.twin.set_faults(plan);
    const LayerWorld world;
    world.write("big", LayerWorld::noise(seed, 16 * kMiB + 5));
    auto manager = world.open(*on.store, small_parts(world), {});
    int attempts = 0;
    for (int syncs = 0; syncs < 3; ++attempts) {
      ASSERT_LT(attempts, 100);
      const auto synced = manager->sync_layer("web");
      if (!synced) {
        EXPECT_NE(synced.error().kind(), ErrorKind::conflict) << synced.error().message();
        manager.reset();
        manager = world.open(*on.store, small_parts(world), {});
        continue;
      }
      on.twin.set_faults({});
      ASSERT_EQ(difference_to(*on.store, "web", world.upper()), "") << seed;
      on.twin.set_faults(plan);
      change(world, static_cast<std::uint64_t>(++syncs) * 3 * kMiB);
    }
    on.twin.set_faults({});
    faults += on.twin.counts().all_faults();
  }
  EXPECT_GT(faults, 0u);
}

TEST(LayerStorageOnATwin, LiesBelowThePrefixOfItsBucket) {
  const twin::TwinOptions options;
  twin::Twin twin(options);
  ASSERT_TRUE(twin.start());
  S3Options keys;
  keys.access_key_id = options.keys.front().id;
  keys.secret_access_key = options.keys.front().secret;
  keys.session_token = options.keys.front().session_token;
  const auto store = open_layer_store({.bucket = "bucket", .endpoint = twin.url()}, keys);
  ASSERT_TRUE(store) << store.error().message();
  const LayerWorld world;
  world.fill();
  ASSERT_TRUE(world.open(**store)->sync_layer("web"));
  EXPECT_TRUE(twin.text_of("bucket", "layers/containers/web.json"));
  for (const std::string& key : twin.keys_of("bucket")) EXPECT_TRUE(key.starts_with("layers/")) << key;
}

INSTANTIATE_TEST_SUITE_P(Servers, LayerTwin,
                         ::testing::Values(OnServer{"aws"}, OnServer{"ceph16"}, OnServer{"ceph20"}, OnServer{"minio"},
                                           OnServer{"r2", false}, OnServer{"b2"}),
                         [](const auto& tested) { return tested.param.dialect; });

}  // namespace
}  // namespace cairn
