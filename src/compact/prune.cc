// A prune takes no lock. What makes it safe, in the order in which it happens:
//
//   1. survey      list everything and read every index. Any failure, contradiction or unexplained hole ends it here.
//   2. decide      retention.cc. Every kept restore point is given one cover of objects that stay. What is about to go
//                  is in none of them: so to a kept point it does not matter how much of it has gone, or which first.
//   3. record      put the next pruned/<number>, create-only: which sequences are given up. From here on a hole is told
//                  from a loss. The store's time of it is the store's "now". Of two prunes one gets the number.
//   4. again       survey and decide once more: what goes now is what goes by both. An object that was put meanwhile is
//                  young, and stays.
//   5. remove      in batches, from the newest sequence to the oldest. So at every moment the states that are given up
//                  and still there are an unbroken beginning of the history: a restore of one of them finds either all
//                  of it or a plain "was pruned". Before each batch: is ours still the newest record? And when more
//                  than the grace period has passed since the survey, all begins again at 4. So no decision is older
//                  than that, and another prune cannot have relied on an object that this one has not seen.
//   6. older records go.
//
// A crash in between leaves objects that nobody needs. The next prune decides anew and goes on.

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "base/bytes.h"
#include "base/clock.h"
#include "compact/prune.h"
#include "restore/metadata.h"
#include "restore/replica.h"
#include "segment/keys.h"

namespace cairn {
namespace compact {
namespace {

constexpr std::size_t kBatch = 1000;
constexpr std::int64_t kLeftOver_ms = 30ll * 24 * 3600 * 1000;  // the first snapshot of a large database may take days

struct Decided {
  Survey found;
  Retention retention;
};

Error with_rights(const Error& error) {
  if (error.kind() != ErrorKind::denied) return error;
  return error.with("the credentials may not delete (S3: s3:DeleteObject), and pruning is deleting");
}

// Sequences up to the base that are no kept restore points; and what was given up before, since who did may still be
// removing it.
restore::Pruned given_up(const Retention& retention, const restore::Pruned& before) {
  restore::Pruned pruned;
  Sequence next(0);
  for (const KeptPoint& point : retention.kept) {
    if (point.sequence > next) pruned.ranges.emplace_back(next, Sequence(point.sequence.value - 1));
    next = point.sequence.next();
    if (next > retention.base) break;
  }
  pruned.add(before);
  return pruned;
}

// The same where all other states stay, those too that only young objects lead to.
restore::Pruned given_up_one_by_one(const Retention& retention, const restore::Pruned& before) {
  restore::Pruned pruned;
  for (const Sequence at : retention.dropped) pruned.ranges.emplace_back(at, at);
  pruned.add(before);
  return pruned;
}

class Prune {
 public:
  Prune(Store& store, std::string_view replica, const PruneOptions& options, Purpose purpose, KnownFooters& known,
        Clock& clock, Executor& executor)
      : store_(store), replica_(replica), options_(options), purpose_(purpose), known_(known), clock_(clock),
        executor_(executor) {}

  Result<Removal> run() {
    now_ms_ = clock_.now().wall_ms;
    CAIRN_ASSIGN(const Decided first, decide());
    if (!options_.dry_run && purpose_ == Purpose::thin) end_left_over_uploads();
    fill_report(first);
    const std::set<std::string> going = keys_that_go(first);
    if (options_.dry_run || going.empty()) return std::move(removal_);
    CAIRN_TRY(announce(first));
    while (true) {
      const std::int64_t begun_us = clock_.now().mono_us;
      CAIRN_ASSIGN(const Decided again, decide());
      CAIRN_ASSIGN(const bool done, remove(victims(again, going), begun_us));
      if (done) break;
    }
    forget_older_records(first.found.pruned.read);
    return std::move(removal_);
  }

 private:
  Result<Decided> decide() {
    Decided decided;
    const Holes holes = purpose_ == Purpose::thin ? Holes::refuse : Holes::leave;
    CAIRN_ASSIGN(decided.found, survey(store_, replica_, known_, holes, executor_));
    decided.retention = decide_retention(decided.found.objects, now_ms_, options_.policy, purpose_);
    return decided;
  }

  void fill_report(const Decided& decided) {
    const auto add = [&](const restore::StoredObject& object, Fate fate) {
      const segment::ObjectName& name = object.name;
      report_.objects.push_back({name.key, object.size_bytes, fate, name.kind == segment::KeyKind::snapshot,
                                 name.level, name.first.value, name.last.value});
    };
    for (std::size_t i = 0; i < decided.found.objects.size(); ++i) {
      add(decided.found.objects[i].read.object, decided.retention.fates[i]);
    }
    for (const restore::StoredObject& object : decided.found.unreadable) add(object, Fate::unreadable);
    for (const KeptPoint& point : decided.retention.kept) ++report_.kept_points[static_cast<int>(point.why)];
    report_.kept_points[static_cast<int>(Density::recent)] = decided.retention.recent;
    report_.dropped_points = decided.retention.dropped.size();
    if (purpose_ == Purpose::replace) count_waiting(decided);
  }

  void count_waiting(const Decided& decided) {
    PrunePolicy policy = options_.policy;
    policy.grace_ms = std::numeric_limits<std::int64_t>::min() / 2;  // all is old, whatever the clocks say
    const Retention later = decide_retention(decided.found.objects, now_ms_, policy, purpose_);
    for (std::size_t i = 0; i < later.fates.size(); ++i) {
      if (later.fates[i] != Fate::goes || decided.retention.fates[i] == Fate::goes) continue;
      ++removal_.waiting_objects;
      removal_.waiting_bytes += decided.found.objects[i].read.object.size_bytes;
    }
  }

  static std::set<std::string> keys_that_go(const Decided& decided) {
    std::set<std::string> keys;
    for (std::size_t i = 0; i < decided.found.objects.size(); ++i) {
      if (decided.retention.fates[i] == Fate::goes) keys.insert(decided.found.objects[i].read.object.name.key);
    }
    return keys;
  }

  Result<void> announce(const Decided& decided) {
    // There never is such a record: whether it may be removed is all that is asked.
    if (auto allowed = store_.remove(segment::pruned_key(replica_, 0)); !allowed) return with_rights(allowed.error());
    CAIRN_TRY(claim_newest(decided));
    number_ = decided.found.pruned.number + 1;
    const std::string key = segment::pruned_key(replica_, number_);
    const std::string json = restore::pruned_json(purpose_ == Purpose::thin
                                                      ? given_up(decided.retention, decided.found.pruned)
                                                      : given_up_one_by_one(decided.retention, decided.found.pruned));
    const auto put = store_.put_new(key, BytesSource(as_bytes(json)));
    if (!put && put.error().kind() == ErrorKind::conflict) return other_at_work();
    if (!put) return put.error().with("nothing was removed: the record of what is given up cannot be written");
    const auto placed = store_.head(key);
    // Whoever has recorded after us removes older records.
    if (!placed && placed.error().kind() == ErrorKind::not_found) return other_at_work();
    if (!placed) return placed.error();
    // The earlier of the two clocks counts: one that is ahead makes everything look old.
    now_ms_ = std::min(now_ms_, placed->modified_ms);
    return {};
  }

  // For who is listed neither what goes nor what led to the same states.
  Result<void> claim_newest(const Decided& decided) {
    Sequence newest;
    for (const AgedObject& object : decided.found.objects) newest = std::max(newest, object.read.object.name.last);
    return restore::claim_before_removing(store_, replica_, newest, newest);
  }

  // What goes by both decisions, newest first; of equal ends segments before the snapshot that they lead to.
  static std::vector<const restore::StoredObject*> victims(const Decided& decided, const std::set<std::string>& going) {
    std::vector<const restore::StoredObject*> objects;
    for (std::size_t i = 0; i < decided.found.objects.size(); ++i) {
      const restore::StoredObject& object = decided.found.objects[i].read.object;
      const bool goes = decided.retention.fates[i] == Fate::goes && going.contains(object.name.key);
      if (goes) objects.push_back(&object);
    }
    std::sort(objects.begin(), objects.end(), [](const restore::StoredObject* a, const restore::StoredObject* b) {
      const auto order = [](const segment::ObjectName& name) {
        return std::tuple(name.last, name.first, name.kind == segment::KeyKind::segment);
      };
      return order(a->name) > order(b->name);
    });
    return objects;
  }

  // False: the decision has become too old.
  Result<bool> remove(const std::vector<const restore::StoredObject*>& objects, std::int64_t begun_us) {
    const std::int64_t grace_us = options_.policy.grace_ms * 1000;
    for (std::size_t begin = 0; begin < objects.size(); begin += kBatch) {
      if (begin > 0 && grace_us > 0 && clock_.now().mono_us - begun_us > grace_us) return false;
      CAIRN_ASSIGN(const auto records, restore::list_pruned(store_, replica_));
      // A listing may be late; one that shows a greater number is not.
      if (!records.empty() && records.back() > number_) return other_at_work();
      const std::size_t end = std::min(begin + kBatch, objects.size());
      if (auto removed = remove_batch(std::span(objects).subspan(begin, end - begin)); !removed) {
        return removed.error().with(fmt::format("{} of {} objects were removed", report_.removed_objects,
                                                objects.size()));
      }
    }
    return true;
  }

  Result<void> remove_batch(std::span<const restore::StoredObject* const> objects) {
    std::vector<std::string> keys;
    for (const restore::StoredObject* object : objects) keys.push_back(object->name.key);
    const auto left = store_.remove_many(keys);
    if (!left) return with_rights(left.error());
    std::set<std::string_view> stay;
    for (const NotRemoved& each : *left) stay.insert(each.key);
    for (const restore::StoredObject* object : objects) {
      if (stay.contains(object->name.key)) continue;
      ++report_.removed_objects;
      report_.removed_bytes += object->size_bytes;
    }
    if (left->empty()) return {};
    return with_rights(left->front().error).with(left->front().key);
  }

  // What nobody has gone on with for a month costs storage for ever. Best effort: not every store lists uploads, and
  // not everybody may end them.
  void end_left_over_uploads() {
    const auto uploads = store_.list_uploads(segment::replica_prefix(replica_));
    if (!uploads) return;
    for (const UploadInfo& upload : *uploads) {
      const bool is_old = upload.begun_ms + kLeftOver_ms <= now_ms_;
      if (is_old && segment::parse_key(replica_, upload.key)) (void)store_.abort_upload(upload.key, upload.upload_id);
    }
  }

  // Those that ours repeats. Another that a listing kept from us, or that could not be read, may say more. Best effort:
  // the next prune removes what stays.
  void forget_older_records(const std::vector<std::uint64_t>& repeated) {
    std::vector<std::string> keys;
    for (const std::uint64_t number : repeated) keys.push_back(segment::pruned_key(replica_, number));
    if (!keys.empty()) (void)store_.remove_many(keys);
  }

  static Error other_at_work() {
    return Error(ErrorKind::busy, "another prune of this replica is at work: try again in a moment");
  }

  Store& store_;
  const std::string_view replica_;
  const PruneOptions& options_;
  const Purpose purpose_;
  KnownFooters& known_;
  Clock& clock_;
  Executor& executor_;
  std::int64_t now_ms_ = 0;
  std::uint64_t number_ = 0;  // of our record
  Removal removal_;
  PruneReport& report_ = removal_.report;
};

}  // namespace

Result<Removal> remove_unneeded(Store& store, std::string_view replica, const PruneOptions& options, Purpose purpose,
                                KnownFooters& known, Clock& clock, Executor& executor) {
  return Prune(store, replica, options, purpose, known, clock, executor).run();
}

namespace {

Result<void> check_policy(const PrunePolicy& policy) {
  if (policy.grace_ms >= 0 && policy.keep_all_ms >= 0) return {};
  return Error(ErrorKind::invalid, "a length of time cannot be negative");
}

class RepeatedPruner final : public Pruner {
 public:
  RepeatedPruner(const PrunePolicy& policy, Clock& clock, Executor& executor)
      : options_{policy, false}, clock_(clock), executor_(executor) {}

  Result<PruneReport> prune(Store& store, std::string_view replica) override {
    auto removal = remove_unneeded(store, replica, options_, Purpose::thin, known_, clock_, executor_);
    if (!removal) return removal.error().with(restore::location(store, replica));
    forget(removal->report);
    return std::move(removal->report);
  }

 private:
  // Of level 0 none is there for long.
  void forget(const PruneReport& report) {
    KnownFooters staying;
    for (const PrunedObject& object : report.objects) {
      if (object.fate == Fate::goes || (!object.is_snapshot && object.level == 0)) continue;
      if (auto known = known_.extract(object.key)) staying.insert(std::move(known));
    }
    known_ = std::move(staying);
  }

  const PruneOptions options_;
  Clock& clock_;
  Executor& executor_;
  KnownFooters known_;
};

}  // namespace
}  // namespace compact

Result<std::unique_ptr<Pruner>> make_pruner(const PrunePolicy& policy, Clock& clock, Executor& executor) {
  CAIRN_TRY(compact::check_policy(policy));
  return std::make_unique<compact::RepeatedPruner>(policy, clock, executor);
}

Result<PruneReport> prune_replica(Store& store, std::string_view replica, const PruneOptions& options, Clock& clock,
                                  Executor& executor) {
  CAIRN_TRY(compact::check_policy(options.policy));
  compact::KnownFooters known;
  auto removal = compact::remove_unneeded(store, replica, options, compact::Purpose::thin, known, clock, executor);
  if (!removal) return removal.error().with(restore::location(store, replica));
  return std::move(removal->report);
}

}  // namespace cairn
