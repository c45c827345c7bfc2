// What a running replication tells: one log line a fact, one JSON line a change, a bar for the first snapshot.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "cairn/replicator.h"
#include "cli/log.h"
#include "cli/output.h"
#include "cli/progress.h"

namespace cairn::cli {

// The documented shape: docs/operations.md. `store`: what store_json says.
Json status_json(const std::string& database, const std::string& url, const ReplicatorStatus& status, Json store);

// Up to which sequence the database is published, for the log; none: that is not known yet.
std::optional<std::uint64_t> known_sequence(const ReplicatorStatus& status);

enum class JsonLines { never, every_change };

class StatusReport {
 public:
  // `store` gives what store_json says at the moment.
  StatusReport(std::string database, std::string url, const Log& log, JsonLines json_lines,
               std::function<Json()> store);

  // Compares with the last one and tells what is new. Any thread.
  void update(const ReplicatorStatus& status) EXCLUDES(mutex_);
  // How the store is may change while nothing else does.
  void look_at_store() EXCLUDES(mutex_);

 private:
  void tell_phase(const ReplicatorStatus& now) REQUIRES(mutex_);
  void tell_snapshots(const ReplicatorStatus& now) REQUIRES(mutex_);
  void tell_pruning(const ReplicatorStatus& now) REQUIRES(mutex_);
  void tell_trouble(const ReplicatorStatus& now, const char* what, std::string ReplicatorStatus::* trouble)
      REQUIRES(mutex_);

  // Of every line: the database, and the sequence of `status` or else the last one that was known.
  Log log_of(const ReplicatorStatus& status) const REQUIRES(mutex_);
  void print_if_new(const ReplicatorStatus& now) REQUIRES(mutex_);

  const std::string database_, url_;
  const std::function<Json()> store_;
  const Log& log_;
  const JsonLines json_lines_;
  Mutex mutex_;
  ReplicatorStatus last_ GUARDED_BY(mutex_);
  bool first_ GUARDED_BY(mutex_) = true;
  std::string last_json_ GUARDED_BY(mutex_);
  ProgressBar bar_;
};

}  // namespace cairn::cli
