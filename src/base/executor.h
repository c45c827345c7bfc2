// Where work that needs no order runs: a pool of threads in the command, the caller itself in a simulation.
#pragma once

#include <functional>
#include <memory>

namespace cairn {

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `work` some time, on any thread, possibly before returning. `work` must not throw. Safe from many threads.
  // Callers bound how much they hand in; the queue itself is unbounded.
  virtual void run(std::function<void()> work) = 0;
  // How many pieces of work can run at once (at least 1): how much a caller keeps under way.
  virtual int width() const = 0;
};

// Runs everything at once, on the caller's thread.
class InlineExecutor final : public Executor {
 public:
  void run(std::function<void()> work) override { work(); }
  int width() const override { return 1; }
};

// `threads` threads (0: as many as the machine has cores). The destructor finishes what was handed in.
std::unique_ptr<Executor> make_thread_pool(int threads = 0);

}  // namespace cairn
