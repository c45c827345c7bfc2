#include "cairn/replicator.h"

#include <algorithm>

#include "base/units.h"
#include "fmt/format.h"
#include "replicate/capturer.h"
#include "replicate/levels.h"
#include "replicate/publisher.h"
#include "replicate/requests.h"
#include "replicate/rest.h"
#include "replicate/shared.h"
#include "replicate/snapshot_schedule.h"
#include "replicate/snapshot_upload.h"
#include "replicate/thinning.h"
#include "sqlite/lock_table.h"

namespace cairn {

namespace replicate {
namespace {

constexpr std::int64_t kLeastRest_us = 10'000'000;  // it is not worth while for less

class ReplicatorImpl final : public Replicator {
 public:
  ReplicatorImpl(Store& store, FileSystem& files, Executor& executor, Random& random, ReplicatorOptions options)
      : shared_(store, files, executor, random, std::move(options)),
        capturer_(shared_),
        publisher_(shared_),
        upload_(shared_),
        levels_(shared_),
        snapshots_(shared_),
        thinning_(shared_),
        requests_(shared_) {}

  Result<void> open() {
    CAIRN_TRY(sqlite::expect_locks_to_be_seen(shared_.options.database));  // before anything is claimed
    const std::string& directory = shared_.options.state_directory;
    CAIRN_TRY(shared_.files.make_directories(directory));
    auto lock = shared_.files.lock(join_path(directory, "lock"));
    if (!lock && lock.error().kind() == ErrorKind::busy) {
      return Error(ErrorKind::busy, fmt::format("another cairn replicates {} to this replica (its state directory {} "
                                                "is in use)",
                                                shared_.options.database, directory));
    }
    if (!lock) return lock.error();
    shared_.lock = std::move(*lock);
    CAIRN_ASSIGN(shared_.local, LocalState::open(shared_.files, directory));
    CAIRN_TRY(shared_.kept.open());
    requests_.open();
    CAIRN_ASSIGN(left_over_, Spool::left_over(shared_.files, spool_path(shared_.options),
                                              shared_.local->record().published));
    return {};
  }

  Result<Step> capture_step(const Time& now) override {
    requests_.look(now);
    return capturer_.step(now);
  }
  Result<Step> publish_step(const Time& now) override { return publisher_.step(now); }
  Result<Step> snapshot_step(const Time& now) override { return upload_.step(now); }
  Step upkeep_step(const Time& now) override {
    const std::int64_t next_us = std::min(snapshots_.look(now), levels_.step(now).next_us);
    const Step step{std::min(next_us, thinning_.look(now))};
    const UpkeepTrouble& trouble = levels_.trouble().words.empty() ? thinning_.trouble() : levels_.trouble();
    shared_.set_status([&](ReplicatorStatus& s) {
      s.upkeep_trouble = trouble.words;
      s.upkeep_trouble_kind = trouble.kind;
    });
    return step;
  }
  void end_upkeep() override { shared_.upkeep_ends = true; }
  void end_capture() override { capturer_.end(); }
  void request_snapshot() override { shared_.snapshot_requested = true; }
  std::uint64_t request_capture() override { return ++shared_.capture_requests; }
  std::string database_path() const override { return shared_.options.database; }

  ReplicatorStatus status() const override {
    const auto spool = shared_.current_spool();
    const std::uint64_t spooled = spool ? spool->count() : left_over_.segments;
    const std::uint64_t spooled_bytes = spool ? spool->size_bytes() : left_over_.size_bytes;
    ReplicatorStatus status = what_is_shared(spooled);
    status.spool_segments = spooled;
    status.spool_bytes = spooled_bytes;
    if (!spool) return status;
    // Asked for last: what capture has handed over by then it has not noted as done before.
    const Spool::Unpublished unpublished = spool->unpublished();
    status.unpublished_commits = unpublished.commits;
    const bool is_older = status.unpublished_since_ms == 0 || unpublished.since_ms < status.unpublished_since_ms;
    if (unpublished.since_ms > 0 && is_older) status.unpublished_since_ms = unpublished.since_ms;
    return status;
  }

  bool may_rest(const Time& now) override {
    const bool is_possible = shared_.options.may_rest && !shared_.options.boot.empty();
    return is_possible && is_well_and_settled() && capturer_.may_rest(now);
  }
  std::optional<Rest> rest(const Time& now) override {
    const std::int64_t due_us = std::min({levels_.due_us(now), snapshots_.due_us(now), thinning_.due_us()});
    if (due_us - now.mono_us < kLeastRest_us || !is_well_and_settled() || !requests_.is_empty()) return std::nullopt;
    std::optional<RestMark> mark = capturer_.rest_mark(now);
    if (!mark) return std::nullopt;
    Rest rest;
    rest.due_us = mark->due_us = due_us;
    rest.status = status();
    mark->published_time_ms = rest.status.published_time_ms;
    // Known from now on, if it is written at all; until the hold is gone nobody can change what it says.
    const auto written = shared_.local->update(Sync::no, [&](LocalRecord& r) {
      r.rests = true;
      r.rest = *mark;
    });
    if (!written) return std::nullopt;
    rest.known = remember(*mark);
    capturer_.close(StopMode::tidy);
    levels_.close();
    rest.status.hold = "none";
    leave();
    return rest;
  }

  void close(StopMode mode) override {
    capturer_.close(mode);
    if (mode == StopMode::tidy) {
      levels_.close();
      publisher_.finish();
      (void)shared_.local->write_down();
      return leave();
    }
    shared_.local.reset();
    shared_.lock.reset();
  }

 private:
  void leave() {
    if (const auto spool = shared_.current_spool()) spool->leave();
    shared_.kept.leave();
    shared_.local.reset();
    shared_.lock.reset();
  }
  bool is_well_and_settled() const {
    const ReplicatorStatus now = status();
    return now.settled && now.phase == Phase::following && now.database_trouble.empty() && now.store_trouble.empty();
  }
  std::shared_ptr<const Remembered> remember(const RestMark& mark) const {
    auto known = std::make_shared<Remembered>();
    known->database = shared_.options.database;
    known->mark = mark;
    publisher_.remember(*known);
    known->snapshot_us = snapshots_.last_us();
    levels_.remember(*known);
    thinning_.remember(*known);
    return known;
  }
  ReplicatorStatus what_is_shared(std::uint64_t spooled) const EXCLUDES(shared_.mutex) {
    MutexLock hold(shared_.mutex);
    ReplicatorStatus status = shared_.status;
    status.looks = shared_.capture_looks;
    status.captured_all = shared_.capture_settled;
    const bool is_firm = shared_.footing == Footing::firm;
    const bool snapshot_due = shared_.job || shared_.snapshot_requested;
    status.settled = is_firm && shared_.capture_settled && spooled == 0 && !snapshot_due && status.has_snapshot &&
                     status.captured_sequence == status.published_sequence;
    status.newest_snapshot_time_ms = status.has_snapshot ? shared_.newest_snapshot_ms : 0;
    if (!is_firm || !status.has_snapshot) status.unpublished_since_ms = shared_.begun_ms;
    return status;
  }

  Shared shared_;
  Spool::LeftOver left_over_;  // by an earlier process
  Capturer capturer_;
  Publisher publisher_;
  SnapshotUpload upload_;
  Levels levels_;
  SnapshotSchedule snapshots_;
  Thinning thinning_;
  Requests requests_;
};

Result<void> check_options(const ReplicatorOptions& options) {
  if (options.database.empty()) return Error(ErrorKind::invalid, "no database is named");
  if (options.state_directory.empty()) return Error(ErrorKind::invalid, "no state directory is named");
  if (options.interval_ms < 0) return Error(ErrorKind::invalid, "the interval is negative");
  if (options.snapshot_interval_ms < 0) return Error(ErrorKind::invalid, "the interval of snapshots is negative");
  if (options.prune_interval_ms <= 0) return Error(ErrorKind::invalid, "the interval of prunes is no length of time");
  return check_windows(options.level_windows_ms);
}

}  // namespace
}  // namespace replicate

std::vector<std::int64_t> default_level_windows_ms(const StoreCapabilities& store) {
  std::vector<std::int64_t> windows_ms{15'000, 60'000, 300'000, 1'200'000, 3'600'000, 21'600'000};
  if (store.looking_is_free) windows_ms.erase(windows_ms.begin(), windows_ms.begin() + 2);
  return windows_ms;
}

Result<std::unique_ptr<Replicator>> Replicator::open(Store& store, FileSystem& files, Executor& executor,
                                                     Random& random, ReplicatorOptions options) {
  CAIRN_TRY(replicate::check_options(options));
  auto replicator =
      std::make_unique<replicate::ReplicatorImpl>(store, files, executor, random, std::move(options));
  CAIRN_TRY(replicator->open());
  return replicator;
}

}  // namespace cairn
