#include "replicate/still_there.h"

#include <algorithm>
#include <optional>

#include "fmt/format.h"
#include "restore/head.h"
#include "restore/metadata.h"
#include "restore/plan.h"
#include "restore/replica.h"
#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::replicate {

namespace {

// Of what was published last, or of the claim. not_found: it is not there. corrupt: it does not say.
Result<Id128> lineage_there(Store& store, const std::string& newest, std::string_view replica, Sequence published) {
  if (published.value > 0) {
    CAIRN_ASSIGN(const auto reader, segment::ObjectReader::open(store, newest));
    return reader->footer().lineage;
  }
  CAIRN_ASSIGN(const restore::Metadata claim, restore::read_metadata(store, replica));
  return claim.lineage;
}

// Whether what the store ends with is what was published last, or what was to be next, with all that comes before it.
Result<bool> holds(Store& store, std::string_view replica, const restore::HeadState& head, const LocalRecord& record,
                   FirstSnapshot known) {
  if (head.lineage != record.lineage) return false;
  if (head.newest == record.published) return true;
  if (!is_intent(record, head.footer)) return false;
  const FirstSnapshot first = head.has_snapshot ? FirstSnapshot::published : known;
  const auto restorable = expect_restorable(store, replica, head.newest, {}, first);
  if (!restorable && restorable.error().kind() != ErrorKind::conflict) return restorable.error();
  return restorable.has_value();
}

// A claim that is garbled is one: it says nothing of another history.
Result<bool> has_claim(Store& store, std::string_view replica, const Id128& lineage) {
  const auto claim = restore::read_metadata(store, replica);
  if (claim) return claim->lineage == lineage;
  const ErrorKind kind = claim.error().kind();
  if (kind == ErrorKind::corrupt || kind == ErrorKind::not_found) return kind == ErrorKind::corrupt;
  return claim.error().with("look at " + segment::metadata_key(replica));
}

// That the replica is away as of `record`, in words; empty: it is there.
Result<std::string> missed(const Shared& shared, const LocalRecord& record) {
  Store& store = shared.store;
  const std::string& replica = shared.options.replica;
  const FirstSnapshot first = first_snapshot(shared);
  const Sequence published = record.published;
  const std::string newest =
      published.value > 0 ? segment::segment_key(replica, published) : segment::metadata_key(replica);
  CAIRN_ASSIGN(const bool is_claimed, has_claim(store, replica, record.lineage));
  const auto there = lineage_there(store, newest, replica, published);
  const bool is_ours = there ? *there == record.lineage : there.error().kind() == ErrorKind::corrupt;
  const bool says_all = published.value > 0 || first == FirstSnapshot::under_way;
  if (is_ours && is_claimed && says_all) return std::string();
  const bool is_known = there || is_ours || there.error().kind() == ErrorKind::not_found;
  if (!is_known) return there.error().with("look at " + newest);
  // It may have been merged into another object.
  const auto head = restore::read_head(store, replica);
  if (head && is_claimed) {
    CAIRN_ASSIGN(const bool is_held, holds(store, replica, *head, record, first));
    if (is_held) return std::string();
  }
  const bool is_garbled = !head && head.error().kind() == ErrorKind::corrupt;
  if (is_garbled && is_claimed && is_ours) return std::string();  // what is damaged is there
  const bool is_mixed = !head && head.error().kind() == ErrorKind::conflict;  // its claim and its objects disagree
  if (!head && !is_mixed && head.error().kind() != ErrorKind::not_found) return head.error();
  const bool is_same_history = head && is_claimed && head->lineage == record.lineage;
  if (is_same_history) CAIRN_TRY(expect_nobody_else(store, replica, published, record.writer));
  const bool is_other = is_mixed || (there && !is_ours) || (head && head->lineage != record.lineage);
  const std::string what = says_all ? newest : "the first snapshot";
  return fmt::format("{} is not in {} any more, although it was published from here: was something unmounted, moved or "
                     "mounted there? {}Nothing more is published until it is back; if it is gone for good, stop, and "
                     "run again: that tells what can be done.",
                     what, store.url(), is_other ? "What lies there is of another history. " : "");
}

// What is published from here meanwhile is nobody else's: then it is looked at anew.
Result<std::string> missed(const Shared& shared) {
  while (true) {
    const LocalRecord before = shared.local->record();
    Result<std::string> away = missed(shared, before);
    if (away && away->empty()) return away;
    const LocalRecord after = shared.local->record();
    if (after.published == before.published && after.intent == before.intent) return away;
  }
}

}  // namespace

FirstSnapshot first_snapshot(const Shared& shared) {
  MutexLock hold(shared.mutex);
  return shared.status.has_snapshot ? FirstSnapshot::published : FirstSnapshot::under_way;
}

Result<void> expect_still_there(const Shared& shared) {
  if (!shared.store.capabilities().looking_is_free) return {};
  CAIRN_ASSIGN(std::string away, missed(shared));
  if (away.empty()) return {};
  return Error(ErrorKind::retry_later, std::move(away));
}

Result<bool> lies_beside(const Shared& shared, const JustPut& put) {
  Store& store = shared.store;
  if (!store.capabilities().looking_is_free) return true;
  CAIRN_ASSIGN(std::string away, missed(shared));  // a look that failed says nothing: what was put stays
  if (!away.empty()) {
    const auto stray = store.look(put.key);
    if (stray && !put.etag.empty() && stray->etag == put.etag) (void)store.remove(put.key);
    return Error(ErrorKind::retry_later, std::move(away));
  }
  const auto found = store.look(put.key);
  if (!found && found.error().kind() == ErrorKind::not_found) return false;
  if (!found) return found.error().with("look at what was put");
  return put.etag.empty() || found->etag == put.etag;
}

Result<bool> renew_claim(Store& store, std::string_view replica, const LocalRecord& record, const Claim& claim) {
  if (!store.capabilities().looking_is_free) return true;
  const auto there = read_claim(store, replica);
  if (!there && there.error().kind() != ErrorKind::corrupt) return there.error();
  if (!there || *there) return true;
  const auto restorable = expect_restorable(store, replica, record.published, {}, FirstSnapshot::published);
  if (!restorable && restorable.error().kind() != ErrorKind::conflict) return restorable.error();
  if (!restorable) return false;
  CAIRN_TRY(create_claim(store, replica, claim));
  return true;
}

Result<void> expect_nobody_else(Store& store, std::string_view replica, Sequence published, const Id128& writer) {
  const auto head = restore::read_head(store, replica);
  // That all of it is gone is for others to find out; and a listing that is late shows less than there is.
  if (!head && head.error().kind() == ErrorKind::not_found) return {};
  if (!head) return head.error();
  const bool is_ours = head->newest <= published ||
                       (head->newest == published.next() && head->footer.writer == writer);
  if (is_ours) return {};
  return Error(ErrorKind::conflict,
               fmt::format("another writer has published to {} (segment {}; the last one from here is {}): this one "
                           "stops, so that the replica keeps one history. If the local database is the right one, run "
                           "again with --adopt local; if the replica is, with --adopt remote.",
                           restore::location(store, replica), head->newest.value, published.value));
}

Result<void> expect_restorable(Store& store, std::string_view replica, Sequence published,
                               const restore::Known& known, FirstSnapshot first) {
  CAIRN_ASSIGN(auto snapshots, restore::list_snapshots(store, replica));
  if (first == FirstSnapshot::under_way) {  // of sequence 0, as if it were there
    snapshots.emplace_back().name.kind = segment::KeyKind::snapshot;
  }
  std::optional<Sequence> before;
  for (const auto& [name, size_bytes, stops] : snapshots) {
    if (name.last <= published) before = std::max(before.value_or(name.last), name.last);
  }
  CAIRN_ASSIGN(auto segments, restore::list_segments(store, replica, before.value_or(published)));
  CAIRN_TRY(restore::add_what_follows(store, replica, known, snapshots, segments));
  CAIRN_TRY(restore::add_what_is_missing(store, replica, known, published, snapshots, segments));
  if (restore::cheapest_cover(snapshots, segments, published)) return {};
  // Or what is newer: a segment that was merged with later ones cannot be left in its middle.
  if (const Sequence newest = restore::newest_of(snapshots, segments);
      newest > published && restore::cheapest_cover(snapshots, segments, newest)) {
    return {};
  }
  return Error(ErrorKind::conflict,
               fmt::format("{} has lost what was published to it from here (up to segment {}): was it deleted, or the "
                           "bucket emptied? Nothing more is published. If it is to begin anew, run again with --adopt "
                           "local.",
                           restore::location(store, replica), published.value));
}

}  // namespace cairn::replicate
