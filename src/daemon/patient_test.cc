#include "daemon/patient.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace cairn::daemon {
namespace {

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

TEST(Patient, GivesTheAnswer) {
  EXPECT_EQ(ask_patiently<int>("answers", 60'000, [](Steps&) { return 7; }), 7);
}

TEST(Patient, WaitsForWhoGetsOn) {
  const auto slow = [](Steps& steps) {
    for (int i = 0; i < 40; ++i, ++steps) sleep_ms(5);
    return 1;
  };
  EXPECT_EQ(ask_patiently<int>("slow", 150, slow), 1);
}

TEST(Patient, LeavesAloneWhoDoesNotComeBackAndBeginsNoOtherUntilItDoes) {
  const auto may_end = std::make_shared<std::atomic<bool>>(false);
  const auto hangs = [may_end](Steps&) {
    while (!*may_end) sleep_ms(1);
    return 1;
  };
  EXPECT_EQ(ask_patiently<int>("hangs", 20, hangs), std::nullopt);
  std::atomic<bool> begun = false;
  const auto begins = [&](Steps&) { return begun = true; };
  EXPECT_EQ(ask_patiently<bool>("hangs", 20, begins), std::nullopt);
  EXPECT_FALSE(begun);
  EXPECT_EQ(ask_patiently<bool>("another", 60'000, begins), true);
  *may_end = true;
  while (!ask_patiently<int>("hangs", 60'000, hangs)) sleep_ms(1);
}

}  // namespace
}  // namespace cairn::daemon
