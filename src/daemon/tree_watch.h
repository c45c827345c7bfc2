// Wakes a thread when anything below a directory changes: inotify on every directory of the tree.
//
// It only says that a look is worth while. What it does not see (writes through a mapping, and with some kernels
// through an overlay mount to a file that is there already) is found by looking now and then.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "cairn/error.h"
#include "daemon/notifier.h"

namespace cairn::daemon {

class TreeWatch {
 public:
  using Wake = Notifier::Wake;

  // Where watching is not to be had, trouble() says so, and only bell and timeout wake. io: not even a bell.
  static Result<std::unique_ptr<TreeWatch>> open(std::string root, std::size_t most_directories = kMostDirectories);

  Wake wait(std::int64_t timeout_us) { return notifier_.wait(timeout_us, Notifier::WaitFor::anything); }
  Wake wait_for_bell(std::int64_t timeout_us) { return notifier_.wait(timeout_us, Notifier::WaitFor::bell); }
  // Reads what is queued. True: something has changed.
  bool drain();
  // Directories that are new since are watched from now on. Walks the tree when there may be any, and only then.
  void refresh();
  // Any thread.
  void ring() const { notifier_.ring(); }

  bool is_watching() const { return notifier_.is_watching(); }
  // Why it is not watching, and what to do; "" when it is.
  const std::string& trouble() const { return trouble_; }

  // A watch takes some kernel memory, of a budget that all programs of a user share.
  static constexpr std::size_t kMostDirectories = 50'000;

 private:
  TreeWatch(Notifier notifier, std::string root, std::size_t most_directories)
      : notifier_(std::move(notifier)), root_(std::move(root)), most_directories_(most_directories) {}
  void add_all();
  bool add(const std::string& path);
  void stop_watching(const std::string& why, const char* remedy);

  Notifier notifier_;
  const std::string root_;
  const std::size_t most_directories_;
  bool stale_ = false;
  std::string trouble_;
};

}  // namespace cairn::daemon
