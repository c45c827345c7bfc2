#include "daemon/patient.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <chrono>
#include <memory>
#include <thread>

#include "base/clock.h"

namespace cairn::daemon {
namespace {

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

class PatientTest : public ::testing::Test {
 protected:
  ~PatientTest() override { may_end(); }

  // Lets those go that hang, and waits for them.
  void may_end() {
    *may_end_ = true;
    while (*hanging_ > 0) sleep_ms(1);
    sleep_ms(10);
  }
  std::function<void(Steps&)> hangs() {
    return [may_end = may_end_, hanging = hanging_](Steps&) {
      ++*hanging;
      while (!*may_end) sleep_ms(1);
      --*hanging;
    };
  }
  static bool ask(const std::string& name, std::int64_t patience_ms, std::function<void(Steps&)> work) {
    std::vector<Question> one{{name, name, std::move(work)}};
    ask_all(one, {patience_ms, 60'000});
    return one[0].is_answered;
  }

  const std::shared_ptr<std::atomic<bool>> may_end_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<std::atomic<int>> hanging_ = std::make_shared<std::atomic<int>>(0);
};

TEST_F(PatientTest, AsksAllAndWaitsForWhoGetsOn) {
  std::atomic<int> done = 0;
  const auto slow = [&](Steps& steps) {
    for (int i = 0; i < 40; ++i, ++steps) sleep_ms(5);
    ++done;
  };
  std::vector<Question> all;
  for (int i = 0; i < 20; ++i) all.push_back({std::to_string(i), "disk", slow});
  ask_all(all, {150, 60'000});
  EXPECT_EQ(done, 20);
  for (const Question& one : all) EXPECT_TRUE(one.is_answered);
}

TEST_F(PatientTest, LeavesAloneWhoDoesNotComeBackAndBeginsNoOtherUntilItDoes) {
  EXPECT_FALSE(ask("hangs", 20, hangs()));
  std::atomic<bool> begun = false;
  const auto begins = [&](Steps&) { begun = true; };
  EXPECT_FALSE(ask("hangs", 20, begins));
  EXPECT_FALSE(begun);
  EXPECT_TRUE(ask("another", 60'000, begins));
  may_end();
  while (!ask("hangs", 60'000, begins)) sleep_ms(1);
}

TEST_F(PatientTest, ManyThatHangAreWaitedForTogetherAndThoseOfAnotherDeviceAreAnswered) {
  std::vector<Question> all;
  for (int i = 0; i < 20; ++i) all.push_back({"hangs " + std::to_string(i), std::to_string(i), hangs()});
  all.push_back({"answers", "answers", [](Steps&) {}});
  const std::int64_t begun_ms = monotonic_ms();
  ask_all(all, {500, 60'000});
  EXPECT_LT(monotonic_ms() - begun_ms, 5'000);
  for (const Question& one : all) EXPECT_EQ(one.is_answered, one.name == "answers");
}

TEST_F(PatientTest, WhatADeviceThatHangsHoldsIsBounded) {
  std::vector<Question> all;
  for (int i = 0; i < 40; ++i) all.push_back({"hangs " + std::to_string(i), "dead", hangs()});
  ask_all(all, {50, 60'000});
  EXPECT_EQ(*hanging_, static_cast<int>(kMostOfADevice));
  EXPECT_TRUE(ask("another device", 60'000, [](Steps&) {}));
}

TEST_F(PatientTest, WhatAllThatHangHoldIsBounded) {
  std::vector<Question> all;
  for (int i = 0; i < 300; ++i) all.push_back({"hangs " + std::to_string(i), std::to_string(i), hangs()});
  ask_all(all, {300, 60'000});
  EXPECT_EQ(*hanging_, static_cast<int>(kMostAsked));
  EXPECT_FALSE(ask("one more", 300, [](Steps&) {}));
}

TEST_F(PatientTest, WhoGetsOnForTooLongIsLeftAloneToo) {
  const auto crawls = [may_end = may_end_, hanging = hanging_](Steps& steps) {
    ++*hanging;
    for (; !*may_end; ++steps) sleep_ms(1);
    --*hanging;
  };
  std::vector<Question> one{{"crawls", "disk", crawls}};
  ask_all(one, {60'000, 100});
  EXPECT_FALSE(one[0].is_answered);
  EXPECT_TRUE(one[0].is_late);
  std::vector<Question> hanging{{"hangs", "another disk", hangs()}};
  ask_all(hanging, {20, 60'000});
  EXPECT_FALSE(hanging[0].is_late);
}

TEST_F(PatientTest, WithoutAThreadNothingIsAsked) {
  pthread_attr_t before, huge;
  ASSERT_EQ(::pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(::pthread_getattr_default_np(&huge), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&huge, std::size_t{1} << 50), 0);
  ASSERT_EQ(::pthread_setattr_default_np(&huge), 0);
  bool is_asked = false;
  EXPECT_FALSE(ask("none", 60'000, [&](Steps&) { is_asked = true; }));
  EXPECT_FALSE(is_asked);
  ASSERT_EQ(::pthread_setattr_default_np(&before), 0);
  ::pthread_attr_destroy(&before);
  ::pthread_attr_destroy(&huge);
  EXPECT_TRUE(ask("none", 60'000, [&](Steps&) { is_asked = true; }));
}

}  // namespace
}  // namespace cairn::daemon
