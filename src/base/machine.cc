#include "cairn/machine.h"

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"

namespace cairn {
namespace {

class RealMachine final : public Machine {
 public:
  explicit RealMachine(int threads) : files_(make_real_file_system()), executor_(make_thread_pool(threads)) {}
  Clock& clock() override { return clock_; }
  Random& random() override { return random_; }
  FileSystem& files() override { return *files_; }
  Executor& executor() override { return *executor_; }

 private:
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<FileSystem> files_;
  std::unique_ptr<Executor> executor_;
};

}  // namespace

std::unique_ptr<Machine> make_machine(int threads) { return std::make_unique<RealMachine>(threads); }

}  // namespace cairn
