#include "layer/history.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "layer/stored.h"
#include "store/directory_store.h"
#include "support/interrupted_store.h"
#include "support/scratch.h"

namespace cairn::layer {
namespace {

using ::testing::HasSubstr;

SyncRecord sync_of(std::uint64_t sequence, SyncKind kind) {
  const std::string digest = fmt::format("{:064x}", sequence);
  return {sequence, 1'700'000'000'000 + static_cast<std::int64_t>(sequence), kind,
          {digest, 1024, 12, 1'700'000'000'000, 1, layer_key(digest)}, 0, 0};
}

// Chains of three: 1 to 3, 4 to 6 and so on.
Manifest manifest_of(std::uint64_t syncs) {
  Manifest manifest;
  manifest.name = "web";
  manifest.lineage.bytes[0] = 1;
  manifest.writer.bytes[15] = 2;
  for (std::uint64_t i = 1; i <= syncs; ++i) {
    manifest.syncs.push_back(sync_of(i, i % 3 == 1 ? SyncKind::full : SyncKind::increment));
  }
  return manifest;
}

struct LayerHistory : ::testing::Test {
  std::unique_ptr<Store> store = make_memory_store();
  SeededRandom random{1};

  void move_out(Manifest& manifest, std::size_t most) {
    ASSERT_TRUE(move_history_out(*store, random, manifest, most));
  }
  // Of eight syncs 1 to 3 in one object, 4 to 6 in a second.
  Manifest moved_twice() {
    const Manifest all = manifest_of(8);
    Manifest manifest = all;
    manifest.syncs.resize(5);
    move_out(manifest, 4);
    manifest.syncs.insert(manifest.syncs.end(), all.syncs.begin() + 5, all.syncs.end());
    move_out(manifest, 4);
    EXPECT_EQ(manifest.older.size(), 2u);
    return manifest;
  }
  Manifest whole() { return read_history(*store, "web")->whole; }
};

TEST_F(LayerHistory, AllChainsButTheNewestMoveOut) {
  Manifest manifest = manifest_of(8);
  move_out(manifest, 8);
  EXPECT_EQ(manifest, manifest_of(8));
  move_out(manifest, 7);
  EXPECT_EQ(manifest.syncs.front().sequence, 7u);
  ASSERT_EQ(manifest.older.size(), 1u);
  EXPECT_EQ(manifest.older[0].first, 1u);
  EXPECT_EQ(manifest.older[0].last, 6u);
  EXPECT_TRUE(is_history_key(manifest.older[0].object)) << manifest.older[0].object;
  EXPECT_EQ(name_of_manifest_key(manifest.older[0].object), std::nullopt);

  // One chain stays where it is, however long.
  Manifest one = manifest_of(3);
  move_out(one, 1);
  EXPECT_EQ(one, manifest_of(3));
}

TEST_F(LayerHistory, IsReadAsAWhole) {
  Manifest manifest = moved_twice();
  EXPECT_EQ(parse_manifest(write_manifest(manifest)).value(), manifest);
  ASSERT_TRUE(publish_manifest(*store, manifest, ""));
  EXPECT_EQ(whole(), manifest_of(8));
  EXPECT_EQ(layer_history(*store, "web")->size(), 8u);
  EXPECT_EQ(list_stored_containers(*store)->front().syncs, 8u);
  EXPECT_EQ(stored_container_names(*store).value(), std::vector<std::string>{"web"});
  EXPECT_EQ(read_history(*store, "absent").error().kind(), ErrorKind::not_found);
}

// As docs/format.md has it: a reader that does not know of older history must not read such a manifest.
TEST_F(LayerHistory, AManifestThatNamesOlderHistoryIsOfFormat2) {
  Manifest manifest = manifest_of(4);
  EXPECT_THAT(std::string(as_text(write_manifest(manifest))), HasSubstr("\"format\": 1,"));
  move_out(manifest, 3);
  const std::string token = manifest.older[0].object.substr(manifest.older[0].object.size() - 37, 32);
  const std::string text(as_text(write_manifest(manifest)));
  EXPECT_THAT(text, ::testing::StartsWith("{\n  \"format\": 2,\n  \"name\": \"web\",\n  \"lineage\": \""));
  EXPECT_THAT(text, HasSubstr("0002\",\n  \"older\": [\n    {\"object\":\"containers/web.old/00000000000000000001-"
                              "00000000000000000003-" + token + ".json\",\"first\":1,\"last\":3}\n  ],\n"
                              "  \"syncs\": [\n    {\"sequence\":4,"));
  const auto object = store->get(manifest.older[0].object);
  ASSERT_TRUE(object);
  EXPECT_THAT(std::string(as_text(object->bytes)),
              ::testing::StartsWith("{\n  \"format\": 1,\n  \"name\": \"web\",\n  \"lineage\": "
                                    "\"01000000000000000000000000000000\",\n  \"syncs\": [\n    {\"sequence\":1,"));
}

TEST_F(LayerHistory, GapsAreDamage) {
  const Manifest manifest = moved_twice();
  for (const int wrong : {0, 1, 2, 3}) {
    Manifest gap = manifest;
    if (wrong == 0) gap.older[0].last = 2;
    if (wrong == 1) gap.older[1].first = 5;
    if (wrong == 2) gap.older.pop_back();
    if (wrong == 3) gap.older[0].first = 0;
    EXPECT_EQ(parse_manifest(write_manifest(gap)).error().kind(), ErrorKind::corrupt) << wrong;
  }
}

TEST_F(LayerHistory, OldestChainsAreDroppedWhereverTheyLie) {
  Manifest manifest = manifest_of(8);
  move_out(manifest, 4);  // 1 to 6 in one object
  ASSERT_TRUE(publish_manifest(*store, manifest, ""));
  drop_before(manifest, 4);
  EXPECT_EQ(manifest.older[0].first, 4u);
  ASSERT_TRUE(publish_manifest(*store, manifest, store->head(manifest_key("web"))->etag));
  EXPECT_EQ(whole().syncs.front().sequence, 4u);
  EXPECT_EQ(whole().syncs.size(), 5u);
  drop_before(manifest, 7);
  EXPECT_TRUE(manifest.older.empty());
  EXPECT_EQ(manifest.syncs.front().sequence, 7u);
  Manifest twice = moved_twice();
  drop_before(twice, 4);
  EXPECT_EQ(twice.older.size(), 1u);
  EXPECT_EQ(twice.syncs.size(), 2u);
}

TEST_F(LayerHistory, TheNewestSyncIsTakenBackWhateverMovedOutForIt) {
  Manifest manifest = manifest_of(7);
  move_out(manifest, 6);
  ASSERT_EQ(manifest.syncs.size(), 1u);
  ASSERT_EQ(manifest.older.size(), 1u);
  ASSERT_TRUE(drop_newest(*store, manifest));
  EXPECT_EQ(manifest, manifest_of(6));
  ASSERT_TRUE(drop_newest(*store, manifest));
  EXPECT_EQ(manifest, manifest_of(5));
  Manifest only = manifest_of(1);
  ASSERT_TRUE(drop_newest(*store, only));
  EXPECT_TRUE(only.syncs.empty());
}

TEST_F(LayerHistory, WhatIsMissingOrAnothersIsCorrupt) {
  const Manifest manifest = moved_twice();
  const auto etag = publish_manifest(*store, manifest, "");
  ASSERT_TRUE(etag);
  ASSERT_TRUE(store->remove(manifest.older[0].object));
  const auto missing = read_history(*store, "web");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(missing.error().message(), HasSubstr("older history of 'web'"));

  Manifest other = manifest_of(3);
  other.lineage.bytes[1] = 1;
  Manifest short_one = manifest_of(2);
  for (const Manifest& wrong : {other, short_one}) {
    ASSERT_TRUE(store->remove(manifest.older[0].object));
    ASSERT_TRUE(store->put_new(manifest.older[0].object, BytesSource(write_history(wrong))));
    EXPECT_EQ(read_history(*store, "web").error().kind(), ErrorKind::corrupt);
  }
  ASSERT_TRUE(store->remove(manifest.older[0].object));
  ASSERT_TRUE(store->put_new(manifest.older[0].object, BytesSource(as_bytes(std::string_view("{}")))));
  EXPECT_EQ(read_history(*store, "web").error().kind(), ErrorKind::corrupt);
}

// The manifest is read, then a prune drops what it names, and removes it.
TEST_F(LayerHistory, OneThatIsPrunedWhileItIsReadIsReadAgain) {
  const Manifest manifest = moved_twice();
  const auto etag = publish_manifest(*store, manifest, "");
  ASSERT_TRUE(etag);
  cairn::testing::InterruptedStore interrupted(*store, 1, [&] {
    Manifest thinner = manifest;
    drop_before(thinner, 4);
    ASSERT_TRUE(publish_manifest(*store, thinner, *etag));
    ASSERT_TRUE(store->remove(manifest.older[0].object));
  });
  const auto read = read_history(interrupted, "web");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->whole.syncs.front().sequence, 4u);
}

// Names that look like each other's keys, in a directory where a file cannot be a folder too.
TEST_F(LayerHistory, NoManifestIsInTheWayOfAHistory) {
  const cairn::testing::Scratch scratch("history");
  store = *make_directory_store(scratch / "store");
  for (const char* name : {"web", "web.json", "web.old", "web.old.json", "web.json.old"}) {
    Manifest manifest = manifest_of(5);
    manifest.name = name;
    move_out(manifest, 4);
    ASSERT_TRUE(publish_manifest(*store, manifest, "")) << name;
    EXPECT_EQ(read_history(*store, name)->whole.syncs.size(), 5u) << name;
  }
  EXPECT_EQ(stored_container_names(*store)->size(), 5u);
}

TEST_F(LayerHistory, OtherKeysAreNoHistory) {
  const std::string token(32, 'a'), first = "00000000000000000001", last = "00000000000000000009";
  EXPECT_TRUE(is_history_key("containers/a%2Fb.old/" + first + "-" + last + "-" + token + ".json"));
  for (const std::string& key :
       {std::string("containers/web.json"), "containers/web/" + first + "-" + last + "-" + token + ".json",
        "containers/" + first + "-" + last + "-" + token + ".json",
        "containers/web.old/" + first + "-" + last + ".json", "containers/web.old/" + first + "-" + last + "-" + token,
        "containers/web.old/x/" + first + "-" + last + "-" + token + ".json",
        "containers/we b.old/" + first + "-" + last + "-" + token + ".json",
        "containers/web.old/" + first + "-" + last + "-" + std::string(32, 'g') + ".json",
        "other/web.old/" + first + "-" + last + "-" + token + ".json"}) {
    EXPECT_FALSE(is_history_key(key)) << key;
  }
}

}  // namespace
}  // namespace cairn::layer
