// Three looks at a replica, each with its own file: every object by itself (segment::verify_object), the objects
// against each other (claims.cc: every statement about a state must agree with every other), and the page hashes
// played through from the first snapshot to the newest state (replay.cc). `deep` adds what a user would do: restore
// some states, and ask SQLite. A store that fails for a moment is an error of the call, never a problem of the replica.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/parallel.h"
#include "cairn/restore.h"
#include "restore/claims.h"
#include "restore/metadata.h"
#include "restore/points.h"
#include "restore/replay.h"
#include "restore/replica.h"
#include "restore/unlisted.h"
#include "segment/reader.h"
#include "sqlite/integrity.h"

namespace cairn {
namespace restore {
namespace {

struct Checked {
  std::optional<ReadObject> good;
  std::string problem;  // when it is not
  std::string note;
};

Checked judge(const StoredObject& object, Result<segment::Footer> footer) {
  if (footer) return {ReadObject{object, std::move(*footer)}, "", ""};
  if (footer.error().kind() == ErrorKind::not_found) {
    return {std::nullopt, "", fmt::format("{} was removed while this ran", object.name.key)};
  }
  return {std::nullopt, footer.error().message(), ""};
}

bool says_something_of_the_object(const Error& error) {
  return error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::unsupported ||
         error.kind() == ErrorKind::not_found;
}

// Sequences beside the newest state's, ascending: the oldest, and one of each of equal parts of what lies between.
std::vector<std::uint64_t> choose_samples(const std::vector<RestorePointInfo>& points, std::uint64_t samples) {
  std::vector<std::uint64_t> chosen;
  if (samples < 2 || points.size() < 2) return chosen;
  chosen.push_back(points.front().sequence);
  const std::uint64_t between = points.size() - 2, parts = std::min(samples - 2, between);
  SeededRandom random(points.back().database_hash);
  for (std::uint64_t part = 0; part < parts; ++part) {
    // Parts of [1, between + 1), without the overflow of a product.
    const std::uint64_t size = between / parts, longer = between % parts;
    const std::uint64_t begin = 1 + part * size + std::min(part, longer);
    chosen.push_back(points[begin + random.below(size + (part < longer ? 1 : 0))].sequence);
  }
  return chosen;
}

class Verifier {
 public:
  Verifier(Store& store, std::string_view replica, FileSystem& files, Executor& executor,
           std::function<void(std::uint64_t, std::uint64_t)> progress)
      : store_(store), replica_(replica), files_(files), executor_(executor), progress_(std::move(progress)) {}

  // `samples`: how many states are restored when it is deep.
  Result<VerifyReport> run(VerifyDepth depth, const std::string& scratch, std::uint64_t samples) {
    CAIRN_TRY(list());
    CAIRN_TRY(look_at_metadata());
    CAIRN_TRY(look_for_the_newest());
    CAIRN_TRY(check_objects());
    CAIRN_TRY(check_lineage());
    compare_claims(good_, report_.problems);
    CAIRN_ASSIGN(const Pruned pruned, read_pruned(store_, replica_));
    tell_gaps(find_gaps(objects_, good_, pruned, newest_of(objects_, {})), report_.problems, report_.notes);
    const std::vector<RestorePointInfo> points = reachable_points(good_);
    report_.restore_points = points.size();
    // With a hole or a contradiction there is nothing to play through, and the cause has been named.
    if (report_.problems.empty()) CAIRN_TRY(play_through(scratch));
    if (depth == VerifyDepth::deep) CAIRN_TRY(restore_samples(points, samples, scratch));
    return std::move(report_);
  }

 private:
  Result<void> list() {
    CAIRN_ASSIGN(objects_, list_snapshots(store_, replica_));
    CAIRN_ASSIGN(const std::vector<StoredObject> segments, list_segments(store_, replica_, Sequence(0)));
    if (objects_.empty() && !segments.empty()) {
      report_.problems.push_back("there is no snapshot: the segments cannot be restored without one");
    }
    objects_.insert(objects_.end(), segments.begin(), segments.end());
    for (const StoredObject& object : objects_) report_.size_bytes += object.size_bytes;
    report_.objects = objects_.size();
    return {};
  }

  // A claim without a history is no backup, and is not called one.
  Result<void> look_at_metadata() {
    auto metadata = read_metadata(store_, replica_);
    if (metadata) claimed_ = metadata->lineage;
    else if (metadata.error().kind() == ErrorKind::not_found) report_.notes.push_back("metadata.json is missing");
    else if (says_something_of_the_object(metadata.error())) report_.problems.push_back(metadata.error().message());
    else return metadata.error();
    if (!objects_.empty()) return {};
    return Error(ErrorKind::not_found, claimed_ ? "the replica was begun, but nothing has been published: there is no "
                                                  "snapshot and no segment"
                                                : "there is no snapshot and no segment");
  }

  // What is lost at the end leaves no hole.
  Result<void> look_for_the_newest() {
    std::vector<StoredObject> snapshots, segments;
    for (const StoredObject& object : objects_) {
      (object.name.kind == segment::KeyKind::snapshot ? snapshots : segments).push_back(object);
    }
    const auto all = expect_all_published(store_, replica_, snapshots, segments);
    if (!all && !says_something_of_the_object(all.error())) return all.error();
    if (!all) report_.problems.push_back(all.error().message());
    return {};
  }

  Result<void> check_objects() {
    std::vector<Checked> checked(objects_.size());
    std::atomic<std::uint64_t> done = 0;
    if (progress_) progress_(0, report_.size_bytes);
    CAIRN_TRY(parallel_for(executor_, objects_.size(), [&](std::uint64_t i) -> Result<void> {
      auto footer = check_object(objects_[i].name.key);
      if (!footer && !says_something_of_the_object(footer.error())) return footer.error();
      checked[i] = judge(objects_[i], std::move(footer));
      const std::uint64_t bytes = done.fetch_add(objects_[i].size_bytes) + objects_[i].size_bytes;
      if (progress_) progress_(bytes, report_.size_bytes);
      return {};
    }));
    for (Checked& each : checked) {
      if (each.good) good_.push_back(std::move(*each.good));
      if (!each.problem.empty()) report_.problems.push_back(std::move(each.problem));
      if (!each.note.empty()) report_.notes.push_back(std::move(each.note));
    }
    return {};
  }

  Result<segment::Footer> check_object(const std::string& key) {
    CAIRN_ASSIGN(auto reader, segment::ObjectReader::open(store_, key, segment::KeepEnd::yes));
    return segment::verify_object(*reader);
  }

  // Objects of another history are named once, and take no further part.
  Result<void> check_lineage() {
    if (good_.empty()) return {};
    const bool agrees = !claimed_ || std::all_of(good_.begin(), good_.end(), [&](const ReadObject& object) {
      return object.footer.lineage == *claimed_;
    });
    // It has no checksum, and may have been garbled on its way.
    if (!agrees) {
      CAIRN_ASSIGN(claimed_, claimed_lineage(store_, replica_));
    }
    const Id128 ours = claimed_ ? *claimed_ : good_.front().footer.lineage;
    std::erase_if(good_, [&](const ReadObject& object) {
      if (object.footer.lineage == ours) return false;
      report_.problems.push_back(fmt::format("{} belongs to another history (lineage {}) than this replica ({})",
                                             object.object.name.key, object.footer.lineage.hex(), ours.hex()));
      return true;
    });
    return {};
  }

  Result<void> play_through(const std::string& scratch) {
    auto played = replay_hashes(store_, good_, files_, scratch, report_.problems, report_.notes);
    if (played) return {};
    if (!says_something_of_the_object(played.error())) return played.error();
    // Each object has been read and found good a moment ago: one that is gone by now was pruned.
    const bool pruned = played.error().kind() == ErrorKind::not_found;
    (pruned ? report_.notes : report_.problems).push_back(played.error().message());
    return {};
  }

  // The newest state is asked for as a user does, by no number: it need not be the newest of those that are whole.
  Result<void> restore_samples(const std::vector<RestorePointInfo>& points, std::uint64_t samples,
                               const std::string& scratch) {
    for (const std::uint64_t sequence : choose_samples(points, samples)) {
      CAIRN_TRY(restore_and_ask(sequence, scratch));
    }
    CAIRN_TRY(restore_and_ask(std::nullopt, scratch));
    return {};
  }

  Result<void> restore_and_ask(std::optional<std::uint64_t> sequence, const std::string& scratch) {
    const std::string path = join_path(scratch, "cairn-verify.db");
    CAIRN_TRY(files_.make_directories(scratch));
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    options.target.sequence = sequence;
    auto restored = run_restore(store_, replica_, path, options, files_, executor_);
    if (!restored) {
      const ErrorKind kind = restored.error().kind();
      const bool about_replica = says_something_of_the_object(restored.error()) || kind == ErrorKind::conflict;
      if (!about_replica) return restored.error();
      if (sequence) report_.sampled.push_back(*sequence);
      // A state that was there a moment ago, and of which nothing is damaged, was pruned.
      const bool pruned = sequence && kind == ErrorKind::not_found;
      (pruned ? report_.notes : report_.problems)
          .push_back(fmt::format("restoring {} fails: {}", sequence ? fmt::format("sequence {}", *sequence)
                                                                    : std::string("the newest state"),
                                 restored.error().message()));
      return {};
    }
    report_.sampled.push_back(restored->plan.point.sequence);
    auto complaints = sqlite::integrity_check(path);
    (void)files_.remove(path);  // scratch: best effort
    if (!complaints) return complaints.error();
    for (const std::string& complaint : *complaints) {
      report_.problems.push_back(fmt::format("SQLite says of the restored database (sequence {}): {}",
                                             restored->plan.point.sequence, complaint));
    }
    return {};
  }

  Store& store_;
  const std::string_view replica_;
  FileSystem& files_;
  Executor& executor_;
  const std::function<void(std::uint64_t, std::uint64_t)> progress_;
  std::vector<StoredObject> objects_;
  std::vector<ReadObject> good_;
  std::optional<Id128> claimed_;
  VerifyReport report_;
};

}  // namespace
}  // namespace restore

Result<VerifyReport> verify_replica(Store& store, std::string_view replica, VerifyDepth depth,
                                    const std::string& scratch_directory, FileSystem& files, Executor& executor,
                                    std::function<void(std::uint64_t done, std::uint64_t total)> progress,
                                    std::uint64_t samples) {
  restore::Verifier verifier(store, replica, files, executor, std::move(progress));
  auto report = verifier.run(depth, scratch_directory, samples);
  if (!report) return report.error().with(restore::location(store, replica));
  return report;
}

}  // namespace cairn
