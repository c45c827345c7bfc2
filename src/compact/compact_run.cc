// The order in which it happens, and why a crash anywhere hurts nothing:
//
//   1. load     the catalogue's objects, which a full sync has just compared with the store.
//   2. plan     lines of neighbours (lines.cc), groups of them (strategies.cc). Pure.
//   3. merge    each group into a file, and from there into the store, create-only (merge_group.cc). Nothing is relied
//               on but what the merge itself has read: the catalogue only said where to look.
//   4. again    from 1, with what was merged among the objects, until there is nothing to merge. What was found damaged
//               is left out, and what has vanished is no longer known, so each round has less to do.
//   5. remove   by prune's walk, from a fresh listing: what was merged goes if the merged object has been there for the
//               grace period. So a run removes what an earlier one has merged.

#include "compact/compact_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "compact/lines.h"
#include "compact/paths.h"
#include "compact/prune.h"
#include "compact/sync.h"

namespace cairn::compact {
namespace {

constexpr int kMostRounds = 100;  // each has at least half of the objects that the one before it merged

std::optional<RestorePath> path_to_newest(const std::vector<restore::ReadObject>& objects) {
  auto path = path_to(objects, {});
  if (!path) return std::nullopt;
  return std::move(*path);
}

std::uint64_t bytes_of(const std::vector<KnownObject>& objects) {
  std::uint64_t size_bytes = 0;
  for (const KnownObject& object : objects) size_bytes += object.read.object.size_bytes;
  return size_bytes;
}

std::string name_of_job(const MergeJob& job) {
  std::string name = job.kind == segment::ObjectKind::squashed ? "squashed" : "bundle";
  for (const restore::StoredObject& input : job.inputs) name += " " + input.name.key;
  return name;
}

CompactedObject described(const MergeJob& job, const std::string& key) {
  CompactedObject object;
  object.key = key;
  object.is_squashed = job.kind == segment::ObjectKind::squashed;
  object.first_sequence = job.inputs.front().name.first.value;
  object.last_sequence = job.inputs.back().name.last.value;
  object.source_objects = job.inputs.size();
  for (const restore::StoredObject& input : job.inputs) object.source_bytes += input.size_bytes;
  return object;
}

}  // namespace

Result<CompactReport> CompactRun::run() {
  CAIRN_TRY(load());
  const bool has_snapshot = std::any_of(usable_.begin(), usable_.end(), [](const restore::ReadObject& object) {
    return object.footer.kind == segment::ObjectKind::snapshot;
  });
  if (!has_snapshot) return Error(ErrorKind::not_found, "there is no snapshot that can be read: nothing was compacted");
  report_.objects_before = known_.size();
  report_.bytes_before = bytes_of(known_);
  report_.points_before = restore::reachable_points(usable_).size();
  report_.restore_before = path_to_newest(usable_);
  for (int round = 0; round < kMostRounds; ++round) {
    const std::vector<Due> due = plan();
    if (n_.options.dry_run) {
      promise(due);
      return std::move(report_);
    }
    if (due.empty()) break;
    CAIRN_TRY(merge_all(due));
    CAIRN_TRY(load());
  }
  if (n_.options.remove_sources) CAIRN_TRY(remove_sources());
  if (!report_.merged.empty() || report_.removed_objects > 0) CAIRN_TRY(sync_again());
  fill_after();
  return std::move(report_);
}

Result<void> CompactRun::load() {
  CAIRN_ASSIGN(known_, n_.catalogue.objects(n_.replica));
  usable_.clear();
  for (const KnownObject& object : known_) {
    if (object.problem.empty() && !left_out_.contains(object.read.object.name.key)) usable_.push_back(object.read);
  }
  return {};
}

Result<void> CompactRun::sync_again() {
  CAIRN_TRY(sync(n_.store, n_.catalogue, n_.replica, SyncDepth::full, n_.clock.now().wall_ms, n_.executor,
                 n_.options.stop));
  return load();
}

// Restore points at and behind this one stay; 0: all do.
Sequence CompactRun::keep_from() const {
  if (!n_.options.squash_older_ms) return Sequence(0);
  const std::vector<RestorePointInfo> points = restore::reachable_points(usable_);
  std::vector<std::int64_t> times_ms;
  for (const RestorePointInfo& point : points) times_ms.push_back(point.time_ms);
  if (points.empty()) return Sequence(0);
  const std::size_t begin = begin_of_window(times_ms, *n_.options.squash_older_ms);
  return Sequence(points[std::min(begin, points.size() - 1)].sequence);
}

std::vector<CompactRun::Due> CompactRun::plan() {
  std::vector<Due> due;
  const Sequence from = keep_from();
  for (const Line& line : find_lines(usable_, from)) {
    const auto young = std::find_if(line.begin(), line.end(), [&](std::size_t i) {
      return usable_[i].footer.last >= from;
    });
    plan_line({line.begin(), young}, segment::ObjectKind::squashed, due);
    plan_line({young, line.end()}, segment::ObjectKind::bundle, due);
  }
  return due;
}

void CompactRun::plan_line(const std::vector<std::size_t>& line, segment::ObjectKind kind, std::vector<Due>& due) {
  std::vector<Piece> pieces;
  for (const std::size_t i : line) {
    const restore::StoredObject& object = usable_[i].object;
    pieces.push_back({object.name.last.value - object.name.first.value + 1, object.name.level, object.size_bytes});
  }
  std::vector<Group> groups = plan_groups(n_.options.strategy, pieces, {n_.options.fan, n_.options.max_object_bytes});
  if (kind == segment::ObjectKind::squashed) {  // a bundle alone becomes smaller, too
    std::vector<char> taken(line.size());
    for (const Group& group : groups) std::fill_n(taken.begin() + static_cast<std::ptrdiff_t>(group.begin),
                                                  group.end - group.begin, 1);
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (!taken[i] && usable_[line[i]].footer.points.size() > 1) groups.push_back({i, i + 1, pieces[i].level + 1});
    }
  }
  for (const Group& group : groups) {
    Due one{{{}, kind, group.level}, 0};
    for (std::size_t i = group.begin; i < group.end; ++i) {
      one.job.inputs.push_back(usable_[line[i]].object);
      one.size_bytes += pieces[i].size_bytes;
    }
    if (!tried_.contains(name_of_job(one.job))) due.push_back(std::move(one));
  }
}

// Of a dry run. What the sizes will be is not known.
void CompactRun::promise(const std::vector<Due>& due) {
  report_.objects_after = report_.objects_before;
  report_.bytes_after = report_.bytes_before;
  report_.points_after = report_.points_before;
  for (const Due& one : due) {
    const auto& inputs = one.job.inputs;
    report_.merged.push_back(described(one.job, segment::merged_key("", one.job.level, inputs.front().name.first,
                                                                   inputs.back().name.last)));
    report_.objects_after -= inputs.size() - 1;
  }
}

Result<void> CompactRun::merge_all(const std::vector<Due>& due) {
  std::uint64_t done_bytes = 0, total_bytes = 0;
  for (const Due& one : due) total_bytes += one.size_bytes;
  for (const Due& one : due) {
    if (n_.options.stop.stop_requested()) return Error(ErrorKind::cancelled, "stopped on request");
    if (n_.options.progress) n_.options.progress(done_bytes, total_bytes);
    CAIRN_TRY(merge(one.job));
    done_bytes += one.size_bytes;
  }
  return {};
}

Result<void> CompactRun::merge(const MergeJob& job) {
  tried_.insert(name_of_job(job));
  CAIRN_ASSIGN(MergeOutcome outcome, desk_.run(job));
  return take(job, std::move(outcome));
}

Result<void> CompactRun::take(const MergeJob& job, MergeOutcome outcome) {
  for (std::string& note : outcome.notes) report_.problems.push_back(std::move(note));
  for (const auto& [key, problem] : outcome.damaged) leave_out(key, problem);
  if (!outcome.gone.empty()) {
    tried_.erase(name_of_job(job));  // another may be put in the place of what has gone
    return n_.catalogue.update(n_.replica, {}, outcome.gone);
  }
  if (!outcome.merged) return {};
  segment::PublishedMerge& merged = *outcome.merged;
  KnownObject object;
  object.read = {{*segment::parse_key("", merged.key), merged.size_bytes, {}}, merged.footer};
  CAIRN_TRY(n_.catalogue.update(n_.replica, {object}, {}));
  CompactedObject done = described(job, merged.key);
  done.is_squashed = merged.footer.kind == segment::ObjectKind::squashed;
  done.restore_points = merged.footer.points.size();
  done.size_bytes = merged.size_bytes;
  done.was_there = merged.outcome != segment::Outcome::put;
  report_.merged.push_back(std::move(done));
  return {};
}

void CompactRun::leave_out(const std::string& key, const std::string& problem) {
  if (!left_out_.insert(key).second) return;
  const bool told = std::find(report_.problems.begin(), report_.problems.end(), problem) != report_.problems.end();
  if (!told) report_.problems.push_back(problem);
}

Result<void> CompactRun::remove_sources() {
  KnownFooters known;
  for (const KnownObject& object : known_) {
    if (!object.problem.empty() || object.etag.empty()) continue;
    known.emplace(object.read.object.name.key,
                  KnownFooter{object.etag, object.read.object.size_bytes, object.read.footer});
  }
  PruneOptions options;
  options.policy = {n_.options.squash_older_ms.value_or(std::numeric_limits<std::int64_t>::max()), 0, 0, 0, 0,
                    n_.options.grace_ms};
  const auto removal = remove_unneeded(n_.store, "", options, Purpose::replace, known, n_.clock, n_.executor);
  if (removal) {
    report_.removed_objects = removal->report.removed_objects;
    report_.removed_bytes = removal->report.removed_bytes;
    report_.waiting_objects = removal->waiting_objects;
    report_.waiting_bytes = removal->waiting_bytes;
    return {};
  }
  switch (removal.error().kind()) {
    case ErrorKind::denied:
    case ErrorKind::busy:
    case ErrorKind::conflict:
    case ErrorKind::corrupt:
      report_.not_removed = removal.error();
      return {};
    default: return removal.error();
  }
}

void CompactRun::fill_after() {
  report_.objects_after = known_.size();
  report_.bytes_after = bytes_of(known_);
  report_.points_after = restore::reachable_points(usable_).size();
  report_.restore_after = path_to_newest(usable_);
}

}  // namespace cairn::compact
