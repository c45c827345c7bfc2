#include "daemon/patient.h"

#include <chrono>
#include <condition_variable>
#include <set>
#include <system_error>
#include <thread>

#include "base/mutex.h"

namespace cairn::daemon {
namespace {

// By name, what was left alone and has not come back. Never destroyed: a thread may come back when the process ends.
class Left {
 public:
  static Left& all() {
    static auto& left = *new Left;
    return left;
  }
  bool has(const std::string& name) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return names_.contains(name);
  }
  void add(const std::string& name) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    names_.insert(name);
  }
  void remove(const std::string& name) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    names_.erase(names_.find(name));
  }

 private:
  Mutex mutex_;
  std::multiset<std::string> names_ GUARDED_BY(mutex_);  // two may be asked at the same moment
};

struct Question {
  Steps steps = 0;
  Mutex mutex;
  ConditionVariable changed;
  bool is_back GUARDED_BY(mutex) = false, is_left GUARDED_BY(mutex) = false;
};

}  // namespace

bool run_patiently(const std::string& name, std::int64_t patience_ms, std::function<void(Steps&)> work) {
  if (Left::all().has(name)) return false;
  const auto question = std::make_shared<Question>();
  const auto run = [question, name, work = std::move(work)] {
    work(question->steps);
    MutexLock lock(question->mutex);
    question->is_back = true;
    if (question->is_left) Left::all().remove(name);
    question->changed.notify_all();
  };
  try {
    std::thread(run).detach();
  } catch (const std::system_error&) {
    run();  // the system gives no thread
    return true;
  }
  const auto patience = std::chrono::milliseconds(patience_ms);
  std::uint64_t before = 0;
  MutexLock lock(question->mutex);
  while (!question->is_back) {
    const auto until = std::chrono::steady_clock::now() + patience;
    if (question->changed.wait_until(question->mutex, until) != std::cv_status::timeout || question->is_back) continue;
    const std::uint64_t steps = question->steps;
    if (steps == before) {
      question->is_left = true;
      Left::all().add(name);
      return false;
    }
    before = steps;
  }
  return true;
}

}  // namespace cairn::daemon
