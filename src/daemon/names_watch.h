// Wakes a thread when names come or go in any of some directories: inotify, and a bell that other threads ring.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "cairn/error.h"
#include "daemon/notifier.h"

namespace cairn::daemon {

class NamesWatch {
 public:
  // io: not even a bell could be made.
  static Result<std::unique_ptr<NamesWatch>> open(AddWatch add_watch = ::inotify_add_watch);

  // Watches these from now on, beside those before. False: not all of them can be watched now, so looking again and
  // again is all there is; trouble() says why when it is more than a directory that is not there. While another thread
  // waits.
  bool watch(const std::set<std::string>& directories);
  const std::string& trouble() const { return trouble_; }

  // True: a name came or went, which is no file beside a database. False: the bell, the timeout, or other names.
  bool wait(std::int64_t timeout_us);
  // Waits for the bell, whatever names do.
  void rest(std::int64_t timeout_us) { notifier_.wait(timeout_us, Notifier::WaitFor::bell); }
  // Any thread.
  void ring() const { notifier_.ring(); }

 private:
  explicit NamesWatch(Notifier notifier) : notifier_(std::move(notifier)) {}

  Notifier notifier_;
  std::string trouble_;
};

}  // namespace cairn::daemon
