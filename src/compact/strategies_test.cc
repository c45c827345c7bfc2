// What is planned for a line, of every strategy: groups that are neighbours, bounded, and come to an end.

#include "compact/strategies.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/clock.h"

namespace cairn::compact {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kNoLimit = 1ull << 60;

std::vector<Piece> pieces(const std::vector<std::uint64_t>& spans, int level = 0) {
  std::vector<Piece> line;
  for (const std::uint64_t span : spans) line.push_back({span, level, span * 100});
  return line;
}

// What a line is after the merges, as a store would have it.
std::vector<Piece> merged(const std::vector<Piece>& line, const std::vector<Group>& groups) {
  std::vector<Piece> result;
  std::size_t at = 0;
  for (const Group& group : groups) {
    for (; at < group.begin; ++at) result.push_back(line[at]);
    Piece piece{0, group.level, 0};
    for (; at < group.end; ++at) {
      piece.span += line[at].span;
      piece.size_bytes += line[at].size_bytes;
    }
    result.push_back(piece);
  }
  for (; at < line.size(); ++at) result.push_back(line[at]);
  return result;
}

std::vector<Piece> merged_to_the_end(Strategy strategy, std::vector<Piece> line, const Limits& limits,
                                     std::uint64_t* written = nullptr) {
  for (int round = 0; round < 50; ++round) {
    const std::vector<Group> groups = plan_groups(strategy, line, limits);
    if (groups.empty()) return line;
    for (const Group& group : groups) {
      for (std::size_t i = group.begin; written != nullptr && i < group.end; ++i) *written += line[i].span;
    }
    line = merged(line, groups);
  }
  ADD_FAILURE() << "it does not end";
  return line;
}

std::vector<std::uint64_t> spans_of(const std::vector<Piece>& line) {
  std::vector<std::uint64_t> spans;
  for (const Piece& piece : line) spans.push_back(piece.span);
  return spans;
}

TEST(Strategies, OfNothingAndOfOneThereIsNothingToDo) {
  for (const Strategy strategy : {Strategy::identity, Strategy::logarithmic, Strategy::levelled}) {
    EXPECT_THAT(plan_groups(strategy, {}, {2, kNoLimit}), IsEmpty());
    EXPECT_THAT(plan_groups(strategy, pieces({7}), {2, kNoLimit}), IsEmpty());
  }
}

TEST(Strategies, IdentityMakesOneAsFarAsTheLimitGoes) {
  EXPECT_THAT(plan_groups(Strategy::identity, pieces({1, 1, 1, 1, 1}), {2, kNoLimit}), ElementsAre(Group{0, 5, 1}));
  EXPECT_THAT(plan_groups(Strategy::identity, pieces({1, 1, 1, 1, 1}), {2, 200}),
              ElementsAre(Group{0, 2, 1}, Group{2, 4, 1}));
  EXPECT_THAT(plan_groups(Strategy::identity, pieces({5, 1, 1}), {2, 200}), ElementsAre(Group{1, 3, 1}));
}

TEST(Strategies, LogarithmicHalvesWhatIsLeft) {
  EXPECT_THAT(spans_of(merged_to_the_end(Strategy::logarithmic, pieces({1, 1, 1, 1, 1, 1, 1, 1}), {2, kNoLimit})),
              ElementsAre(4, 2, 1, 1));
  EXPECT_THAT(plan_groups(Strategy::logarithmic, pieces({4, 2, 1, 1, 1}), {2, kNoLimit}), IsEmpty())
      << "one more changes nothing";
}

TEST(Strategies, LogarithmicLeavesFewAndTouchesOldOnesSeldom) {
  std::vector<Piece> line;
  std::uint64_t written = 0, oldest_rewritten = 0;
  constexpr std::uint64_t kLength = 5000;
  for (std::uint64_t i = 0; i < kLength; ++i) {
    line.push_back({1, 0, 100});
    const std::uint64_t oldest = line.front().span;
    line = merged_to_the_end(Strategy::logarithmic, line, {2, kNoLimit}, &written);
    oldest_rewritten += line.front().span != oldest;
    const double most = 1 + std::log(static_cast<double>(i + 1)) / std::log(1.5);
    ASSERT_LE(static_cast<double>(line.size()), most + 1);
  }
  EXPECT_LT(oldest_rewritten, 30u);
  EXPECT_LT(written, kLength * 25);
}

TEST(Strategies, LevelledWritesEachStateOnceALevel) {
  for (const std::uint32_t fan : {2u, 4u, 16u}) {
    std::vector<Piece> line;
    std::uint64_t written = 0;
    constexpr std::uint64_t kLength = 4096;
    for (std::uint64_t i = 0; i < kLength; ++i) {
      line.push_back({1, 0, 100});
      line = merged_to_the_end(Strategy::levelled, line, {fan, kNoLimit}, &written);
      const double levels = 1 + std::log(static_cast<double>(i + 1)) / std::log(fan);
      ASSERT_LE(static_cast<double>(line.size()), levels * (fan - 1) + 1);
    }
    EXPECT_EQ(spans_of(line), std::vector<std::uint64_t>{kLength}) << fan;
    EXPECT_LE(written, kLength * static_cast<std::uint64_t>(std::lround(std::log(kLength) / std::log(fan)))) << fan;
  }
}

TEST(Strategies, LevelledMergesAtOnceWhatIsDueOnSeveralLevels) {
  EXPECT_THAT(plan_groups(Strategy::levelled, pieces(std::vector<std::uint64_t>(19, 1)), {4, kNoLimit}),
              ElementsAre(Group{0, 16, 2}));
  EXPECT_THAT(plan_groups(Strategy::levelled, pieces(std::vector<std::uint64_t>(300, 1)), {16, kNoLimit}),
              ElementsAre(Group{0, 256, 2}, Group{256, 272, 1}, Group{272, 288, 1}));
}

TEST(Strategies, LevelledNeverJoinsAcrossWhatIsTooLarge) {
  // {1-10, 11-110, 111-115, 116-120, 121-125}: one that skipped the large one and took the rest lost 100 states.
  std::vector<Piece> line = pieces({10, 100, 5, 5, 5}, 1);
  EXPECT_THAT(plan_groups(Strategy::levelled, line, {3, 2000}), ElementsAre(Group{2, 5, 2}));
}

TEST(Strategies, LevelledTakesAlongWhatIsSmallAmongTheLarge) {
  std::vector<Piece> line;
  for (const int level : {2, 0, 2, 0, 0, 2}) line.push_back({1, level, 100});
  EXPECT_THAT(plan_groups(Strategy::levelled, line, {4, kNoLimit}), ElementsAre(Group{0, 4, 3}));
  const std::vector<Piece> after = merged_to_the_end(Strategy::levelled, line, {2, kNoLimit});
  EXPECT_LE(after.size(), 3u);
}

TEST(Strategies, GroupsOfRandomLinesAreNeighboursAndBoundedAndEnd) {
  std::uint64_t groups_seen = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    std::vector<Piece> line(random.below(80));
    for (Piece& piece : line) {
      piece = {1 + random.below(9), static_cast<int>(random.below(4)), 1 + random.below(500)};
    }
    const auto strategy = static_cast<Strategy>(seed % 3);
    const Limits limits{static_cast<std::uint32_t>(2 + random.below(8)), random.chance(1, 3) ? kNoLimit
                                                                        : 100 + random.below(3000),
                        2 + random.below(40)};
    std::uint64_t sequences = 0;
    for (const Piece& piece : line) sequences += piece.span;
    std::size_t end = 0;
    for (const Group& group : plan_groups(strategy, line, limits)) {
      ASSERT_GE(group.begin, end);
      ASSERT_GE(group.end, group.begin + 2);
      ASSERT_LE(group.end, line.size());
      ASSERT_LE(group.end - group.begin, limits.max_pieces);
      std::uint64_t size_bytes = 0;
      for (std::size_t i = group.begin; i < group.end; ++i) {
        size_bytes += line[i].size_bytes;
        ASSERT_GT(group.level, line[i].level);
      }
      ASSERT_LE(size_bytes, limits.max_bytes);
      end = group.end;
      ++groups_seen;
    }
    const std::vector<Piece> after = merged_to_the_end(strategy, line, limits);
    std::uint64_t left = 0;
    for (const Piece& piece : after) left += piece.span;
    ASSERT_EQ(left, sequences);
  }
  EXPECT_GT(groups_seen, 5000u);
}

}  // namespace
}  // namespace cairn::compact
