// Errors, ids, sources and the thread pool.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/bytes.h"
#include "base/check.h"
#include "base/executor.h"
#include "base/ids.h"
#include "cairn/error.h"

namespace cairn {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error(ErrorKind::invalid, "odd");
  return n / 2;
}

Result<int> quarter(int n) {
  CAIRN_ASSIGN(const int first, half(n));
  CAIRN_ASSIGN(const int second, half(first));
  return second;
}

Result<void> must_halve(int n) {
  CAIRN_TRY(half(n));
  return {};
}

TEST(Error, ContextIsPutBeforeTheMessageAndTheKindStays) {
  const Error error = Error(ErrorKind::denied, "no rights").with("segment 7").with("restore app.db");
  EXPECT_EQ(error.kind(), ErrorKind::denied);
  EXPECT_EQ(error.message(), "restore app.db: segment 7: no rights");
  EXPECT_EQ(error.as(ErrorKind::io).kind(), ErrorKind::io);
  EXPECT_EQ(error.as(ErrorKind::io).message(), error.message());
}

TEST(Error, WhatTheOtherSideAskedForSurvivesContextAndKind) {
  const Error error = Error(ErrorKind::retry_later, "slow down").after(1500);
  EXPECT_EQ(error.with("put").as(ErrorKind::io).retry_after_ms(), 1500);
  EXPECT_EQ(Error(ErrorKind::retry_later, "away").retry_after_ms(), 0);
}

TEST(Error, MacrosReturnTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  ASSERT_FALSE(quarter(6));
  EXPECT_EQ(quarter(6).error().kind(), ErrorKind::invalid);
  EXPECT_TRUE(must_halve(2));
  EXPECT_FALSE(must_halve(3));
}

TEST(Error, EveryKindHasAName) {
  EXPECT_EQ(name_of(ErrorKind::not_found), "not_found");
  EXPECT_EQ(name_of(ErrorKind::maybe_done), "maybe_done");
  EXPECT_EQ(name_of(ErrorKind::io), "io");
}

TEST(Id128, HexIsReadBack) {
  Id128 id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(i * 17);
  EXPECT_EQ(id.hex(), "00112233445566778899aabbccddeeff");
  ASSERT_TRUE(Id128::from_hex(id.hex()));
  EXPECT_EQ(*Id128::from_hex("00112233445566778899AABBCCDDEEFF"), id);
  EXPECT_TRUE(Id128{}.is_zero());
  EXPECT_FALSE(id.is_zero());
}

TEST(Id128, WhatIsNot32DigitsIsInvalid) {
  for (const char* text : {"", "00", "00112233445566778899aabbccddeef", "00112233445566778899aabbccddeeff0",
                           "0011223344556677 899aabbccddeeff", "g0112233445566778899aabbccddeeff"}) {
    ASSERT_FALSE(Id128::from_hex(text)) << text;
    EXPECT_EQ(Id128::from_hex(text).error().kind(), ErrorKind::invalid);
  }
}

TEST(BytesSource, ReadsExactlyWhatIsAskedForOrFails) {
  const std::string text = "0123456789";
  const BytesSource source(as_bytes(text));
  EXPECT_EQ(source.size_bytes(), 10u);
  Bytes some(4);
  ASSERT_TRUE(source.read_at(6, some));
  EXPECT_EQ(as_text(some), "6789");
  EXPECT_FALSE(source.read_at(7, some));
  EXPECT_FALSE(source.read_at(~std::uint64_t{0}, some));
  EXPECT_TRUE(source.read_at(10, {}));
}

TEST(CheckDeathTest, BrokenPromiseOfOursEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(CAIRN_CHECK(1 + 1 == 3), "CHECK\\(1 \\+ 1 == 3\\) does not hold");
}

TEST(ThreadPool, AllWorkIsDoneBeforeItEnds) {
  std::atomic<int> done = 0;
  {
    const auto pool = make_thread_pool(4);
    EXPECT_EQ(pool->width(), 4);
    for (int i = 0; i < 1000; ++i) pool->run([&] { ++done; });
  }
  EXPECT_EQ(done, 1000);
}

TEST(ThreadPool, WorkMayHandInMoreWhileThePoolCloses) {
  std::atomic<int> done = 0;
  {
    const auto pool = make_thread_pool(2);
    Executor& executor = *pool;
    for (int i = 0; i < 100; ++i) {
      pool->run([&] {
        ++done;
        executor.run([&] { ++done; });
      });
    }
  }
  EXPECT_EQ(done, 200);
}

TEST(ThreadPool, PiecesRunAtTheSameTime) {
  std::mutex mutex;
  std::condition_variable met;
  int here = 0;
  auto pool = make_thread_pool(3);
  for (int i = 0; i < 3; ++i) {
    pool->run([&] {  // ends only when all three have begun
      std::unique_lock lock(mutex);
      ++here;
      met.notify_all();
      met.wait(lock, [&] { return here == 3; });
    });
  }
  pool.reset();
  EXPECT_EQ(here, 3);
}

TEST(ThreadPool, WidthIsAtLeastOne) {
  EXPECT_GE(make_thread_pool()->width(), 1);
  EXPECT_EQ(InlineExecutor().width(), 1);
}

}  // namespace
}  // namespace cairn
