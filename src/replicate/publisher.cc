// Ordering rules of docs/format.md, "Order", live here:
//   - a segment is put only when its predecessor is in the store, and, where looking is free, still there; there it
//     counts only once it lies beside that;
//   - what is about to be put is noted first, so that after any crash "ours" and "somebody else's" can be told apart:
//     synced, but for small ones of small databases, where one synced note serves for some seconds;
//   - "it exists": byte for byte ours means that an earlier put did arrive; anything else means that another
//     writer owns the history, and this one stops for good; that a key is free says the opposite only to who has heard
//     from the store lately, because what was merged is removed;
//   - "it may have been applied": look, then decide.
//
// The summary that is written now and then is also a look at whether the replica is still there. A claim that is gone
// is an alarm only at the second look, a minute later, and when the names of what is there say the same: no store
// that answers late, and nobody who removes a summary, ends a replication.
#include "replicate/publisher.h"

#include <algorithm>
#include <cstdlib>

#include "fmt/format.h"
#include "replicate/claim.h"
#include "replicate/still_there.h"
#include "segment/keys.h"
#include "store/what_lies_there.h"

namespace cairn::replicate {
namespace {
constexpr std::int64_t kWriteDown_us = 2'000'000;  // what is only noted, when nothing else writes it
constexpr std::int64_t kNothingDue_us = 3600ll * 1'000'000;
constexpr std::int64_t kSoon_us = 5'000;
constexpr std::int64_t kSummary_us = 300ll * 1'000'000;
constexpr std::int64_t kSecondLook_us = 60ll * 1'000'000;
constexpr std::int64_t kAway_ms = 20ll * 60 * 1000;  // far less than the grace after which what was merged is removed

// Nobody has heard from the store for too long by either clock: somebody else may have taken the history over, and
// what shows it been merged and removed.
bool is_too_long_ago(const Time& heard, const Time& now, std::int64_t grace_ms) {
  const std::int64_t most_ms = std::min(kAway_ms, grace_ms / 2);
  const std::int64_t by_wall_ms = std::abs(now.wall_ms - heard.wall_ms);
  return std::max(by_wall_ms, (now.mono_us - heard.mono_us) / 1000) > most_ms;
}

}  // namespace

Result<Step> Publisher::step(const Time& now) {
  if (now.mono_us < not_before_us_) return Step{not_before_us_};
  if (!attached_) {
    auto attached = attach_now(now);
    if (!attached) return trouble(attached.error(), now);
    if (!*attached) return Step{now.mono_us + kSoon_us};
  }
  if (auto claimed = renew_claim_when_due(now); !claimed) return trouble(claimed.error(), now);
  const auto spool = shared_.current_spool();
  if (auto published = publish_front(*spool, now); !published) {
    return trouble(published.error(), now);
  } else if (*published) {
    if (now.mono_us >= next_summary_us_) {
      if (auto written = write_summary(now); !written) return trouble(written.error(), now);
    }
    patience_.reset();
    shared_.set_status([](ReplicatorStatus& s) { s.store_trouble.clear(); });
    not_before_us_ = next_turn_us(*spool, now);
    if (spool->count() > 0) return Step{not_before_us_};
    return Step{now.mono_us + (shared_.local->is_written_down() ? kNothingDue_us : kWriteDown_us)};
  }
  const bool is_written = shared_.local->write_down().has_value();
  return Step{now.mono_us + (is_written ? kNothingDue_us : kWriteDown_us)};
}

// True: what the store says is what capture stands on from now on. False: capture has to do something first.
Result<bool> Publisher::attach_now(const Time& now) {
  {
    MutexLock hold(shared_.mutex);
    if (shared_.footing == Footing::settling || shared_.footing == Footing::leaving) return false;
  }
  CAIRN_ASSIGN(const Finding finding, find(now));
  const bool continues = finding.start == Start::go_on && !finding.has_lost_notes;
  if (!continues) {
    const auto history = finding.has_lost_notes ? Kept::History::same : Kept::History::another;
    CAIRN_TRY(shared_.kept.begin_anew(finding.head.newest.next(), history));
  }
  Presumption presumed;
  std::shared_ptr<Spool> spool;
  {
    MutexLock hold(shared_.mutex);
    if (shared_.footing == Footing::settling) return false;
    if (shared_.footing == Footing::none) shared_.footing = Footing::settling;
    if (shared_.footing == Footing::presumed) {
      shared_.footing = Footing::confirming;
      spool = shared_.spool;
    }
    presumed = shared_.presumption;
  }
  if (!spool) return attach_afresh(finding, now);
  const auto confirmed = confirm(shared_.attach_context(), finding, presumed, *spool, now);
  if (confirmed && *confirmed) {
    stand_firm(presumed.lineage, finding, nullptr, now);
    return true;
  }
  MutexLock hold(shared_.mutex);
  shared_.footing = confirmed ? Footing::leaving : Footing::presumed;
  if (!confirmed) return confirmed.error();
  shared_.may_presume = false;
  return false;
}

// What a Replicator of this process left when it went to rest is as good as what it would know had it stayed, and
// for as long.
bool Publisher::is_known(const Time& now) const {
  const Remembered* const known = shared_.options.known.get();
  if (known == nullptr || known->published_hash == 0 || shared_.options.adopt != Adopt::none) return false;
  const LocalRecord record = shared_.local->record();
  return record.proven && record.lineage == known->lineage && record.published == known->published &&
         record.published_hash == known->published_hash && record.intent <= record.published &&
         !is_too_long_ago(known->heard, now, shared_.options.replaced_grace_ms);
}

Result<Finding> Publisher::find(const Time& now) {
  goes_on_from_rest_ = is_known(now);
  if (!goes_on_from_rest_) return find_out(shared_.attach_context());
  const Remembered& known = *shared_.options.known;
  Finding finding;
  finding.start = Start::go_on;
  finding.lineage = finding.head.lineage = known.lineage;
  finding.head.newest = known.published;
  finding.head.footer.points.emplace_back();
  finding.head.footer.points.back().hash_after = known.published_hash;
  finding.head.has_snapshot = known.has_snapshot;
  finding.head.newest_snapshot = known.newest_snapshot;
  finding.head.newest_snapshot_time_ms = known.newest_snapshot_ms;
  return finding;
}

void Publisher::remember(Remembered& known) const {
  const LocalRecord record = shared_.local->record();
  known.lineage = record.lineage;
  known.published = record.published;
  known.published_hash = record.published_hash;
  known.heard = heard_;
  known.next_summary_us = next_summary_us_;
  MutexLock hold(shared_.mutex);
  known.has_snapshot = shared_.status.has_snapshot;
  known.newest_snapshot = shared_.newest_snapshot;
  known.newest_snapshot_ms = shared_.newest_snapshot_ms;
}

Result<bool> Publisher::attach_afresh(const Finding& finding, const Time& now) {
  auto base = attach(shared_.attach_context(), finding, now);
  if (!base) {
    MutexLock hold(shared_.mutex);
    shared_.footing = Footing::none;
    return base.error();
  }
  stand_firm(base->lineage, finding, &*base, now);
  return true;
}

void Publisher::stand_firm(const Id128& lineage, const Finding& finding, Base* base, const Time& now) {
  const LocalRecord record = shared_.local->record();
  attached_ = true;
  heard_ = now;
  if (goes_on_from_rest_) {
    heard_ = shared_.options.known->heard;
    next_summary_us_ = shared_.options.known->next_summary_us;
  }
  patience_.reset();
  const bool has_history = finding.start != Start::begin;
  if (has_history && !finding.head.has_snapshot) shared_.snapshot_requested = true;
  if (record.unreachable_from.value > 0) shared_.snapshot_requested = shared_.whole_requested = true;
  MutexLock hold(shared_.mutex);
  shared_.footing = Footing::firm;
  shared_.status.phase = Phase::opening;
  shared_.status.lineage = lineage.hex();
  shared_.status.has_snapshot = has_history && finding.head.has_snapshot && record.unreachable_from.value == 0;
  // One that is on its way is as good as made now.
  shared_.newest_snapshot = finding.head.newest_snapshot;
  shared_.newest_snapshot_ms =
      shared_.status.has_snapshot ? finding.head.newest_snapshot_time_ms : now.wall_ms;
  shared_.status.published_sequence = record.published.value;
  if (has_history) shared_.status.published_time_ms = finding.head.footer.last_time_ms;
  shared_.status.store_trouble.clear();
  shared_.published = record.published;
  if (base == nullptr) return;  // capture has begun already
  shared_.status.captured_sequence = base->sequence.value;
  shared_.spool = std::move(base->spool);
  shared_.base = std::move(*base);
}

// True: one was published.
Result<bool> Publisher::publish_front(Spool& spool, const Time& now) {
  // A put into a folder of this machine takes a moment, and is over when the process is.
  spool.hold_small_front_in(shared_.store.capabilities().puts_on_this_machine ? SmallFront::memory
                                                                              : SmallFront::front_file);
  const auto segment = spool.front();
  if (!segment) return false;
  const bool goes_beside_newest = may_go_beside_newest(segment->sequence);
  if (!goes_beside_newest) CAIRN_TRY(expect_still_there(shared_));
  CAIRN_TRY(look_for_others_when_due(now));
  CAIRN_TRY(note_intent(*segment, now));
  Result<std::optional<std::string>> placed = put(*segment);
  if (!placed && placed.error().kind() == ErrorKind::not_found && goes_beside_newest) {
    newest_etag_.clear();  // merged into another object by now, or away: that is found the long way
    return publish_front(spool, now);
  }
  if (!placed && placed.error().kind() == ErrorKind::conflict) {  // unless it is another replica that has the key
    CAIRN_TRY(expect_still_there(shared_));
  }
  CAIRN_ASSIGN(std::optional<std::string> etag, std::move(placed));
  bool is_there = etag.has_value();
  if (is_there && (etag->empty() || !goes_beside_newest)) {
    const std::string key = segment::segment_key(shared_.options.replica, segment->sequence);
    CAIRN_ASSIGN(is_there, lies_beside(shared_, {key, *etag}));
  }
  if (!is_there) return Error(ErrorKind::retry_later, "the store lost the segment on its way");
  newest_put_ = segment->sequence;
  newest_etag_ = *etag;
  CAIRN_TRY(shared_.local->note_published(segment->sequence, segment->hash_after, segment->has_file));
  {
    MutexLock hold(shared_.mutex);
    shared_.published = segment->sequence;
    shared_.status.published_sequence = segment->sequence.value;
    shared_.status.published_time_ms = segment->time_ms;
    ++shared_.status.published_segments;
    shared_.status.published_bytes += segment->size_bytes;
  }
  spool.pop(std::move(*etag));
  put_bytes_ = segment->size_bytes;
  last_time_ = heard_ = now;
  return true;
}

// A put ends with a power loss, and only then can a note be lost that was not synced. So one note is synced for all
// that is put within the next seconds; what then lies there is ours by its writer and its time. That costs a
// comparison, so only where one takes a moment, and where it is known which boot this is. Whoever goes on from a copy
// of the state directory later than that is refused as ever.
Result<void> Publisher::note_intent(const SpooledSegment& segment, const Time& now) {
  const Id128 boot = boot_of(shared_.options);
  const bool can_be_covered = !segment.has_file && !boot.is_zero();
  const bool is_covered = can_be_covered && now.mono_us < covered_before_us_ &&
                          is_intended_at(shared_.local->record(), segment.time_ms);
  if (!is_covered) covered_before_us_ = 0;
  CAIRN_TRY(shared_.local->update(is_covered ? Sync::no : Sync::yes, [&](LocalRecord& r) {
    r.intent = segment.sequence;
    r.intent_hash = segment.hash_after;
    if (is_covered) return;
    r.intent_until_ms = can_be_covered ? segment.time_ms + kIntentAhead_ms : 0;
    r.intent_boot = boot;
  }));
  if (!is_covered) covered_before_us_ = now.mono_us + kIntentAhead_ms * kUsPerMs;
  return {};
}

// What has waited while a store was away must not keep it, and the wire, from everything else once it is back.
std::int64_t Publisher::next_turn_us(const Spool& spool, const Time& now) {
  SharedSpool* const shared = shared_.options.shared_spool;
  return shared == nullptr || spool.count() == 0 ? now.mono_us : shared->next_turn_us(now.mono_us, put_bytes_);
}

// That a segment's key is free says that nobody else was there only as long as nobody else's can have been merged and
// removed. After a while without a word from the store, in which another writer may have taken the history over, what
// is there is looked at before more is put.
Result<void> Publisher::look_for_others_when_due(const Time& now) {
  if (!is_too_long_ago(heard_, now, shared_.options.replaced_grace_ms)) return {};
  const LocalRecord record = shared_.local->record();
  CAIRN_TRY(expect_nobody_else(shared_.store, shared_.options.replica, record.published, record.writer));
  heard_ = now;
  return {};
}

void Publisher::summarize(const LocalRecord& record, const Time& now, Claim& claim) const {
  claim.writer = record.writer;
  claim.host = shared_.options.host;
  claim.page_size = record.page_size;
  claim.latest_wal_sequence = std::max(claim.latest_wal_sequence, record.published.value);
  claim.last_modified_ms = now.wall_ms;
}

// Now and then, and on a clean stop. The replica is whole without it: a failure is no failure, unless the claim is
// gone because the replica is.
Result<void> Publisher::write_summary(const Time& now) {
  const LocalRecord record = shared_.local->record();
  next_summary_us_ = now.mono_us + kSummary_us;
  summarized_ = record.published;
  const auto updated = update_claim(shared_.store, shared_.options.replica, record.lineage,
                                    [&](Claim& claim) { summarize(record, now, claim); });
  if (updated) missed_at_.reset();
  // conflict: another's, or changed this very moment.
  const bool missed =
      !updated && (updated.error().kind() == ErrorKind::not_found || updated.error().kind() == ErrorKind::conflict);
  if (!missed) return {};
  next_summary_us_ = now.mono_us + kSecondLook_us;
  if (!missed_at_) {
    missed_at_ = record.published;
    return {};
  }
  CAIRN_TRY(look_for_replica(*missed_at_));
  missed_at_.reset();
  // Only the summary was removed.
  Claim claim;
  claim.lineage = record.lineage;
  summarize(record, now, claim);
  (void)create_claim(shared_.store, shared_.options.replica, claim);
  return {};
}

Result<void> Publisher::renew_claim_when_due(const Time& now) {
  const LocalRecord record = shared_.local->record();
  if (is_claimed_ || !record.proven) return {};
  Claim claim;
  claim.lineage = record.lineage;
  summarize(record, now, claim);
  auto renewed = renew_claim(shared_.store, shared_.options.replica, record, claim);
  // Somebody was faster: the next look tells.
  if (!renewed && renewed.error().kind() == ErrorKind::conflict) return renewed.error().as(ErrorKind::maybe_done);
  CAIRN_ASSIGN(is_claimed_, renewed);
  return {};
}

// conflict: what had been published when the claim was missed first cannot be restored any more.
Result<void> Publisher::look_for_replica(Sequence published) {
  return expect_restorable(shared_.store, shared_.options.replica, published, known_to(shared_.attach_context()),
                           first_snapshot(shared_));
}

// Where the replica may go from under us, it is still there if what was put last is.
bool Publisher::may_go_beside_newest(Sequence sequence) const {
  return shared_.store.capabilities().looking_is_free && newest_put_.next() == sequence && !newest_etag_.empty();
}

// The etag; empty: it lay there already. Nothing: the store has lost it on its way.
Result<std::optional<std::string>> Publisher::put(const SpooledSegment& segment) {
  if (segment.bytes) return put(segment.sequence, BytesSource(*segment.bytes));
  CAIRN_ASSIGN(auto file, shared_.files.open(segment.path, OpenMode::read));
  const FileSource body(*file, segment.size_bytes);
  CAIRN_ASSIGN(const std::uint64_t hash, hash_of_file(body));
  if (hash != segment.file_hash) {
    return Error(ErrorKind::corrupt,
                 fmt::format("{} is not what was written to it: its disk loses what it is given. At the next start "
                             "what it held is taken from the database again",
                             segment.path));
  }
  return put(segment.sequence, body);
}

Result<std::optional<std::string>> Publisher::put(Sequence sequence, const Source& body) {
  Store& store = shared_.store;
  const std::string key = segment::segment_key(shared_.options.replica, sequence);
  auto put = [&] {
    if (!may_go_beside_newest(sequence)) return store.put_new(key, body);
    return store.put_new_beside(key, body, {segment::segment_key(shared_.options.replica, newest_put_), newest_etag_});
  }();
  if (put) return std::optional(std::move(*put));
  const ErrorKind kind = put.error().kind();
  if (kind != ErrorKind::conflict && kind != ErrorKind::maybe_done) return put.error().with("publish " + key);
  CAIRN_ASSIGN(const bool ours, is_ours(key, body));
  if (!ours && kind == ErrorKind::conflict) return Error(ErrorKind::retry_later, key + " was there and is gone");
  return ours ? std::optional<std::string>("") : std::nullopt;
}

// True: the object under `key` is `body`. False: there is none. conflict: there is another one.
Result<bool> Publisher::is_ours(const std::string& key, const Source& body) {
  CAIRN_ASSIGN(const Lies there, what_lies_there(shared_.store, key, body));
  if (there != Lies::other) return there == Lies::same;
  return Error(ErrorKind::conflict,
               fmt::format("another writer has published {}: this one stops, so that the replica keeps one history. If "
                           "the local database is the right one, run again with --adopt local; if the replica is, "
                           "with --adopt remote.",
                           key));
}

void Publisher::finish() {
  if (attached_ && shared_.local->record().published != summarized_) (void)write_summary(last_time_);
}

// What may pass is tried again, later and later; the rest ends this Replicator.
Result<Step> Publisher::trouble(const Error& error, const Time& now) {
  const auto wait_us = patience_.wait_us(error, shared_.random);
  if (!wait_us) return error;
  if (const auto spool = shared_.current_spool(); spool && spool->put_front_aside()) (void)shared_.local->write_down();
  not_before_us_ = now.mono_us + *wait_us;
  shared_.set_status([&](ReplicatorStatus& s) {
    s.store_trouble = error.message();
    s.store_trouble_kind = error.kind();
    ++s.store_errors[static_cast<std::size_t>(error.kind())];
  });
  return Step{not_before_us_};
}

}  // namespace cairn::replicate
