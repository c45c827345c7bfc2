// The state of one parallel_for outlives the call: a helper that the executor begins late finds nothing left to claim
// and goes away without touching the caller's `work`, which is gone by then.

#include "base/parallel.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "base/mutex.h"

namespace cairn {
namespace {

class Work {
 public:
  Work(std::uint64_t count, const std::function<Result<void>(std::uint64_t)>& work, std::stop_token stop)
      : count_(count), work_(work), stop_(std::move(stop)) {}

  // Does what nobody else has begun.
  void work_off() {
    while (std::optional<std::uint64_t> index = claim()) finish(*index, work_(*index));
  }

  Result<void> wait() {
    MutexLock lock(mutex_);
    while (running_ > 0) idle_.wait(mutex_);
    if (error_) return *error_;
    if (next_ < count_) return Error(ErrorKind::cancelled, "stopped on request");
    return {};
  }

 private:
  std::optional<std::uint64_t> claim() {
    MutexLock lock(mutex_);
    if (error_ || next_ >= count_ || stop_.stop_requested()) return std::nullopt;
    ++running_;
    return next_++;
  }

  void finish(std::uint64_t index, Result<void> result) {
    MutexLock lock(mutex_);
    if (!result && (!error_ || index < error_index_)) {
      error_ = result.error();
      error_index_ = index;
    }
    if (--running_ == 0) idle_.notify_all();
  }

  const std::uint64_t count_;
  const std::function<Result<void>(std::uint64_t)>& work_;
  const std::stop_token stop_;
  Mutex mutex_;
  ConditionVariable idle_;
  std::uint64_t next_ GUARDED_BY(mutex_) = 0;
  int running_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> error_ GUARDED_BY(mutex_);
  std::uint64_t error_index_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

Result<void> parallel_for(Executor& executor, std::uint64_t count,
                          const std::function<Result<void>(std::uint64_t)>& work, std::stop_token stop) {
  if (count == 0) return {};
  auto shared = std::make_shared<Work>(count, work, std::move(stop));
  const std::uint64_t width = static_cast<std::uint64_t>(std::max(1, executor.width()));
  const std::uint64_t helpers = width == 1 ? 0 : std::min(width, count - 1);
  for (std::uint64_t i = 0; i < helpers; ++i) executor.run([shared] { shared->work_off(); });
  shared->work_off();
  return shared->wait();
}

}  // namespace cairn
