// Wakes a thread when names come or go in any of some directories: inotify, and a bell that other threads ring.
//
// The kernel looks a directory up to watch it, which a mount that has died does not answer: that is asked of it by
// threads that may hang, as finding asks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "cairn/error.h"
#include "daemon/notifier.h"
#include "daemon/patient.h"

namespace cairn::daemon {

class NamesWatch {
 public:
  // io: not even a bell could be made.
  static Result<std::unique_ptr<NamesWatch>> open(AddWatch add_watch = ::inotify_add_watch,
                                                  const Patience& patience = {5'000, 10'000});

  // Watches these from now on, beside those before. False: not all of them can be watched now, so looking again and
  // again is all there is; trouble() says why when it is more than a directory that is not there, or does not answer.
  // While another thread waits.
  bool watch(const std::set<std::string>& directories);
  const std::string& trouble() const { return trouble_; }

  // True: a name came or went, which is no file beside a database. False: the bell, the timeout, or other names.
  bool wait(std::int64_t timeout_us);
  // Waits for the bell, whatever names do.
  void rest(std::int64_t timeout_us) { notifier_->wait(timeout_us, Notifier::WaitFor::bell); }
  // Any thread.
  void ring() const { notifier_->ring(); }

 private:
  NamesWatch(Notifier notifier, const Patience& patience)
      : notifier_(std::make_shared<Notifier>(std::move(notifier))), patience_(patience) {}

  std::map<std::string, int> add(const std::set<std::string>& directories) const;

  const std::shared_ptr<Notifier> notifier_;  // who hangs holds it, too
  const Patience patience_;
  std::string trouble_;
};

}  // namespace cairn::daemon
