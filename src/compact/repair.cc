// The walk of a repair:
//
//   1. read      every object. Only whole ones are relied on; that two of them contradict each other ends it.
//   2. rebuild   each damaged one from whole ones, into a local file, and judge that as if it had been read: whole, and
//                in agreement with all others. As long as one more succeeds it is tried again: what was rebuilt leads
//                further.
//   3. replace   copy the damaged bytes to damaged/, create-only, and compare; then put the new object in the place of
//                just those bytes (compare and swap), and read it back whole.
//   4. aside     what cannot be rebuilt, and whose states all can be restored without it, is copied in the same way and
//                removed: a restore that chose it would fail.
//
// So at no moment is there less than before: before the swap the damaged object is there, after it the good one.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/parallel.h"
#include "cairn/compactor.h"
#include "compact/rebuild.h"
#include "compact/scratch_file.h"
#include "restore/claims.h"
#include "restore/history.h"
#include "restore/metadata.h"
#include "restore/pruned.h"
#include "restore/replica.h"
#include "restore/unlisted.h"
#include "segment/keys.h"
#include "segment/reader.h"
#include "store/what_lies_there.h"

namespace cairn {
namespace compact {
namespace {

using restore::ReadObject;
using restore::StoredObject;

constexpr int kNames = 100;

// An object as a source: read from the store when asked for.
class StoredSource final : public Source {
 public:
  StoredSource(Store& store, const StoredObject& object) : store_(store), object_(object) {}
  std::uint64_t size_bytes() const override { return object_.size_bytes; }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    if (into.empty()) return {};
    CAIRN_ASSIGN(const Object part, store_.get(object_.name.key, offset, into.size()));
    if (part.bytes.size() != into.size()) return segment::damaged_object(object_.name.key, "it changed its size");
    std::copy(part.bytes.begin(), part.bytes.end(), into.begin());
    return {};
  }

 private:
  Store& store_;
  const StoredObject& object_;
};

// The same states, one after the other.
bool is_same_history(const segment::Footer& a, const segment::Footer& b) {
  const auto same = [](const segment::RestorePoint& x, const segment::RestorePoint& y) {
    return x.sequence == y.sequence && x.time_ms == y.time_ms && x.page_count == y.page_count &&
           x.hash_after == y.hash_after;
  };
  return a.lineage == b.lineage && a.page_size == b.page_size && a.hash_before == b.hash_before &&
         std::equal(a.points.begin(), a.points.end(), b.points.begin(), b.points.end(), same);
}

class Repair {
 public:
  Repair(Store& store, std::string_view replica, const RepairOptions& options, FileSystem& files, Executor& executor)
      : store_(store), replica_(replica), options_(options), files_(files), executor_(executor),
        rebuilder_(store, replica, files, options.scratch_directory, executor, options.stop) {}

  Result<RepairReport> run() {
    CAIRN_TRY(read());
    CAIRN_TRY(leave_other_histories());
    CAIRN_TRY(refuse_contradictions());
    CAIRN_TRY(read_what_was_given_up());
    CAIRN_TRY(rebuild_all());
    for (std::size_t i = 0; i < damaged_.size(); ++i) CAIRN_TRY(put_aside(i));
    report_.lost = lost();
    return std::move(report_);
  }

 private:
  Result<void> read() {
    CAIRN_ASSIGN(listed_, restore::list_snapshots(store_, replica_));
    CAIRN_ASSIGN(auto segments, restore::list_segments(store_, replica_, Sequence(0)));
    // Published while the rest was listed, or listed late: each by its key, or what lies between would look lost.
    CAIRN_TRY(restore::add_what_follows(store_, replica_, {}, listed_, segments));
    CAIRN_ASSIGN(published_, restore::find_published(store_, replica_, listed_, segments));
    listed_.insert(listed_.end(), segments.begin(), segments.end());
    report_.objects = listed_.size();
    if (listed_.empty()) return Error(ErrorKind::not_found, "there is no snapshot and no segment");
    std::vector<std::optional<ReadObject>> good(listed_.size());
    std::vector<std::optional<Damaged>> damaged(listed_.size());
    CAIRN_TRY(parallel_for(executor_, listed_.size(), [&](std::uint64_t i) -> Result<void> {
      return read_one(listed_[i], good[i], damaged[i]);
    }, options_.stop));
    for (std::size_t i = 0; i < listed_.size(); ++i) {
      if (good[i]) good_.push_back(std::move(*good[i]));
      else hidden_.insert(listed_[i].name.key);
      if (!good[i] && !damaged[i]) passed_over_.push_back(listed_[i]);
      if (!damaged[i]) continue;
      report_.damaged.push_back({damaged[i]->object.name.key, damaged[i]->problem, Mended::no, "", ""});
      damaged_.push_back(std::move(*damaged[i]));
    }
    return {};
  }

  Result<void> read_one(const StoredObject& object, std::optional<ReadObject>& good, std::optional<Damaged>& damaged) {
    const std::string& key = object.name.key;
    // Before the bytes: what is swapped away later are the ones that were read here.
    const auto head = store_.head(key);
    if (!head) return head.error().kind() == ErrorKind::not_found ? Result<void>() : head.error();
    std::optional<segment::Footer> footer;
    const Result<segment::Footer> verified = verify(key, footer);
    if (verified) {
      good = ReadObject{object, *verified};
      return {};
    }
    switch (verified.error().kind()) {
      case ErrorKind::not_found:    // pruned meanwhile
      case ErrorKind::unsupported:  // a newer format is no damage
        return {};
      case ErrorKind::corrupt:
        damaged = Damaged{object, head->etag, verified.error().message(), footer};
        damaged->object.size_bytes = head->size_bytes;
        return {};
      default: return verified.error();
    }
  }

  Result<segment::Footer> verify(const std::string& key, std::optional<segment::Footer>& footer) {
    CAIRN_ASSIGN(const auto reader, segment::ObjectReader::open(store_, key));
    footer = reader->footer();
    return segment::verify_object(*reader);
  }

  // What belongs to another history is neither relied on nor touched.
  Result<void> leave_other_histories() {
    CAIRN_ASSIGN(const std::optional<Id128> claimed, restore::claimed_lineage(store_, replica_));
    if (good_.empty()) return {};
    const Id128 ours = claimed ? *claimed : good_.front().footer.lineage;
    std::set<std::string> others;
    std::erase_if(good_, [&](const ReadObject& object) {
      if (object.footer.lineage == ours) return false;
      others.insert(object.object.name.key);
      return true;
    });
    if (others.empty()) return {};
    hidden_.insert(others.begin(), others.end());
    std::erase_if(listed_, [&](const StoredObject& object) { return others.contains(object.name.key); });
    std::vector<StoredObject> snapshots = listed_, segments;
    CAIRN_ASSIGN(published_, restore::find_published(store_, replica_, snapshots, segments));
    for (Damaged& object : damaged_) {
      if (object.footer && object.footer->lineage != ours) object.footer.reset();
    }
    return {};
  }

  Result<void> refuse_contradictions() const {
    std::vector<std::string> problems;
    restore::compare_claims(good_, problems);
    if (problems.empty()) return {};
    return Error(ErrorKind::corrupt, fmt::format("{}. Which of them to rely on is not known: nothing was repaired",
                                                 problems.front()));
  }

  // A record that cannot be read gives nothing up; but then a hole may be what a prune left.
  Result<void> read_what_was_given_up() {
    auto pruned = restore::read_pruned(store_, replica_);
    knows_pruned_ = pruned.has_value();
    if (pruned) pruned_ = std::move(*pruned);
    else if (pruned.error().kind() != ErrorKind::corrupt) return pruned.error();
    return {};
  }

  Result<void> rebuild_all() {
    for (bool more = true; more;) {
      more = false;
      for (std::size_t i = 0; i < damaged_.size(); ++i) {
        if (report_.damaged[i].mended != Mended::no) continue;
        CAIRN_ASSIGN(const bool done, rebuild(i));
        more = more || (done && !options_.dry_run);
      }
    }
    return {};
  }

  Result<bool> rebuild(std::size_t i) {
    RepairedObject& report = report_.damaged[i];
    CAIRN_ASSIGN(const std::unique_ptr<File> file, open_scratch_file(files_, options_.scratch_directory));
    auto from = rebuilder_.rebuild(damaged_[i], {good_, hidden_}, *file);
    if (!from && !is_of_the_objects(from.error().kind())) return from.error();
    if (from) {
      const auto judged = judge(damaged_[i], *file);
      if (judged) return replace(i, *file, *judged, *from);
      if (!is_of_the_objects(judged.error().kind())) return judged.error();
      from = judged.error();
    }
    report.what = from.error().message();
    return false;
  }

  // Of what was read: it does not give what is wanted. All else is the store's or the disk's.
  static bool is_of_the_objects(ErrorKind kind) {
    return kind == ErrorKind::corrupt || kind == ErrorKind::conflict || kind == ErrorKind::invalid ||
           kind == ErrorKind::unsupported || kind == ErrorKind::not_found;
  }

  // Whether what was rebuilt is what stood there, as far as anything tells.
  Result<segment::Footer> judge(const Damaged& damaged, const File& file) {
    CAIRN_ASSIGN(const std::uint64_t size_bytes, file.size());
    const FileSource source(file, size_bytes);
    CAIRN_ASSIGN(const auto reader, segment::ObjectReader::open(source, damaged.object.name.key));
    CAIRN_ASSIGN(segment::Footer footer, segment::verify_object(*reader));
    const segment::ObjectName& name = damaged.object.name;
    bool same = footer.first == name.first && footer.last == name.last;
    if (damaged.footer) {
      same = same && footer.kind == damaged.footer->kind && is_same_history(footer, *damaged.footer);
    }
    std::vector<ReadObject> all = good_;
    all.push_back({damaged.object, footer});
    std::vector<std::string> problems;
    restore::compare_claims(all, problems);
    if (same && problems.empty()) return expect_as_many_states(damaged, std::move(footer));
    return Error(ErrorKind::corrupt, problems.empty() ? "what others hold is not what its own index says that it was"
                                                      : "what others hold contradicts: " + problems.front());
  }

  // Of what it was nothing may be known but its range. Then what takes its place must not hold fewer states than it may
  // have held: a squashed segment of the same range is no bundle.
  Result<segment::Footer> expect_as_many_states(const Damaged& damaged, segment::Footer footer) const {
    if (damaged.footer) return footer;
    std::set<std::uint64_t> states = reachable();
    for (const segment::RestorePoint& point : footer.points) states.insert(point.sequence.value);
    const Ranges missing = unheld(spoken_of(damaged), states);
    if (missing.empty()) return footer;
    return Error(ErrorKind::not_found,
                 fmt::format("which states it held is not known, and no other object holds sequence {} by itself",
                             missing.front().first.value));
  }

  Result<bool> replace(std::size_t i, const File& file, const segment::Footer& footer, const std::string& from) {
    RepairedObject& report = report_.damaged[i];
    Damaged& damaged = damaged_[i];
    CAIRN_ASSIGN(const std::uint64_t size_bytes, file.size());
    const StoreCapabilities can = store_.capabilities();
    if (!can.compare_and_swap || size_bytes > can.max_put_bytes) {
      report.what = can.compare_and_swap ? "it is too large to be replaced in one step"
                                         : "this store cannot replace an object in one step";
      return false;
    }
    if (!options_.dry_run) {
      CAIRN_ASSIGN(report.kept_as, keep(damaged));
      CAIRN_TRY(swap(damaged, FileSource(file, size_bytes)));
      std::optional<segment::Footer> ignored;
      CAIRN_TRY(verify(damaged.object.name.key, ignored));
      damaged.object.size_bytes = size_bytes;
      good_.push_back({damaged.object, footer});
      hidden_.erase(damaged.object.name.key);
    }
    report.mended = Mended::rebuilt;
    report.what = from;
    return true;
  }

  Result<void> swap(const Damaged& damaged, const FileSource& object) {
    const std::string& key = damaged.object.name.key;
    const auto put = store_.put_if(key, object, damaged.etag);
    if (put) return {};
    if (put.error().kind() == ErrorKind::maybe_done) {
      CAIRN_ASSIGN(const Lies lies, what_lies_there(store_, key, object));
      if (lies == Lies::same) return {};
    }
    return put.error().with("replace " + key);
  }

  // A copy of the damaged bytes, which is there and equal when this returns.
  Result<std::string> keep(const Damaged& damaged) {
    const StoredSource source(store_, damaged.object);
    for (int number = 1; number <= kNames; ++number) {
      const std::string key = segment::damaged_key(replica_, damaged.object.name.key, number);
      const auto put = store_.put_new(key, source);
      if (!put && put.error().kind() != ErrorKind::conflict && put.error().kind() != ErrorKind::maybe_done) {
        return put.error().with("keep a copy of " + damaged.object.name.key);
      }
      CAIRN_ASSIGN(const Lies lies, what_lies_there(store_, key, source));
      if (lies == Lies::same) return key;
      if (lies == Lies::absent) return Error(ErrorKind::retry_later, key + " was put and is not there");
    }
    return Error(ErrorKind::conflict, fmt::format("{} damaged objects have been kept of {}: remove some of them",
                                                  kNames, damaged.object.name.key));
  }

  using Ranges = std::vector<std::pair<Sequence, Sequence>>;

  // States that the object speaks of. While its index is damaged, too, these are all in its range.
  static Ranges spoken_of(const Damaged& damaged) {
    if (!damaged.footer) return {{damaged.object.name.first, damaged.object.name.last}};
    Ranges states;
    for (const segment::RestorePoint& point : damaged.footer->points) {
      states.emplace_back(point.sequence, point.sequence);
    }
    return states;
  }

  // Those of them that are not among `states`, and were not given up.
  Ranges unheld(const Ranges& of, const std::set<std::uint64_t>& states) const {
    Ranges missing;
    for (const auto& [first, last] : of) {
      restore::Pruned held = pruned_, there;
      for (auto at = states.lower_bound(first.value); at != states.end() && *at <= last.value; ++at) {
        there.ranges.emplace_back(*at, *at);
      }
      held.add(there);
      Sequence next = first;
      for (const auto& [from, to] : held.ranges) {
        if (to < next) continue;
        if (from > last) break;
        if (next < from) missing.emplace_back(next, Sequence(from.value - 1));
        next = to.next();
      }
      if (next <= last) missing.emplace_back(next, last);
    }
    return missing;
  }

  std::set<std::uint64_t> reachable() const {
    std::set<std::uint64_t> states;
    for (const RestorePointInfo& point : restore::reachable_points(good_)) states.insert(point.sequence);
    return states;
  }

  Result<void> put_aside(std::size_t i) {
    RepairedObject& report = report_.damaged[i];
    if (report.mended != Mended::no) return {};
    const Damaged& damaged = damaged_[i];
    if (!unheld(spoken_of(damaged), reachable()).empty()) return {};
    // The head is what a writer that comes too late runs against.
    const segment::ObjectName& name = damaged.object.name;
    const bool is_level0 = name.kind == segment::KeyKind::segment && name.level == 0;
    if (is_level0 && name.last == restore::newest_of(listed_, {})) return {};
    if (!options_.dry_run) {
      CAIRN_ASSIGN(report.kept_as, keep(damaged));
      CAIRN_ASSIGN(const ObjectInfo now, store_.head(damaged.object.name.key));
      if (now.etag != damaged.etag) return Error(ErrorKind::conflict, damaged.object.name.key + " changed meanwhile");
      if (is_level0) {
        CAIRN_TRY(restore::claim_before_removing(store_, replica_, name.last, restore::newest_of(listed_, {})));
      }
      CAIRN_TRY(store_.remove(damaged.object.name.key));
    }
    report.mended = Mended::put_aside;
    return {};
  }

  std::vector<std::pair<std::uint64_t, std::uint64_t>> lost() const {
    const std::set<std::uint64_t> states = reachable();
    restore::Pruned gone;
    for (const ReadObject& object : good_) {
      for (const segment::RestorePoint& point : object.footer.points) {
        const Sequence at = point.sequence;
        const bool is_explained = !knows_pruned_ || pruned_.covers(at, at) || may_be_reached(at);
        if (!states.contains(at.value) && !is_explained) gone.ranges.emplace_back(at, at);
      }
    }
    const auto add = [&](const Ranges& of) {
      for (const auto& range : unheld(of, states)) gone.ranges.push_back(range);
    };
    for (std::size_t i = 0; i < damaged_.size(); ++i) {
      if (report_.damaged[i].mended == Mended::no) add(spoken_of(damaged_[i]));
    }
    if (knows_pruned_) add(held_by_nothing());
    gone.add({});  // in order, and as few as can be
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (const auto& [first, last] : gone.ranges) ranges.emplace_back(first.value, last.value);
    return ranges;
  }

  // By what was passed over.
  bool may_be_reached(Sequence at) const {
    return std::any_of(passed_over_.begin(), passed_over_.end(), [&](const StoredObject& object) {
      return object.name.first <= at;
    });
  }

  Ranges held_by_nothing() const {
    std::vector<ReadObject> whole;  // as much as find_gaps() looks at
    const auto add = [&](const StoredObject& object, segment::ObjectKind kind) {
      whole.push_back({object, {}});
      segment::Footer& footer = whole.back().footer;
      footer.kind = kind;
      footer.first = object.name.first;
      footer.last = object.name.last;
    };
    for (const ReadObject& object : good_) add(object.object, object.footer.kind);
    for (const StoredObject& object : passed_over_) {
      const bool is_snapshot = object.name.kind == segment::KeyKind::snapshot;
      add(object, is_snapshot ? segment::ObjectKind::snapshot : segment::ObjectKind::segment);
    }
    return restore::find_gaps(listed_, whole, pruned_, published_).missing;
  }

  Store& store_;
  const std::string_view replica_;
  const RepairOptions& options_;
  FileSystem& files_;
  Executor& executor_;
  Rebuilder rebuilder_;
  std::vector<StoredObject> listed_;
  Sequence published_;  // the newest state, by what is listed or claimed
  std::vector<ReadObject> good_;
  std::set<std::string> hidden_;  // all that is not good
  std::vector<StoredObject> passed_over_;  // gone meanwhile, or of a newer format
  restore::Pruned pruned_;
  bool knows_pruned_ = true;
  std::vector<Damaged> damaged_;  // as in the report
  RepairReport report_;
};

}  // namespace
}  // namespace compact

Result<RepairReport> repair_replica(Store& store, std::string_view replica, const RepairOptions& options,
                                    FileSystem& files, Executor& executor) {
  auto report = compact::Repair(store, replica, options, files, executor).run();
  if (!report) return report.error().with(restore::location(store, replica));
  return report;
}

}  // namespace cairn
