// The simulation over many seeds.
//
//   sim_tests                                     the seeds of ./check
//   sim_tests --seed N [--count M] [--rounds R] [--away] [--late] [--prunes] [--verbose] [--check-always] [--keep DIR]
//                                                 seeds N to N+M-1; --away: the store is away whenever the replicator
//                                                 starts; --late: it lists late; --prunes: the past is
//                                                 thinned meanwhile; --verbose prints every step,
//                                                 --check-always has
//                                                 SQLite check the database after each, --keep leaves the evidence in
//                                                 DIR
//
// CAIRN_SIM_FIRST and CAIRN_SIM_COUNT choose other seeds for the tests. A failing seed prints how to run it again.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fmt/format.h"
#include "support/simulation.h"

namespace cairn::testing {
namespace {

constexpr std::uint64_t kShards = 4;
constexpr std::uint64_t kManyEach = 8;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string tail_of(const SimulationReport& report) {
  constexpr std::size_t kLines = 25;
  std::string text;
  const std::size_t count = report.trace.size();
  for (std::size_t i = count > kLines ? count - kLines : 0; i < count; ++i) text += "  " + report.trace[i] + "\n";
  return text;
}

// One shard a test, so that ctest runs them side by side.
class Seeds : public ::testing::TestWithParam<std::uint64_t> {};

void run_shard(std::uint64_t shard, std::uint64_t otherwise, SimulationOptions options) {
  const std::uint64_t first = from_environment("CAIRN_SIM_FIRST", 1);
  const std::uint64_t count = from_environment("CAIRN_SIM_COUNT", otherwise);
  std::uint64_t restore_points = 0, restores = 0, merged = 0, replaced = 0, rests = 0, woken = 0;
  std::uint64_t prunes = 0, pruned = 0, promised = 0;
  for (std::uint64_t seed = first + shard; seed < first + count; seed += kShards) {
    options.seed = seed;
    const SimulationReport report = simulate(options);
    restore_points += report.restore_points;
    restores += report.restores;
    merged += report.merged;
    replaced += report.replaced;
    rests += report.rests;
    woken += report.woken;
    prunes += report.prunes;
    pruned += report.pruned;
    promised += report.promised;
    ASSERT_TRUE(report.failure.empty()) << "seed " << seed << ": " << report.failure
                                        << "\nrerun with: sim_tests --seed " << seed
                                        << (options.away_at_start ? " --away" : "")
                                        << (options.lists_late ? " --late" : "")
                                        << (options.prunes ? " --prunes" : "") << " --verbose\n"
                                        << tail_of(report);
  }
  if (count >= kShards) {
    EXPECT_GT(restore_points, 0u);
    EXPECT_GT(restores, 0u);
    if (count < kManyEach * kShards) return;  // not each shard meets everything
    EXPECT_GT(merged, 0u);
    EXPECT_GT(replaced, 0u);
    EXPECT_GT(rests, 0u);
    EXPECT_GT(woken, 0u);
    if (!options.prunes) return;
    EXPECT_GT(prunes, 0u);
    EXPECT_GT(pruned, 0u);
    EXPECT_GT(promised, 0u);
  }
}

TEST_P(Seeds, EveryRestorePointIsACommittedStateInOrder) { run_shard(GetParam(), 96, {}); }

TEST_P(Seeds, SoItIsWhenTheStoreIsAwayAtEveryStart) {
  SimulationOptions options;
  options.away_at_start = true;
  run_shard(GetParam(), 48, options);
}

// After each round, whatever fell into the prunes of it: all that the rules of retention keep is there, and is what it
// was; and so are restores that prunes fall into.
TEST_P(Seeds, WhatAPruneHasToKeepIsWhatItWas) {
  SimulationOptions options;
  options.prunes = true;
  run_shard(GetParam(), 40, options);
}

TEST_P(Seeds, SoItIsOfAStoreThatListsLate) {
  SimulationOptions options;
  options.prunes = options.lists_late = true;
  run_shard(GetParam(), 16, options);
}

TEST_P(Seeds, SoItIsWhenTheStoreListsLate) {
  SimulationOptions options;
  options.lists_late = true;
  run_shard(GetParam(), 32, options);
}

INSTANTIATE_TEST_SUITE_P(Simulation, Seeds, ::testing::Range<std::uint64_t>(0, kShards),
                         [](const auto& shard) { return fmt::format("shard{}", shard.param); });

struct ByHand {
  SimulationOptions options;
  std::uint64_t count = 1;
  bool wanted = false;
};

ByHand parse(int argc, char** argv) {
  ByHand hand;
  for (int i = 1; i < argc; ++i) {
    const auto value = [&] { return i + 1 < argc ? std::strtoull(argv[++i], nullptr, 10) : 0; };
    if (std::strcmp(argv[i], "--seed") == 0) {
      hand.options.seed = value();
      hand.wanted = true;
    } else if (std::strcmp(argv[i], "--count") == 0) {
      hand.count = value();
    } else if (std::strcmp(argv[i], "--rounds") == 0) {
      hand.options.rounds = static_cast<int>(value());
    } else if (std::strcmp(argv[i], "--away") == 0) {
      hand.options.away_at_start = true;
    } else if (std::strcmp(argv[i], "--late") == 0) {
      hand.options.lists_late = true;
    } else if (std::strcmp(argv[i], "--prunes") == 0) {
      hand.options.prunes = true;
    } else if (std::strcmp(argv[i], "--verbose") == 0) {
      hand.options.verbose = true;
    } else if (std::strcmp(argv[i], "--keep") == 0 && i + 1 < argc) {
      hand.options.keep = argv[++i];
    } else if (std::strcmp(argv[i], "--check-always") == 0) {
      hand.options.check_always = true;
    }
  }
  return hand;
}

int run_by_hand(ByHand hand) {
  int failures = 0;
  const std::uint64_t end = hand.options.seed + hand.count;
  const auto began = std::chrono::steady_clock::now();
  SimulationReport sum;
  for (; hand.options.seed < end; ++hand.options.seed) {
    const SimulationReport report = simulate(hand.options);
    sum.commits += report.commits;
    sum.restore_points += report.restore_points;
    sum.restores += report.restores;
    sum.kills += report.kills;
    sum.power_losses += report.power_losses;
    sum.faults += report.faults;
    sum.snapshots += report.snapshots;
    sum.merged += report.merged;
    sum.replaced += report.replaced;
    sum.rests += report.rests;
    sum.woken += report.woken;
    sum.prunes += report.prunes;
    sum.pruned += report.pruned;
    sum.promised += report.promised;
    sum.most_waits = std::max(sum.most_waits, report.most_waits);
    if (report.failure.empty()) continue;
    ++failures;
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(hand.options.seed), report.failure.c_str());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("%s\n", fmt::format("{} of {} seeds failed; {} commits, {} restore points, {} restores, {} snapshots, "
                                  "{} merged objects, {} replaced ones, {} prunes of {} objects, "
                                  "{} promised states restored, {} rests, {} woken, "
                                  "{} kills, {} power losses, {} faults, longest "
                                  "wait {} ms; {:.1f} s",
                                  failures, hand.count, sum.commits, sum.restore_points, sum.restores, sum.snapshots,
                                  sum.merged, sum.replaced, sum.prunes, sum.pruned, sum.promised, sum.rests,
                                  sum.woken, sum.kills, sum.power_losses, sum.faults, sum.most_waits,
                                  took.count()).c_str());
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace cairn::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const auto hand = cairn::testing::parse(argc, argv);
  if (hand.wanted) return cairn::testing::run_by_hand(hand);
  return RUN_ALL_TESTS();
}
