#include "cli/auto_restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <utility>

#include "base/mutex.h"
#include "cairn/restore.h"
#include "cli/places.h"
#include "cli/progress.h"
#include "cli/reading.h"
#include "segment/keys.h"

namespace cairn::cli {

namespace {

constexpr std::int64_t kFirstTryWaitMs = 200, kLongestTryWaitMs = 5'000;
constexpr std::int64_t kSpoolPatienceMs = 2'000;

enum class There { nothing, empty, something };

Result<There> what_is_there(FileSystem& files, const std::string& database) {
  const Result<FileInfo> info = files.info(database);
  if (info) return !info->is_directory && info->size_bytes == 0 ? There::empty : There::something;
  if (info.error().kind() == ErrorKind::not_found) return There::nothing;
  return info.error();
}

// Commits that this machine has captured and the store does not have belong to the newest state as well.
std::optional<Failure> publish_left_over(const ReplicationOptions& options, System& system, const Replication::Say& say,
                                         std::stop_token stop) {
  ReplicationOptions publishing = options;
  publishing.publish_without_database = true;
  publishing.wait_for_database = WaitForDatabase::no;
  publishing.adopt = AdoptSide::none;
  std::unique_ptr<Replication> replication;
  if (auto failure = Replication::open(publishing, system, say, replication)) {
    // Nothing is left over, or there is no store to have it.
    return failure->error.kind() == ErrorKind::not_found ? std::nullopt : std::move(failure);
  }
  RunOptions run;
  run.final_limit_ms = kSpoolPatienceMs;
  auto failure = replication->run(run, std::move(stop));
  return replication->last_status().spool_segments == 0 ? std::nullopt : std::move(failure);
}

// not_found: nothing was ever published. corrupt: something was, and there is no snapshot to begin with.
Error why_nothing(Store& store, const Error& not_found) {
  for (const std::string& prefix : {segment::segment_prefix(""), segment::level_prefix("")}) {
    const Result<ListPage> page = store.list(prefix, "", 1);
    if (!page) return page.error();
    if (page->objects.empty()) continue;
    return Error(ErrorKind::corrupt,
                 fmt::format("{} has segments and no snapshot, so nothing can be restored: its snapshots were lost, "
                 "or the "
                             "first one was never finished", store.url()));
  }
  return not_found;
}

Error refusal(const ReplicationOptions& options, const Error& error) {
  const std::string url = shell_word(options.url), database = shell_word(options.database);
  std::string advice;
  if (error.kind() == ErrorKind::corrupt) {
    advice = fmt::format(": what is damaged says cairn verify {0}, and --repair may mend it; cairn history {0} lists "
    "the "
                         "states that there are, for cairn restore {0} -o {1} --sequence N. To begin with an empty "
                         "database instead, use another replica", url, database);
  }
  return Error(error.kind(), fmt::format("{} is missing and could not be restored: {}{}", options.database,
                                         error.message(), advice));
}

Error refused_empty(const ReplicationOptions& options) {
  return Error(ErrorKind::conflict,
               fmt::format("{0} is an empty file, and {1} holds its history: remove the file (rm {0}) to have it "
               "restored, "
                           "or restore over it (cairn restore {1} -o {0} --overwrite)",
                           shell_word(options.database), shell_word(options.url)));
}

std::optional<Failure> restore_missing(const ReplicationOptions& options, System& system, std::stop_token stop,
                                       There there, const Replication::Say& say, Missing& missing) {
  const std::string database = real_path(options.database);
  const Result<std::unique_ptr<RememberingStore>> store = open_remembering_store(options.url);
  if (!store) return Failure{store.error(), Origin::local};
  Executor& readers = system.readers(options.url);
  const auto outcome = [&]() -> Result<Missing> {
    if (there == There::empty) {
      CAIRN_TRY(plan_restore(**store, "", {}, &readers));
      return refused_empty(options);
    }
    RestoreOptions restoring;
    restoring.stop = stop;
    ProgressBar bar("restoring", ProgressBar::Unit::bytes);
    restoring.progress = [&](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
    CAIRN_ASSIGN(const RestoreResult restored, run_restore(**store, "", database, restoring, *system.files, readers));
    for (const DamagedObject& damaged : restored.plan.damaged) say(damage_warning(damaged));
    return Missing::restored;
  }();
  if (outcome) {
    missing = *outcome;
    return std::nullopt;
  }
  Error error = outcome.error();
  if (error.kind() == ErrorKind::not_found) error = why_nothing(**store, error);
  if (error.kind() == ErrorKind::not_found) {
    missing = Missing::nothing_yet;
    return std::nullopt;
  }
  const Origin origin = (*store)->origin_of(error);
  if (there == There::empty) return Failure{error, origin};
  const Result<There> now = what_is_there(*system.files, database);
  if (now && *now == There::something) {  // somebody was quicker
    missing = Missing::no;
    return std::nullopt;
  }
  return Failure{refusal(options, error), origin};
}

// Until the time is over or a stop was asked for.
void wait_between_tries(std::int64_t wait_ms, const std::stop_token& stop) {
  Mutex mutex;
  ConditionVariable stopped;
  const std::stop_callback wake(stop, [&] {
    MutexLock lock(mutex);
    stopped.notify_all();
  });
  MutexLock lock(mutex);
  if (!stop.stop_requested()) stopped.wait_for(mutex, std::chrono::milliseconds(wait_ms));
}

}  // namespace

std::optional<Failure> restore_if_missing(const ReplicationOptions& options, System& system,
                                          const Replication::Say& say, std::stop_token stop, Missing& missing) {
  missing = Missing::no;
  const Result<There> there = what_is_there(*system.files, real_path(options.database));
  if (!there) return Failure{there.error(), Origin::local};
  if (*there == There::something) return std::nullopt;
  if (*there == There::nothing) {
    say(fmt::format("{} does not exist: looking for it in {}", options.database, options.url));
    if (auto failure = publish_left_over(options, system, say, stop)) return failure;
  }
  return restore_missing(options, system, std::move(stop), *there, say, missing);
}

bool is_worth_another_try(const Failure& failure) {
  const ErrorKind kind = failure.error.kind();
  return kind == ErrorKind::retry_later || kind == ErrorKind::maybe_done ||
         (kind == ErrorKind::io && failure.origin == Origin::store);
}

std::optional<Failure> restore_with_patience(const ReplicationOptions& options, System& system,
                                             const Replication::Say& say, std::stop_token stop,
                                             std::optional<std::int64_t> limit_ms, Missing& missing) {
  const std::int64_t begun_us = system.clock.now().mono_us;
  for (std::int64_t wait_ms = kFirstTryWaitMs;; wait_ms = std::min(wait_ms * 2, kLongestTryWaitMs)) {
    std::optional<Failure> failure = restore_if_missing(options, system, say, stop, missing);
    if (!failure) return failure;
    const std::int64_t spent_ms = (system.clock.now().mono_us - begun_us) / 1000;
    const bool is_over = stop.stop_requested() || (limit_ms && spent_ms >= *limit_ms);
    if (!is_worth_another_try(*failure) || is_over) return failure;
    if (wait_ms == kFirstTryWaitMs) {
      say(fmt::format("{}; it is tried again until the store answers, and nothing starts before",
          failure->error.message()));
    }
    wait_between_tries(wait_ms, stop);
  }
}

}  // namespace cairn::cli
