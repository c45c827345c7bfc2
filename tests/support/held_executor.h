// An executor whose threads are busy elsewhere: what is handed in stays until the test runs it.
#pragma once

#include <deque>
#include <functional>

#include "base/executor.h"
#include "base/mutex.h"

namespace cairn::testing {

class HeldExecutor final : public Executor {
 public:
  void run(std::function<void()> work) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    held_.push_back(std::move(work));
  }
  int width() const override { return 1; }

  std::size_t count() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return held_.size();
  }
  void run_all() EXCLUDES(mutex_) {
    std::deque<std::function<void()>> all;
    {
      MutexLock lock(mutex_);
      all.swap(held_);
    }
    for (const auto& work : all) work();
  }

 private:
  mutable Mutex mutex_;
  std::deque<std::function<void()>> held_ GUARDED_BY(mutex_);
};

}  // namespace cairn::testing
