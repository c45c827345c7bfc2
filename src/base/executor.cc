#include "base/executor.h"

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace cairn {

namespace {

class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(int threads) {
    const unsigned count =
        threads > 0 ? static_cast<unsigned>(threads) : std::max(1u, std::thread::hardware_concurrency());
    threads_.reserve(count);
    for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { serve(); });
  }

  // Work that is under way may still hand in more: the thread that runs it looks again before it ends.
  ~ThreadPool() override {
    {
      MutexLock lock(mutex_);
      closing_ = true;
    }
    ready_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void run(std::function<void()> work) override {
    {
      MutexLock lock(mutex_);
      queue_.push_back(std::move(work));
    }
    ready_.notify_one();
  }

  int width() const override { return static_cast<int>(threads_.size()); }

 private:
  void serve() {
    for (;;) {
      std::function<void()> work = take();
      if (!work) return;
      work();
    }
  }

  // The next piece of work; empty: the pool is closing and nothing is left.
  std::function<void()> take() {
    MutexLock lock(mutex_);
    while (queue_.empty()) {
      if (closing_) return {};
      ready_.wait(mutex_);
    }
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    return work;
  }

  Mutex mutex_;
  ConditionVariable ready_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
  bool closing_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Executor> make_thread_pool(int threads) { return std::make_unique<ThreadPool>(threads); }

}  // namespace cairn
