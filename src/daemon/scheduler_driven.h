// What the Scheduler keeps of a database: for its own files.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "daemon/scheduler.h"

namespace cairn::daemon {

inline std::int64_t rounded_up(std::int64_t due_us, std::int64_t grain_us) {
  grain_us = std::max<std::int64_t>(grain_us, 1);
  return (due_us + grain_us - 1) / grain_us * grain_us;
}

// What there is of it only while it is open.
struct Scheduler::Awake {
  Awake(Replicator& one, const RunOptions& options) : replicator(one), judge(one, options) {}

  Replicator& replicator;
  Judge judge;
  FilesWatch::AtOnce told_at_once = FilesWatch::AtOnce::nothing;  // the part that captures

  // Guarded by the scheduler's mutex.
  std::uint64_t changes = 0, told = 0;  // reasons to tell
  std::optional<StatusMark> mark;
  std::optional<StatusWords> words;
  std::int64_t last_capture_us = 0, last_life_us = 0;
  std::int64_t last_heard_us = 0;         // of its files
  std::int64_t database_written_us = std::numeric_limits<std::int64_t>::min() / 2;  // the file: not only the WAL
  std::int64_t last_seen_us = 0;          // when a look showed commits that the one before had not
  std::pair<std::uint32_t, std::uint64_t> seen;  // what it showed
  std::int64_t last_got_on_us = 0;        // when its status changed last
  std::int64_t no_sleep_before_us = 0;
  bool busy = false, capture_ended = false;
};

struct Scheduler::Driven {
  Driven(std::shared_ptr<Tended> one, const std::string& store, std::stop_token token, RunOptions run,
         std::int64_t sleep_us)
      : tended(std::move(one)), lane(std::make_shared<const std::string>(store)), stop(std::move(token)),
        options(std::move(run)), sleep_after_us(sleep_us),
        awaits_database(options.wait_for_database == WaitForDatabase::yes) {}

  const std::shared_ptr<Tended> tended;
  const Lane lane;
  const std::stop_token stop;
  const RunOptions options;
  const std::int64_t sleep_after_us;  // 0: never
  Id id = 0;
  bool is_watched_for = false;  // the part that opens and closes
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
  std::atomic<bool> awaits_database;

  // Guarded by the scheduler's mutex.
  std::array<PartState, kPartCount> parts;
  std::string device;                 // that its files lie on; "": not known
  std::unique_ptr<Awake> awake;
  bool quitting = false;              // no part is to begin any more: it is put away when all are at rest
  std::optional<Result<void>> outcome;  // with quitting: how it ends; none: it goes to sleep
  bool was_opened = false, has_start = false, waits_to_start = false;
  std::int64_t new_until_us = 0;      // it counts as one that was just opened for the first time; 0: it does not
};

}  // namespace cairn::daemon
