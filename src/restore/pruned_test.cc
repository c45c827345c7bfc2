#include "restore/pruned.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "segment/keys.h"

namespace cairn::restore {
namespace {

Pruned of(std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges) {
  Pruned pruned;
  for (const auto& [first, last] : ranges) pruned.ranges.emplace_back(first, last);
  return pruned;
}

TEST(PrunedRecord, CoversWhatLiesInOneRange) {
  const Pruned pruned = of({{0, 3}, {5, 5}, {7, 9}});
  for (const auto& [first, last] : {std::pair(0, 3), {1, 2}, {5, 5}, {9, 9}}) {
    EXPECT_TRUE(pruned.covers(Sequence(first), Sequence(last))) << first << ".." << last;
  }
  for (const auto& [first, last] : {std::pair(3, 4), {4, 4}, {3, 5}, {7, 10}, {10, 10}, {0, 9}}) {
    EXPECT_FALSE(pruned.covers(Sequence(first), Sequence(last))) << first << ".." << last;
  }
  EXPECT_FALSE(Pruned{}.covers(Sequence(0), Sequence(0)));
}

TEST(PrunedRecord, AddingJoinsWhatOverlapsOrTouches) {
  Pruned pruned = of({{0, 3}, {10, 12}});
  pruned.add(of({{2, 4}, {5, 6}, {8, 8}, {11, 20}}));
  EXPECT_EQ(pruned.ranges, of({{0, 6}, {8, 8}, {10, 20}}).ranges);
}

TEST(PrunedRecord, IsReadAsItWasWrittenAndNothingElseIs) {
  const Pruned pruned = of({{0, 3}, {5, 5}});
  EXPECT_EQ(pruned_json(pruned), "{\"format\":1,\"pruned\":[[0,3],[5,5]]}\n");
  EXPECT_EQ(parse_pruned(pruned_json(pruned))->ranges, pruned.ranges);
  for (const char* text : {"", "[]", "{}", R"({"format":1})", R"({"format":1,"pruned":[[3,1]]})",
                           R"({"format":1,"pruned":[[1,2],[2,3]]})", R"({"format":1,"pruned":[[1]]})",
                           R"({"format":1,"pruned":[[-1,2]]})", R"({"format":"1","pruned":[]})"}) {
    const auto parsed = parse_pruned(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind(), ErrorKind::corrupt) << text;
  }
  EXPECT_EQ(parse_pruned(R"({"format":2})").error().kind(), ErrorKind::unsupported);
}

// Of a store that lists late a prune may not have seen the record before, and its own has a number below that.
TEST(PrunedRecord, AllOfAReplicaCount) {
  const auto store = make_memory_store();
  EXPECT_EQ(read_pruned(*store, "app.db")->number, 0u);
  for (const std::uint64_t number : {1u, 9u, 10u}) {
    const std::string json = pruned_json(of({{number == 9 ? 12 : 0, number == 9 ? 14 : number}}));
    ASSERT_TRUE(store->put_new(segment::pruned_key("app.db", number), BytesSource(as_bytes(json))));
  }
  ASSERT_TRUE(store->put_new("app.db/pruned/notes.txt", BytesSource({})));
  const auto newest = read_pruned(*store, "app.db");
  ASSERT_TRUE(newest) << newest.error().message();
  EXPECT_EQ(newest->number, 10u);
  EXPECT_TRUE(newest->covers(Sequence(0), Sequence(10)));
  EXPECT_TRUE(newest->covers(Sequence(12), Sequence(14)));
  EXPECT_FALSE(newest->covers(Sequence(11), Sequence(11)));
  EXPECT_EQ(read_pruned(*store, "other.db")->number, 0u);
}

}  // namespace
}  // namespace cairn::restore
