#include "segment/keys.h"

#include <gtest/gtest.h>

namespace cairn::segment {
namespace {

constexpr std::int64_t kTime = 1'700'000'000'000;  // 2023-11-14 22:13:20

TEST(Keys, AreSpelledAsInTheFormat) {
  EXPECT_EQ(metadata_key("a/b"), "a/b/metadata.json");
  EXPECT_EQ(snapshot_key("app.db", kTime, Sequence(7)),
            "app.db/snapshots/20231114_221320-00000000000000000007.sqlite.zst");
  EXPECT_EQ(segment_key("app.db", Sequence(12)), "app.db/wal/00000000000000000012.wal.zst");
  EXPECT_EQ(merged_key("app.db", 2, Sequence(1), Sequence(300)),
            "app.db/levels/2/00000000000000000001-00000000000000000300.wal.zst");
}

TEST(Keys, JoinWithExactlyOneSlash) {
  EXPECT_EQ(segment_prefix(""), "wal/");
  EXPECT_EQ(segment_prefix("a"), "a/wal/");
  EXPECT_EQ(segment_prefix("a/"), "a/wal/");
  EXPECT_EQ(snapshot_prefix("a//"), "a/snapshots/");
  EXPECT_EQ(level_prefix(""), "levels/");
  EXPECT_EQ(metadata_key(""), "metadata.json");
}

TEST(Keys, ParseGivesBackWhatWasSpelled) {
  for (std::string replica : {"", "app.db", "deep/er/wal", "snapshots/x"}) {
    for (std::uint64_t number : {std::uint64_t{1}, std::uint64_t{77}, UINT64_MAX}) {
      Sequence sequence(number);
      std::string key = snapshot_key(replica, kTime, sequence);
      std::optional<ObjectName> name = parse_key(replica, key);
      ASSERT_TRUE(name) << key;
      EXPECT_EQ(name->kind, KeyKind::snapshot);
      EXPECT_EQ(name->first, sequence);
      EXPECT_EQ(name->last, sequence);
      EXPECT_EQ(name->time_ms, kTime);
      EXPECT_EQ(name->key, key);

      key = segment_key(replica, sequence);
      name = parse_key(replica, key);
      ASSERT_TRUE(name) << key;
      EXPECT_EQ(name->kind, KeyKind::segment);
      EXPECT_EQ(name->level, 0);
      EXPECT_EQ(name->last, sequence);

      key = merged_key(replica, 9, Sequence(1), sequence);
      name = parse_key(replica, key);
      ASSERT_TRUE(name) << key;
      EXPECT_EQ(name->level, 9);
      EXPECT_EQ(name->first, Sequence(1));
      EXPECT_EQ(name->last, sequence);
      ASSERT_TRUE(parse_any_key(key)) << key;
      EXPECT_EQ(parse_any_key(key)->level, 9);
    }
  }
}

TEST(Keys, SnapshotOfSequenceZeroIsTheFirstState) {
  std::optional<ObjectName> name = parse_key("r", snapshot_key("r", kTime, Sequence(0)));
  ASSERT_TRUE(name);
  EXPECT_EQ(name->first, Sequence(0));
}

TEST(Keys, WhatIsNotOursIsIgnored) {
  for (std::string_view key : {
           "metadata.json", "", "wal/", "wal/1.wal.zst", "wal/00000000000000000000.wal.zst",
           "wal/0000000000000000001.wal.zst", "wal/000000000000000000001.wal.zst", "wal/0000000000000000000a.wal.zst",
           "wal/00000000000000000001.wal", "wal/00000000000000000001.wal.zst.tmp",
           "wal/x/00000000000000000001.wal.zst",
           "wal/99999999999999999999.wal.zst", "wal/18446744073709551616.wal.zst", "wal/-0000000000000000001.wal.zst",
           "wal/+0000000000000000001.wal.zst", "wal/00000000000000000001.WAL.zst", "WAL/00000000000000000001.wal.zst",
           "levels/00000000000000000001-00000000000000000002.wal.zst",
           "levels/0/00000000000000000001-00000000000000000002.wal.zst",
           "levels/01/00000000000000000001-00000000000000000002.wal.zst",
           "levels/1000/00000000000000000001-00000000000000000002.wal.zst",
           "levels//00000000000000000001-00000000000000000002.wal.zst",
           "levels/1/00000000000000000003-00000000000000000002.wal.zst",
           "levels/1/00000000000000000000-00000000000000000002.wal.zst",
           "levels/1/00000000000000000001_00000000000000000002.wal.zst",
           "snapshots/20231114_221320-00000000000000000007.sqlite",
           "snapshots/20231314_221320-00000000000000000007.sqlite.zst",
           "snapshots/20231114-221320-00000000000000000007.sqlite.zst", "snapshots/00000000000000000007.sqlite.zst",
       }) {
    EXPECT_FALSE(parse_key("", key)) << key;
    EXPECT_FALSE(parse_key("r", std::string("r/") + std::string(key))) << key;
  }
}

TEST(Keys, ObjectOfAnotherReplicaIsNotOurs) {
  EXPECT_FALSE(parse_key("app", segment_key("app2", Sequence(1))));
  EXPECT_FALSE(parse_key("app2", segment_key("app", Sequence(1))));
  EXPECT_FALSE(parse_key("app", segment_key("", Sequence(1))));
  EXPECT_FALSE(parse_key("", segment_key("app", Sequence(1))));
}

TEST(Keys, NamesSortAsTheirSequences) {
  EXPECT_LT(segment_key("r", Sequence(9)), segment_key("r", Sequence(10)));
  EXPECT_LT(segment_key("r", Sequence(999)), segment_key("r", Sequence(1000)));
  EXPECT_LT(snapshot_key("r", kTime, Sequence(9)), snapshot_key("r", kTime + 1000, Sequence(8)));
}

}  // namespace
}  // namespace cairn::segment
