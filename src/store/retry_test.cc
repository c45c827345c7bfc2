#include "store/retry.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "store/around.h"
#include "store/counting.h"
#include "store/faulty.h"

namespace cairn {
namespace {

// A clock that only sleeping moves.
class FakeTime final : public Clock, public Sleeper {
 public:
  Time now() override { return Time{now_ms, now_ms * 1000}; }
  void sleep_ms(std::int64_t duration_ms) override {
    sleeps_ms.push_back(duration_ms);
    now_ms += duration_ms;
  }
  std::int64_t now_ms = 1'000;
  std::vector<std::int64_t> sleeps_ms;
};

Error error_of(ErrorKind kind) { return Error(kind, "the store is overloaded"); }

class RetrierTest : public ::testing::Test {
 protected:
  // Makes a call that fails with each of `script` in turn, then succeeds. Each attempt takes `attempt_ms`.
  Result<int> call(Operation operation, std::deque<Error> script) {
    made_ = 0;
    return retrier().run(operation, [&]() -> Result<int> {
      ++made_;
      time_.now_ms += attempt_ms_;
      if (script.empty()) return 7;
      const Error error = script.front();
      script.pop_front();
      return error;
    });
  }
  // One that fails always: with what, is in last_.
  void fail(Operation operation, ErrorKind kind, std::string words = "the store is overloaded") {
    last_ = call(operation, std::deque<Error>(100, Error(kind, std::move(words)))).error();
  }

  Retrier& retrier() {
    if (!retrier_) retrier_.emplace(options_, time_, random_, time_);
    return *retrier_;
  }

  RetryOptions options_;
  FakeTime time_;
  SeededRandom random_{1};
  std::optional<Retrier> retrier_;
  int made_ = 0;
  Error last_{ErrorKind::cancelled, ""};
  std::int64_t attempt_ms_ = 0;
};

TEST_F(RetrierTest, SuccessIsPassedOnAtOnce) {
  EXPECT_EQ(*call(Operation::get, {}), 7);
  EXPECT_EQ(made_, 1);
  EXPECT_TRUE(time_.sleeps_ms.empty());
}

TEST_F(RetrierTest, WhatHadNoEffectIsRepeated) {
  for (const Operation operation : {Operation::put_new, Operation::put_if, Operation::complete_new, Operation::get}) {
    EXPECT_EQ(*call(operation, {error_of(ErrorKind::retry_later), error_of(ErrorKind::retry_later)}), 7);
    EXPECT_EQ(made_, 3);
  }
  EXPECT_EQ(retrier().retries(), 8u);
}

TEST_F(RetrierTest, ConditionalCreationThatMayBeDoneIsNotRepeated) {
  for (const Operation operation : {Operation::put_new, Operation::put_if, Operation::complete_new}) {
    EXPECT_EQ(call(operation, {error_of(ErrorKind::maybe_done)}).error().kind(), ErrorKind::maybe_done);
    EXPECT_EQ(made_, 1);
  }
}

TEST_F(RetrierTest, WhatMayBeDoneTwiceIsRepeated) {
  for (const Operation operation : {Operation::get, Operation::get_suffix, Operation::head, Operation::list,
                                    Operation::remove, Operation::begin_upload, Operation::put_part,
                                    Operation::copy_part, Operation::list_parts, Operation::abort_upload,
                                    Operation::list_uploads}) {
    EXPECT_EQ(*call(operation, {error_of(ErrorKind::maybe_done)}), 7) << name_of(operation);
  }
}

TEST_F(RetrierTest, AnswersAreNotRepeated) {
  for (const ErrorKind kind : {ErrorKind::not_found, ErrorKind::conflict, ErrorKind::denied, ErrorKind::invalid,
                               ErrorKind::unsupported, ErrorKind::busy, ErrorKind::cancelled, ErrorKind::io}) {
    fail(Operation::get, kind);
    EXPECT_EQ(last_.kind(), kind);
    EXPECT_EQ(made_, 1) << name_of(kind);
  }
}

TEST_F(RetrierTest, DamagedBytesAreFetchedAFewTimes) {
  fail(Operation::get, ErrorKind::corrupt);
  EXPECT_EQ(last_.kind(), ErrorKind::corrupt);
  EXPECT_EQ(made_, options_.corrupt_attempts);
  fail(Operation::put_new, ErrorKind::corrupt);
  EXPECT_EQ(made_, 1) << "nobody knows what the store has now";
}

TEST_F(RetrierTest, AttemptsAreLimitedAndTheLastErrorIsTold) {
  fail(Operation::get, ErrorKind::retry_later);
  EXPECT_EQ(last_.message(), "the store is overloaded");
  EXPECT_EQ(made_, options_.attempts);
}

TEST_F(RetrierTest, NoAttemptBeginsAfterTheTimeIsOver) {
  attempt_ms_ = 4'000;
  fail(Operation::get, ErrorKind::retry_later);
  EXPECT_LE(made_, 3);
  EXPECT_LE(time_.now_ms - 1'000 - attempt_ms_, options_.total_ms);
}

TEST_F(RetrierTest, WaitsAreDrawnFromZeroToALimitThatDoubles) {
  options_.budget = 1'000'000;
  options_.total_ms = 1'000'000;
  options_.breaker.failing_ms = 1'000'000'000;
  std::vector<std::int64_t> longest(7, 0), shortest(7, 1'000'000);
  for (int round = 0; round < 400; ++round) {
    time_.sleeps_ms.clear();
    fail(Operation::get, ErrorKind::retry_later);
    ASSERT_EQ(time_.sleeps_ms.size(), 7u);
    for (std::size_t i = 0; i < 7; ++i) {
      longest[i] = std::max(longest[i], time_.sleeps_ms[i]);
      shortest[i] = std::min(shortest[i], time_.sleeps_ms[i]);
    }
  }
  const std::vector<std::int64_t> limits{100, 200, 400, 800, 1600, 3200, 4000};
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_LE(longest[i], limits[i]);
    EXPECT_GT(longest[i], limits[i] * 9 / 10);
    EXPECT_LT(shortest[i], limits[i] / 10);
  }
}

TEST_F(RetrierTest, WaitsAsLongAsTheStoreAsksFor) {
  EXPECT_TRUE(call(Operation::put_part, {error_of(ErrorKind::retry_later).after(3'000)}));
  EXPECT_EQ(time_.sleeps_ms, std::vector<std::int64_t>{3'000});
}

TEST_F(RetrierTest, WhoAsksForMoreThanThereIsTimeGetsItFromTheCaller) {
  const Result<int> result = call(Operation::get, {error_of(ErrorKind::retry_later).after(60'000)});
  EXPECT_EQ(result.error().retry_after_ms(), 60'000);
  EXPECT_TRUE(time_.sleeps_ms.empty());
}

TEST_F(RetrierTest, AllCallsShareOneBudget) {
  options_.budget = 40;
  options_.breaker.failing_ms = 1'000'000'000;
  fail(Operation::get, ErrorKind::retry_later);
  EXPECT_EQ(made_, 8);  // seven repetitions of 5: 5 are left
  fail(Operation::get, ErrorKind::retry_later);
  EXPECT_EQ(made_, 2);
  fail(Operation::get, ErrorKind::retry_later);
  EXPECT_EQ(made_, 1) << "nothing is left";
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(call(Operation::get, {}));
  fail(Operation::get, ErrorKind::retry_later);
  EXPECT_EQ(made_, 2) << "successes have put something back";
}

TEST_F(RetrierTest, TimeOutsCostTwice) {
  options_.budget = 40;
  options_.breaker.failing_ms = 1'000'000'000;
  fail(Operation::get, ErrorKind::maybe_done);
  EXPECT_EQ(made_, 5);
}

TEST_F(RetrierTest, RepetitionThatSucceedsCostsNothing) {
  options_.budget = 5;
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(call(Operation::get, {error_of(ErrorKind::retry_later)}));
  }
}

// The breaker, seen through the calls.

TEST_F(RetrierTest, BurstOfFailuresAtOneMomentDoesNotOpenTheBreaker) {
  options_.attempts = 1;
  for (int i = 0; i < 50; ++i) fail(Operation::get, ErrorKind::retry_later);
  EXPECT_EQ(retrier().breaker(), BreakerState::closed);
}

TEST_F(RetrierTest, StoreThatKeepsFailingIsLeftAlone) {
  options_.attempts = 1;
  attempt_ms_ = 1'500;
  for (int i = 0; i < 4; ++i) fail(Operation::get, ErrorKind::retry_later);
  EXPECT_EQ(retrier().breaker(), BreakerState::closed);
  fail(Operation::get, ErrorKind::retry_later, "no route to host");
  EXPECT_EQ(retrier().breaker(), BreakerState::open);

  const Result<int> refused = call(Operation::put_new, {});
  EXPECT_EQ(made_, 0);
  EXPECT_EQ(refused.error().kind(), ErrorKind::retry_later);
  EXPECT_EQ(refused.error().message(), "no route to host");
  EXPECT_GT(refused.error().retry_after_ms(), 0);
  EXPECT_LE(refused.error().retry_after_ms(), options_.breaker.first_open_ms + 1);
}

TEST_F(RetrierTest, RefusalHadNoEffectWhateverTheLastFailureWas) {
  options_.attempts = 1;
  attempt_ms_ = 2'000;
  for (int i = 0; i < 5; ++i) fail(Operation::put_new, ErrorKind::maybe_done);
  EXPECT_EQ(call(Operation::put_new, {}).error().kind(), ErrorKind::retry_later);
}

TEST_F(RetrierTest, OneCallIsLetThroughAndClosesTheBreaker) {
  options_.attempts = 1;
  attempt_ms_ = 2'000;
  for (int i = 0; i < 5; ++i) fail(Operation::get, ErrorKind::retry_later);
  time_.now_ms += options_.breaker.first_open_ms;
  EXPECT_EQ(retrier().breaker(), BreakerState::half_open);
  Result<int> inside = 0;
  const Result<int> through = retrier().run(Operation::get, [&]() -> Result<int> {
    inside = retrier().run(Operation::get, []() -> Result<int> { return 1; });
    return 7;
  });
  EXPECT_EQ(*through, 7);
  EXPECT_EQ(inside.error().kind(), ErrorKind::retry_later) << "only one at a time";
  EXPECT_EQ(retrier().breaker(), BreakerState::closed);
  EXPECT_TRUE(call(Operation::get, {}));
}

TEST_F(RetrierTest, AnswerThatIsAnErrorClosesItToo) {
  options_.attempts = 1;
  attempt_ms_ = 2'000;
  for (int i = 0; i < 5; ++i) fail(Operation::get, ErrorKind::retry_later);
  time_.now_ms += options_.breaker.first_open_ms;
  fail(Operation::head, ErrorKind::not_found);
  EXPECT_EQ(last_.kind(), ErrorKind::not_found);
  EXPECT_EQ(retrier().breaker(), BreakerState::closed);
}

TEST_F(RetrierTest, EachFailedLookLeavesItAloneForTwiceAsLong) {
  options_.attempts = 1;
  attempt_ms_ = 2'000;
  for (int i = 0; i < 5; ++i) fail(Operation::get, ErrorKind::retry_later);
  attempt_ms_ = 0;
  for (const std::int64_t open_ms : {1'000, 2'000, 4'000, 8'000, 16'000, 30'000, 30'000}) {
    time_.now_ms += open_ms - 1;
    EXPECT_EQ(retrier().breaker(), BreakerState::open) << open_ms;
    time_.now_ms += 1;
    EXPECT_EQ(retrier().breaker(), BreakerState::half_open) << open_ms;
    fail(Operation::get, ErrorKind::retry_later);
    EXPECT_EQ(made_, 1);
  }
}

TEST_F(RetrierTest, LookThatEndsOnThisMachineFreesTheWay) {
  options_.attempts = 1;
  attempt_ms_ = 2'000;
  for (int i = 0; i < 5; ++i) fail(Operation::get, ErrorKind::retry_later);
  time_.now_ms += options_.breaker.first_open_ms;
  fail(Operation::put_part, ErrorKind::io);
  EXPECT_EQ(last_.kind(), ErrorKind::io);
  EXPECT_TRUE(call(Operation::get, {}));
}

TEST_F(RetrierTest, LookThatNeverEndsDoesNotKeepTheOthersOut) {
  options_.attempts = 1;
  attempt_ms_ = 2'000;
  for (int i = 0; i < 5; ++i) fail(Operation::get, ErrorKind::retry_later);
  time_.now_ms += options_.breaker.first_open_ms;
  Result<int> inside = 0;
  const Result<int> through = retrier().run(Operation::put_new, [&]() -> Result<int> {
    time_.now_ms += 11'000;
    inside = retrier().run(Operation::get, []() -> Result<int> { return 1; });
    return 7;
  });
  EXPECT_TRUE(through);
  EXPECT_TRUE(inside);
}

// As a store: with a fault in every second or third call, what it says is true.
class RetryingStoreTest : public ::testing::TestWithParam<int> {};

TEST_P(RetryingStoreTest, NothingIsLostOrDoubledAtAnyRateOfFaults) {
  const int rate = GetParam() * 10 / 3;  // of a thousand, for each of three faults
  const auto memory = make_memory_store();
  FaultPlan plan;
  FaultRates rates;
  rates.before = rates.after = rates.lost = rate;
  plan.set_all(rates);
  SeededRandom chance(static_cast<std::uint64_t>(rate) + 1);
  FakeTime time;
  SeededRandom random(3);
  const auto store = make_retrying_store(make_faulty_store(*memory, plan, chance), {}, time, random, time);
  int unclear = 0, refused = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string key = "k" + std::to_string(i);
    const auto put = store->put_new(key, BytesSource(as_bytes(key)));
    const bool there = memory->head(key).has_value();
    if (put) {
      EXPECT_TRUE(there);
    } else if (put.error().kind() == ErrorKind::maybe_done) {
      ++unclear;
    } else {
      // Never a conflict with oneself, and retry_later means that there is nothing.
      EXPECT_EQ(put.error().kind(), ErrorKind::retry_later);
      EXPECT_FALSE(there);
      ++refused;
    }
    const auto got = store->get(key, 0, std::nullopt);
    if (got) {
      EXPECT_TRUE(there);
    } else {
      EXPECT_TRUE(got.error().kind() == (there ? ErrorKind::retry_later : ErrorKind::not_found) ||
                  got.error().kind() == ErrorKind::retry_later);
    }
  }
  EXPECT_LT(refused, 30);
  if (rate == 0) {
    EXPECT_EQ(unclear, 0);
    EXPECT_EQ(store->status().retries, 0u);
  } else {
    EXPECT_GT(store->status().retries, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Percent, RetryingStoreTest, ::testing::Values(0, 1, 10, 30));

// Gives a few bytes of a range at a time, and fails then.
class Faltering final : public StoreAround<Faltering> {
 public:
  explicit Faltering(Store& inner) : inner_(inner) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    return call();
  }
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override {
    offsets.push_back(offset);
    if (before_read) before_read();
    CAIRN_TRY(inner_.read(key, offset, std::min(length, at_a_time), take));
    return Error(ErrorKind::retry_later, "the line broke");
  }
  std::vector<std::uint64_t> offsets;
  std::uint64_t at_a_time = 3;
  std::function<void()> before_read;

 private:
  Store& inner_;
};

class RetryingRead : public ::testing::Test {
 protected:
  RetryingRead() {
    EXPECT_TRUE(memory_->put_new("k", BytesSource(as_bytes(text_))));
    auto faltering = std::make_unique<Faltering>(*memory_);
    inner_ = faltering.get();
    RetryOptions options;
    options.attempts = 2;
    store_ = make_retrying_store(std::move(faltering), options, time_, random_, time_);
  }
  Result<ObjectInfo> read(std::uint64_t offset, std::uint64_t length) {
    taken_.clear();
    return store_->read("k", offset, length, [&](const ObjectInfo&, ByteView piece) -> Result<void> {
      taken_ += as_text(piece);
      if (taken_.size() >= most_) return Error(ErrorKind::retry_later, "the reader's own");
      return {};
    });
  }

  const std::string text_ = "0123456789abcdefghijklmnopqrstuvwxyz";
  const std::unique_ptr<Store> memory_ = make_memory_store();
  FakeTime time_;
  SeededRandom random_{1};
  Faltering* inner_ = nullptr;
  std::unique_ptr<Store> store_;
  std::string taken_;
  std::size_t most_ = 1000;
};

// As long as something comes, there are more attempts than any call has by itself.
TEST_F(RetryingRead, GoesOnBehindWhatWasTaken) {
  const auto read_all = read(1, 20);
  ASSERT_TRUE(read_all) << read_all.error().message();
  EXPECT_EQ(taken_, text_.substr(1, 20));
  EXPECT_EQ(inner_->offsets, (std::vector<std::uint64_t>{1, 4, 7, 10, 13, 16, 19}));
  ASSERT_TRUE(read(30, 1000));  // all came, and then the line broke
  EXPECT_EQ(taken_, text_.substr(30));
}

TEST_F(RetryingRead, EndsWhenNothingComesAnyMore) {
  inner_->before_read = [&] {
    if (inner_->offsets.size() == 3) inner_->at_a_time = 0;
  };
  EXPECT_EQ(read(0, 20).error().message(), "the line broke");
  EXPECT_EQ(taken_, text_.substr(0, 6));
  EXPECT_LE(inner_->offsets.size(), 6u);
}

TEST_F(RetryingRead, WhoTakesMayEndItAndTheStoreIsNotBlamed) {
  most_ = 5;
  EXPECT_EQ(read(0, 20).error().message(), "the reader's own");
  EXPECT_EQ(taken_, text_.substr(0, 6));
  EXPECT_EQ(inner_->offsets.size(), 2u);
}

TEST_F(RetryingRead, AnotherObjectIsNotGoneOnWith) {
  inner_->before_read = [&] {
    if (inner_->offsets.size() != 3) return;
    ASSERT_TRUE(memory_->put_if("k", BytesSource(as_bytes(text_)), memory_->head("k")->etag));
  };
  EXPECT_EQ(read(0, 20).error().kind(), ErrorKind::retry_later);
  EXPECT_EQ(taken_, text_.substr(0, 6));
  EXPECT_EQ(inner_->offsets.size(), 3u);
}

// The keys that may go at the next try are asked for again, and they alone.
TEST(RetryingStore, OfManyOnlyWhatMayPassIsRemovedAgain) {
  const auto memory = make_memory_store();
  FaultPlan plan;
  plan.of(Operation::remove_many).before = 400;
  SeededRandom chance(5);
  FakeTime time;
  SeededRandom random(3);
  RetryOptions patient;
  patient.attempts = 100;
  patient.budget = 1'000'000;
  patient.total_ms = 1'000'000;
  patient.breaker.failures = 1'000'000;
  auto faulty = make_faulty_store(*memory, plan, chance);
  auto counting = std::make_unique<CountingStore>(*faulty);
  const CountingStore& counted = *counting;
  const auto store = make_retrying_store(std::move(counting), patient, time, random, time);
  std::vector<std::string> keys{"../invalid"};
  for (int i = 0; i < 100; ++i) keys.push_back("k" + std::to_string(i));
  for (std::size_t i = 1; i < keys.size(); ++i) ASSERT_TRUE(memory->put_new(keys[i], BytesSource({})));
  const auto left = store->remove_many(keys);
  ASSERT_TRUE(left) << left.error().message();
  ASSERT_EQ(left->size(), 1u) << "told once, however often the others were tried";
  EXPECT_EQ(left->front().key, "../invalid");
  EXPECT_TRUE(memory->list("")->objects.empty());
  EXPECT_GT(counted.counts().of(Operation::remove_many).calls, 2u);

  plan.of(Operation::remove_many) = {.before = 0, .after = 0, .lost = 0, .denied = 1000};
  EXPECT_EQ(store->remove_many(keys).error().kind(), ErrorKind::denied);
}

TEST(RetryingStore, WhatOfManyNeverGoesIsNamed) {
  const auto memory = make_memory_store();
  FaultPlan plan;
  plan.of(Operation::remove_many).before = 700;
  SeededRandom chance(8);
  FakeTime time;
  SeededRandom random(3);
  RetryOptions hasty;
  hasty.attempts = 2;
  const auto store = make_retrying_store(make_faulty_store(*memory, plan, chance), hasty, time, random, time);
  int named = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<std::string> keys;
    for (int i = 0; i < 5; ++i) keys.push_back("k" + std::to_string(i));
    for (const std::string& key : keys) (void)memory->put_new(key, BytesSource({}));
    const auto left = store->remove_many(keys);
    if (!left) {
      EXPECT_EQ(left.error().kind(), ErrorKind::retry_later);
      continue;
    }
    named += static_cast<int>(left->size());
    EXPECT_EQ(memory->list("")->objects.size(), left->size());
  }
  EXPECT_GT(named, 0);
}

TEST(RetryingStore, ManyThreadsShareIt) {
  const auto memory = make_memory_store();
  FaultPlan plan;
  plan.of(Operation::put_new).before = 300;
  SeededRandom chance(5);
  RetryOptions quick;
  quick.first_wait_ms = 1;
  const auto store = make_retrying_store(make_faulty_store(*memory, plan, chance), quick);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        EXPECT_TRUE(store->put_new("k" + std::to_string(t * 100 + i), BytesSource({})));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(memory->list("")->objects.size(), 100u);
}

}  // namespace
}  // namespace cairn
