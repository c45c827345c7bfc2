#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace cairn {
namespace {

TEST(ParallelFor, EveryPieceOfWorkIsDoneOnce) {
  auto pool = make_thread_pool(4);
  std::vector<std::atomic<int>> done(1000);
  auto result = parallel_for(*pool, done.size(), [&](std::uint64_t i) -> Result<void> {
    ++done[i];
    return {};
  });
  ASSERT_TRUE(result);
  for (const auto& each : done) EXPECT_EQ(each, 1);
}

TEST(ParallelFor, TheFirstErrorByIndexIsReturnedAndEndsIt) {
  InlineExecutor executor;
  int done = 0;
  auto result = parallel_for(executor, 100, [&](std::uint64_t i) -> Result<void> {
    ++done;
    if (i == 7) return Error(ErrorKind::corrupt, "seven");
    return {};
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "seven");
  EXPECT_EQ(done, 8);
}

TEST(ParallelFor, WorksWhileEveryThreadOfTheExecutorIsTakenByCallersOfIt) {
  auto pool = make_thread_pool(2);
  std::atomic<int> done = 0;
  auto result = parallel_for(*pool, 4, [&](std::uint64_t) -> Result<void> {
    return parallel_for(*pool, 4, [&](std::uint64_t) -> Result<void> {
      ++done;
      return {};
    });
  });
  ASSERT_TRUE(result);
  EXPECT_EQ(done, 16);
}

TEST(ParallelFor, StoppedBeforeTheEndIsCancelled) {
  InlineExecutor executor;
  std::stop_source stop;
  auto result = parallel_for(
      executor, 10,
      [&](std::uint64_t i) -> Result<void> {
        if (i == 3) stop.request_stop();
        return {};
      },
      stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::cancelled);
}

}  // namespace
}  // namespace cairn
