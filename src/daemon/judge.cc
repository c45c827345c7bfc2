#include "daemon/judge.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

namespace cairn::daemon {

namespace {

// What never comes again: a comparison that fails and begins anew, again and again, gets nowhere.
std::string mark_of_work(const ReplicatorStatus& s) {
  return fmt::format("{}/{}/{}/{}/{}/{}/{}", s.phase == Phase::attaching, s.captured_sequence, s.published_sequence,
                     s.has_snapshot, s.snapshots_published, s.published_bytes, s.captured_commits);
}

std::string mark_of_store(const ReplicatorStatus& s) {
  return fmt::format("{}/{}/{}/{}", s.published_sequence, s.has_snapshot, s.snapshots_published, s.published_bytes);
}

std::string trouble_of(const ReplicatorStatus& s) {
  return s.store_trouble.empty() ? s.database_trouble : s.store_trouble;
}

Error lasting_trouble(const ReplicatorStatus& s) {
  if (!s.store_trouble.empty()) return Error(s.store_trouble_kind, s.store_trouble);
  return Error(s.database_trouble_kind, s.database_trouble);
}

Error not_published(const ReplicatorStatus& s) {
  std::string what;
  if (s.spool_segments > 0) {
    what = fmt::format(
        "{} captured segments ({} bytes) are not published yet; they are kept in the state directory and "
        "published at the next start",
        s.spool_segments, s.spool_bytes);
  } else if (!s.has_snapshot) {
    what = "the first snapshot is not published yet, so nothing can be restored; it begins anew at the next start";
  } else {
    what = "the last commits are not published yet; they are in the database and published at the next start";
  }
  const std::string why = trouble_of(s);
  const ErrorKind kind = !s.store_trouble.empty()      ? s.store_trouble_kind
                         : !s.database_trouble.empty() ? s.database_trouble_kind
                                                       : ErrorKind::retry_later;
  return Error(kind, why.empty() ? what : what + ": " + why);
}

}  // namespace

bool has_content(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && status.st_size > 0;
}

StatusMark::StatusMark(const ReplicatorStatus& s)
    : phase(s.phase),
      captured_sequence(s.captured_sequence),
      published_sequence(s.published_sequence),
      snapshot_pages_done(s.snapshot_pages_done),
      snapshot_pages_total(s.snapshot_pages_total),
      snapshots_published(s.snapshots_published),
      published_bytes(s.published_bytes),
      captured_commits(s.captured_commits),
      reconciles(s.reconciles),
      has_snapshot(s.has_snapshot) {}

bool StatusMark::is_same_but_for_commits(const StatusMark& other) const {
  StatusMark same = other;
  same.captured_sequence = captured_sequence;
  same.captured_commits = captured_commits;
  same.published_sequence = published_sequence;
  same.published_bytes = published_bytes;
  return same == *this;
}

StatusWords::StatusWords(const ReplicatorStatus& s)
    : settled(s.settled),
      is_held(s.hold == "pin" || s.hold == "floor"),
      database_trouble(s.database_trouble),
      store_trouble(s.store_trouble),
      upkeep_trouble(s.upkeep_trouble) {}

bool StatusWords::is_same_but_for_commits(const StatusWords& other) const {
  StatusWords same = other;
  same.settled = settled;
  return same == *this;
}

// What is asked for is done once a step that began after the question has looked, and captured all that it saw.
bool Judge::note_capture(const Question& question) {
  if (question.asked == answered_) return false;
  const ReplicatorStatus status = replicator_.status();
  if (status.looks == question.looks || status.phase != Phase::following || !status.captured_all) return false;
  last_captured_ = status.captured_sequence;
  answered_ = question.asked;
  return true;
}

void Judge::begin(std::int64_t now_us) {
  progress_us_ = now_us;
  if (options_.until != RunUntil::stopped) ask_for_everything();
}

void Judge::end(std::int64_t now_us) {
  ending_ = true;
  progress_us_ = now_us;
  ask_for_everything();
}

void Judge::ask_for_everything() {
  replicator_.request_capture();  // first: a step that knows of the question looks for all of it
  ++asked_;
}

bool Judge::has_everything(const ReplicatorStatus& status) const {
  const bool gone = never_appeared_ || (!status.database_trouble.empty() && !has_content(replicator_.database_path()));
  if (gone && ending_) return status.spool_segments == 0;
  return answered_ == asked_ && status.has_snapshot && status.published_sequence >= last_captured_;
}

std::optional<Result<void>> Judge::verdict(std::int64_t now_us, const std::function<void()>& ring) {
  const ReplicatorStatus status = replicator_.status();
  if (has_everything(status)) {
    if (ending_ || options_.until != RunUntil::snapshot || status.snapshots_published > 0) return Result<void>();
    if (!std::exchange(snapshot_requested_, true)) {
      replicator_.request_snapshot();
      ring();
    }
  }
  const std::int64_t still_ms = still_us(status, now_us) / 1000;
  if (ending_) {
    if (still_ms > options_.final_limit_ms) return not_published(status);
  } else if (!trouble_of(status).empty() && still_ms > options_.trouble_limit_ms) {
    return lasting_trouble(status);
  }
  return std::nullopt;
}

// How long nothing has got on. While a store is in trouble that is what gets into it, however much is captured.
std::int64_t Judge::still_us(const ReplicatorStatus& status, std::int64_t now_us) {
  const bool is_store_well = status.store_trouble.empty();
  const std::string mark = is_store_well ? mark_of_work(status) : mark_of_store(status);
  if (mark != judged_mark_) {
    judged_mark_ = mark;
    judged_pages_ = 0;
    progress_us_ = now_us;
  }
  // A pass over a large database takes long, and counts as far as it has never come before.
  if (is_store_well && status.snapshot_pages_done > judged_pages_) {
    judged_pages_ = status.snapshot_pages_done;
    progress_us_ = now_us;
  }
  return now_us - progress_us_;
}

}  // namespace cairn::daemon
