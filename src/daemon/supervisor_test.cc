#include "daemon/supervisor.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <set>

namespace cairn::daemon {
namespace {

// Jobs that note what happens to them, and end when they are asked to (or when the test lets them).
class SupervisorTest : public ::testing::Test {
 protected:
  Job job(const std::string& name, const std::string& settings = "", const std::string& resource = "") {
    return {name, settings, resource, [this, label = name + settings](std::stop_token stop) -> Result<void> {
              note("begin " + label);
              const std::stop_callback wake(stop, [this] { changed_.notify_all(); });
              std::unique_lock lock(mutex_);
              changed_.wait(lock, [&] { return stop.stop_requested() && !held_.contains(label); });
              lock.unlock();
              note("end " + label);
              return {};
            }};
  }
  Job failing(const std::string& name, std::string message) {
    return {name, "", "", [this, name, message](std::stop_token) -> Result<void> {
              note("try " + name);
              return Error(ErrorKind::io, message);
            }};
  }
  void note(const std::string& what) {
    const std::lock_guard lock(mutex_);
    ++notes_[what];
    changed_.notify_all();
  }
  // Waits for it; a test that waits in vain is ended by its time limit.
  void comes(const std::string& what, int times = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return notes_[what] >= times; });
  }
  int times(const std::string& what) {
    const std::lock_guard lock(mutex_);
    return notes_[what];
  }
  void hold(const std::string& label) {
    const std::lock_guard lock(mutex_);
    held_.insert(label);
  }
  void let_go(const std::string& label) {
    const std::lock_guard lock(mutex_);
    held_.erase(label);
    changed_.notify_all();
  }
  Supervisor::Listener listener() {
    return {[this](const JobFailure& failure) {
              note((failure.is_news ? "news " : "again ") + failure.name + ": " + failure.error.message() +
                   (failure.again_ms ? "" : " (last)"));
            },
            [this](const std::string& name) { note("ended " + name); }, [this] { note("idle"); }};
  }

  SystemClock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> notes_;
  std::set<std::string> held_;
};

TEST_F(SupervisorTest, BeginsWhatIsNewEndsWhatHasGoneAndTouchesNothingElse) {
  Supervisor supervisor(clock_, listener(), {});
  supervisor.want({job("a"), job("b")});
  comes("begin a");
  comes("begin b");
  supervisor.want({job("b"), job("c")});
  comes("ended a");
  comes("begin c");
  EXPECT_EQ(times("begin b"), 1);
  EXPECT_EQ(times("end b"), 0);
  supervisor.stop();
  comes("idle");
  EXPECT_EQ(times("end b"), 1);
  EXPECT_EQ(times("end c"), 1);
  EXPECT_TRUE(supervisor.is_idle());
}

TEST_F(SupervisorTest, WhatHasChangedIsEndedBeforeItBeginsAnew) {
  Supervisor supervisor(clock_, listener(), {});
  supervisor.want({job("a", "1"), job("b")});
  comes("begin a1");
  hold("a1");
  supervisor.want({job("a", "2"), job("b"), job("c")});
  comes("begin c");  // want() has done all that it can do
  EXPECT_EQ(times("begin a2"), 0);
  let_go("a1");
  comes("begin a2");
  EXPECT_EQ(times("end a1"), 1);
  EXPECT_EQ(times("end b"), 0);
}

TEST_F(SupervisorTest, TwoOfOneResourceNeverRunTogether) {
  Supervisor supervisor(clock_, listener(), {});
  supervisor.want({job("old", "", "inode 7")});
  comes("begin old");
  hold("old");
  supervisor.want({job("new", "", "inode 7"), job("other", "", "inode 8")});
  comes("begin other");
  EXPECT_EQ(times("begin new"), 0);
  EXPECT_FALSE(supervisor.is_idle());
  let_go("old");
  comes("begin new");
  EXPECT_EQ(times("end old"), 1);
}

TEST_F(SupervisorTest, AFailureIsTriedAgainAndToldOnceWhileItsWordsAreTheSame) {
  Supervisor supervisor(clock_, listener(), {.first_retry_ms = 1, .longest_retry_ms = 2});
  supervisor.want({failing("bad", "broken"), job("good")});
  comes("again bad: broken", 3);
  comes("begin good");
  EXPECT_EQ(times("news bad: broken"), 1);
  EXPECT_EQ(times("end good"), 0);
}

TEST_F(SupervisorTest, AWaitForTheNextTryIsCutShort) {
  Supervisor supervisor(clock_, listener(), {.first_retry_ms = 3'600'000, .longest_retry_ms = 3'600'000});
  supervisor.want({failing("bad", "broken")});
  comes("news bad: broken");
  while (times("try bad") < 2) supervisor.retry_now();
  supervisor.want({});
  while (!supervisor.is_idle()) std::this_thread::yield();
  EXPECT_EQ(times("ended bad"), 0);  // it did not end well
}

TEST_F(SupervisorTest, AFailureAfterAStopIsTheLast) {
  Supervisor supervisor(clock_, listener(), {});
  supervisor.want({{"a", "", "", [this](std::stop_token stop) -> Result<void> {
                      note("begin a");
                      while (!stop.stop_requested()) std::this_thread::yield();
                      return Error(ErrorKind::retry_later, "not published");
                    }}});
  comes("begin a");
  supervisor.stop();
  comes("idle");
  EXPECT_EQ(times("news a: not published (last)"), 1);
  EXPECT_EQ(times("ended a"), 0);
}

TEST_F(SupervisorTest, NothingIsBegunAfterAStop) {
  Supervisor supervisor(clock_, listener(), {});
  supervisor.stop();
  supervisor.want({job("a")});
  EXPECT_TRUE(supervisor.is_idle());
  EXPECT_EQ(times("begin a"), 0);
}

}  // namespace
}  // namespace cairn::daemon
