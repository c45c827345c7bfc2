// Wakes a thread when a database or its WAL is written to, made, replaced or removed: inotify, and a bell that other
// threads ring.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "cairn/error.h"
#include "daemon/notifier.h"

namespace cairn::daemon {

class FileWatch {
 public:
  using Wake = Notifier::Wake;

  // Watching may not be to be had (limits of the system): then trouble() says so, and only bell and timeout wake.
  // io: not even a bell could be made.
  static Result<std::unique_ptr<FileWatch>> open(const std::string& database_path);

  // Waits for a change of the files, the bell, or the timeout (rounded up to the kernel's grain), whichever is first.
  Wake wait(std::int64_t timeout_us) { return notifier_.wait(timeout_us, Notifier::WaitFor::anything); }
  // The same without looking at the files: what happens to them meanwhile is kept for drain().
  Wake wait_for_bell(std::int64_t timeout_us) { return notifier_.wait(timeout_us, Notifier::WaitFor::bell); }
  // Reads what is queued. True: something happened to the files.
  bool drain();

  // Names that have appeared since, and directories that were replaced, are watched from now on. Cheap; called at
  // every slow look.
  void refresh();

  // Any thread. Rings that nobody waits for are kept, as one.
  void ring() const { notifier_.ring(); }

  bool is_watching() const { return notifier_.is_watching(); }
  // Why it is not watching, and what to do; "" when it is.
  const std::string& trouble() const { return trouble_; }

 private:
  explicit FileWatch(Notifier notifier) : notifier_(std::move(notifier)) {}
  bool add(const std::string& path, std::uint32_t mask);
  void stop_watching(int error_number);

  Notifier notifier_;
  std::string directory_, name_;
  std::string trouble_;
};

}  // namespace cairn::daemon
