#include "daemon/patient.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"

namespace cairn::daemon {
namespace {

// A question that was begun. Its thread and who waits for it both hold it.
struct Asked {
  Asked(std::string of_name, std::string of_device) : name(std::move(of_name)), device(std::move(of_device)) {}
  const std::string name, device;
  Steps steps = 0;
  std::atomic<bool> is_back = false;
  bool is_left = false;  // under the lock of all
};

// All that were begun and have not come back. Never destroyed: a thread may come back when the process ends.
class AllAsked {
 public:
  enum class Begun { yes, not_yet, never };

  static AllAsked& instance() {
    static auto& all = *new AllAsked;
    return all;
  }

  // One of its name that nobody has left does not keep it from being begun: two may ask at the same moment.
  Begun begin(const std::shared_ptr<Asked>& one, const std::function<void(Steps&)>& work) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (left_.contains(one->name)) return Begun::never;
      std::size_t& of_device = of_device_[one->device];
      if (of_device >= kMostOfADevice || asked_ >= kMostAsked) return Begun::not_yet;
      ++of_device;
      ++asked_;
    }
    try {
      std::thread([this, one, work] {
        work(one->steps);
        end(*one);
      }).detach();
    } catch (const std::system_error&) {  // the system gives no thread, and this one must not hang
      end(*one);
      return Begun::never;
    }
    return Begun::yes;
  }

  // Until some question comes back after those that `seen` counts.
  void wait(std::uint64_t& seen, std::int64_t longest_ms) EXCLUDES(mutex_) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(longest_ms);
    MutexLock lock(mutex_);
    while (ended_ == seen && changed_.wait_until(mutex_, until) != std::cv_status::timeout) {}
    seen = ended_;
  }

  // False: it is back.
  bool leave(Asked& one) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (one.is_back) return false;
    one.is_left = true;
    left_.insert(one.name);
    return true;
  }

 private:
  void end(Asked& one) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (one.is_left) left_.erase(left_.find(one.name));
    if (const auto at = of_device_.find(one.device); --at->second == 0) of_device_.erase(at);
    --asked_;
    ++ended_;
    one.is_back = true;
    changed_.notify_all();
  }

  Mutex mutex_;
  ConditionVariable changed_;
  std::multiset<std::string> left_ GUARDED_BY(mutex_);  // by name
  std::map<std::string, std::size_t> of_device_ GUARDED_BY(mutex_);
  std::size_t asked_ GUARDED_BY(mutex_) = 0;
  std::uint64_t ended_ GUARDED_BY(mutex_) = 0;
};

struct WaitedFor {
  Question* question = nullptr;
  std::shared_ptr<Asked> asked;
  std::uint64_t steps = 0;     // when it was last seen to get on,
  std::int64_t moved_ms = 0;   // which was then
};

using Pending = std::map<std::string, std::deque<Question*>>;  // by device

void begin_more(Pending& pending, std::vector<WaitedFor>& waited_for) {
  for (auto device = pending.begin(); device != pending.end();) {
    auto& [name, questions] = *device;
    while (!questions.empty()) {
      Question& question = *questions.front();
      const auto asked = std::make_shared<Asked>(question.name, question.device);
      const AllAsked::Begun begun = AllAsked::instance().begin(asked, question.work);
      if (begun == AllAsked::Begun::not_yet) break;
      if (begun == AllAsked::Begun::yes) waited_for.push_back({&question, asked, 0, monotonic_ms()});
      questions.pop_front();
    }
    device = questions.empty() ? pending.erase(device) : std::next(device);
  }
}

// Whether it is to be waited for no longer.
bool is_over(WaitedFor& one, std::int64_t patience_ms, bool is_late) {
  one.question->is_answered = one.asked->is_back;
  if (one.question->is_answered) return true;
  const std::int64_t now_ms = monotonic_ms();
  if (const std::uint64_t steps = one.asked->steps; std::exchange(one.steps, steps) != steps) one.moved_ms = now_ms;
  const bool gets_on = now_ms - one.moved_ms < patience_ms;
  if (!is_late && gets_on) return false;
  one.question->is_answered = !AllAsked::instance().leave(*one.asked);
  one.question->is_late = !one.question->is_answered && gets_on;
  return true;
}

}  // namespace

void ask_all(std::vector<Question>& questions, const Patience& patience) {
  const std::int64_t end_ms = monotonic_ms() + patience.all_ms;
  const std::int64_t look_ms = std::max<std::int64_t>(patience.step_ms / 8, 1);
  Pending pending;
  for (Question& question : questions) pending[question.device].push_back(&question);
  std::vector<WaitedFor> waited_for;
  for (std::uint64_t seen = 0;;) {
    const std::int64_t rest_ms = end_ms - monotonic_ms();
    const bool is_late = rest_ms <= 0;
    if (!is_late) begin_more(pending, waited_for);
    if (waited_for.empty()) return;
    AllAsked::instance().wait(seen, std::clamp<std::int64_t>(rest_ms, 0, look_ms));
    std::erase_if(waited_for, [&](WaitedFor& one) { return is_over(one, patience.step_ms, is_late); });
  }
}

}  // namespace cairn::daemon
