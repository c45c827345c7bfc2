// The cases, by what is found.
//
//   store          local state            what happens
//   nothing        nothing                claim it (create-only), begin
//   nothing        begun, or published    refuse: the replica vanished          (--adopt local: begin anew)
//   claim only     same lineage           begin: we died before the first snapshot
//   claim only     other or none          refuse: somebody is beginning it      (--adopt local: take over)
//   segments, no claim, no snapshot       refuse: the rest of a replica that vanished
//     same lineage                                                              (--adopt local: go on, snapshot first)
//   history        same lineage, and its head is what we published, or what we meant to publish: go on
//   history        same lineage, else     refuse: another writer, or the store was rolled back   (--adopt local)
//   history        other or none          must equal the head                   (--adopt local: publish the difference)
//
// "Meant to publish": an intent is written before every put, and synced. So after any crash the store can be at most
// one segment ahead of what we know, and that segment has the hash that we noted; anything else was written by
// somebody else. Only of small segments of small databases one note is synced for ten seconds of them
// (LocalRecord::intent_until_ms). After a kill it is as above; after a power loss the store may be ahead by what this
// writer put in these seconds, and capture begins with a comparison.
//
// Without the store, the column on the left is presumed from the one in the middle: what is remembered is there. What
// is captured on that becomes part of the replica only when the store says the same; if it does not, it is thrown away,
// and the database is compared with what the store holds, as if nothing had been captured.
#include "replicate/attach.h"

#include <algorithm>

#include "fmt/format.h"
#include "replicate/claim.h"
#include "restore/head.h"
#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::replicate {

restore::Known known_to(const AttachContext& c) {
  const LocalRecord record = c.local.record();
  restore::Known known;
  known.published = record.published;
  known.intent = record.intent;
  known.begun_ms = record.begun_ms;
  if (record.bundle_level > 0 && record.bundle_last == record.published) {
    known.bundle = segment::merged_key(c.options.replica, record.bundle_level, record.bundle_first, record.bundle_last);
  }
  return known;
}

namespace {

std::string place(const AttachContext& c) {
  return c.options.replica.empty() ? c.store.url() : fmt::format("{}/{}", c.store.url(), c.options.replica);
}

constexpr const char* kAdoptHint =
    "If the local database is the right one, run again with --adopt local (its difference becomes the next segment, "
    "older states stay restorable); if the replica is, with --adopt remote.";

Result<Base> open_base(const AttachContext& c, const Id128& lineage) {
  Base base;
  base.lineage = lineage;
  const LocalRecord record = c.local.record();
  base.writer = record.writer;
  const Sequence published = record.lineage == lineage ? record.published : Sequence(0);
  CAIRN_ASSIGN(base.spool,
               Spool::open(c.files, spool_path(c.options), lineage, published, c.kept, c.options.shared_spool));
  CAIRN_ASSIGN(base.hashes, PageHashes::open(c.files, join_path(c.options.state_directory, "page_hashes")));
  return base;
}

enum class Proven { yes, no };  // that the local database continues what is published

// Forgets all that was known of an earlier history, and remembers this one.
Result<void> start_record(const AttachContext& c, const Id128& lineage, Sequence published, std::uint64_t hash,
                          Proven proven, std::int64_t begun_ms = 0) {
  return c.local.update(Sync::yes, [&](LocalRecord& r) {
    const Id128 writer = r.writer.is_zero() ? c.random.id() : r.writer;
    r = LocalRecord{};
    r.writer = writer;
    r.lineage = lineage;
    r.published = r.intent = r.captured = published;
    r.published_hash = r.intent_hash = r.captured_hash = hash;
    r.proven = proven == Proven::yes;
    r.begun_ms = begun_ms;
  });
}

Result<Base> begin(const AttachContext& c, const Id128& lineage, std::int64_t begun_ms) {
  CAIRN_TRY(start_record(c, lineage, Sequence(0), 0, Proven::yes, begun_ms));
  CAIRN_ASSIGN(Base base, open_base(c, lineage));
  CAIRN_TRY(base.spool->clear());
  base.start = Start::begin;
  base.begun_ms = begun_ms;
  return base;
}

// The lineage is known here before the claim can be seen there: a crash in between leaves a claim that is ours.
Result<void> put_claim(const AttachContext& c, const Id128& lineage, std::int64_t begun_ms, const Time& now) {
  Claim claim;
  claim.lineage = lineage;
  claim.writer = c.local.record().writer;
  claim.host = c.options.host;
  claim.begun_ms = begun_ms;
  claim.last_modified_ms = now.wall_ms;
  auto created = create_claim(c.store, c.options.replica, claim);
  // Somebody was faster, or our own put was answered twice: the next look at the store tells.
  if (!created && created.error().kind() == ErrorKind::conflict) return created.error().as(ErrorKind::maybe_done);
  return created;
}

Result<Base> claim_and_begin(const AttachContext& c, const Time& now) {
  const LocalRecord record = c.local.record();
  const Id128 lineage = record.lineage.is_zero() || record.published.value > 0 ? c.random.id() : record.lineage;
  CAIRN_ASSIGN(Base base, begin(c, lineage, now.wall_ms));
  CAIRN_TRY(put_claim(c, lineage, base.begun_ms, now));
  return base;
}

// Who adopts goes on from what is there, although the claim may speak of more. Left so, it would keep each restore of
// the newest state from believing that it is the newest. Before anything is remembered: an end in between asks again.
Result<void> claim_no_more_than(const AttachContext& c, const Id128& lineage, Sequence newest) {
  if (c.options.adopt != Adopt::local) return {};
  CAIRN_ASSIGN(const auto claim, read_claim(c.store, c.options.replica));
  if (!claim || claim->latest_wal_sequence <= newest.value) return {};
  const auto updated = update_claim(c.store, c.options.replica, lineage, [&](Claim& changed) {
    changed.latest_wal_sequence = std::min(changed.latest_wal_sequence, newest.value);
  });
  if (updated || updated.error().kind() == ErrorKind::unsupported) return {};
  // Somebody writes it this very moment: the next look at the store tells.
  const bool was_replaced =
      updated.error().kind() == ErrorKind::conflict || updated.error().kind() == ErrorKind::not_found;
  return was_replaced ? updated.error().as(ErrorKind::maybe_done) : updated.error();
}

// What was left without its claim is this one's now.
Result<void> claim_what_is_adopted(const AttachContext& c, const Id128& lineage, const Time& now) {
  if (c.options.adopt != Adopt::local) return {};
  const auto claim = read_claim(c.store, c.options.replica);
  if (!claim) return claim.error().kind() == ErrorKind::corrupt ? Result<void>{} : claim.error();
  return *claim ? Result<void>{} : put_claim(c, lineage, 0, now);
}

Result<Finding> find_no_history(const AttachContext& c) {
  const LocalRecord record = c.local.record();
  const bool adopt = c.options.adopt == Adopt::local;
  CAIRN_ASSIGN(auto claim, read_claim(c.store, c.options.replica));
  // JSON has no checksum: what looks like another's may have been garbled on its way.
  if (claim && claim->lineage != record.lineage) {
    CAIRN_ASSIGN(claim, read_claim(c.store, c.options.replica));
  }
  const bool was_ours = !claim || claim->lineage == record.lineage;
  // The claim is put before the first snapshot is begun, whose hash the record has, and before any segment: without a
  // claim it has vanished.
  const bool had_put = record.published_hash != 0 || record.intent.value > 0;
  const bool had_begun = record.published.value > 0 || (!claim && had_put);
  if (was_ours && had_begun && !adopt) {
    const std::string had = record.published.value > 0
                                ? fmt::format("{} segments have been published to it", record.published.value)
                                : "a replica has been begun in it";
    return Error(ErrorKind::conflict,
                 fmt::format("{} is empty, but {} from here: was it deleted, or is another store mounted there? If it "
                             "is to begin anew, run again with --adopt local.",
                             place(c), had));
  }
  if (!claim) return Finding{};
  if (record.lineage == claim->lineage || adopt) {
    return Finding{.start = Start::begin, .lineage = claim->lineage, .begun_ms = claim->begun_ms, .head = {}};
  }
  return Error(ErrorKind::conflict,
               fmt::format("{} was claimed at {} by another replicator (host {}), which has published nothing yet. If "
                           "that one is gone for good, run again with --adopt local.",
                           place(c), format_time(claim->last_modified_ms), claim->host));
}

// Rebuilds the page hashes of the published head from the store, then of the spooled segments after it.
Result<void> rebuild_hashes(const AttachContext& c, Base& base, Sequence published) {
  PageHashes& table = *base.hashes;
  const auto room = [&](std::uint32_t page_size, std::uint32_t count) -> Result<std::span<std::uint64_t>> {
    base.page_size = page_size;
    CAIRN_TRY(table.resize(count));
    return table.all();
  };
  CAIRN_ASSIGN(const auto point, restore::read_page_hashes(c.store, c.options.replica, published, room, known_to(c)));
  base.hash = point.hash_after;
  base.sequence = published;
  for (const SpooledSegment& spooled : base.spool->all()) {
    CAIRN_ASSIGN(auto file, c.files.open(spooled.path, OpenMode::read));
    const FileSource source(*file, spooled.size_bytes);
    CAIRN_ASSIGN(auto reader, segment::ObjectReader::open(source, spooled.path));
    CAIRN_ASSIGN(const auto index, reader->index());
    if (spooled.page_size != base.page_size) CAIRN_TRY(table.resize(0));
    base.page_size = spooled.page_size;
    CAIRN_TRY(table.resize(spooled.page_count));
    for (std::size_t i = 0; i < index.pages.size(); ++i) table.set(index.pages[i], index.hashes[i]);
    base.hash = spooled.hash_after;
    base.sequence = spooled.sequence;
  }
  if (table.database_hash() != base.hash) {
    return Error(ErrorKind::corrupt, fmt::format("{}: the page hashes of segment {} do not add up to its database hash",
                                                 place(c), base.sequence.value));
  }
  return {};
}

// The spool continues the published head, or it is of no use.
Result<void> align_spool(Base& base, const restore::HeadState& head) {
  const Sequence published = head.newest;
  const std::uint64_t published_hash = head.footer.hash_after();
  base.spool->pop_published(published, &head.footer);
  const auto front = base.spool->front();
  if (front && (front->sequence != published.next() || front->hash_before != published_hash))
    return base.spool->clear();
  return {};
}

// With no page known, every page of the database counts as different from the head.
void restate(Base& base, const restore::HeadState& head) {
  base.sequence = head.newest;
  base.hash = head.footer.hash_after();
  base.page_size = 0;
}

// True when the local table is right: its pages add up to the state that local state, spool and store agree on.
Result<bool> settle_hashes(const AttachContext& c, Base& base, Sequence published, std::uint64_t published_hash) {
  const LocalRecord record = c.local.record();
  const auto back = base.spool->back();
  base.sequence = back ? back->sequence : published;
  base.hash = back ? back->hash_after : published_hash;
  base.page_size = record.page_size;
  if (record.captured == base.sequence && record.captured_hash == base.hash && record.page_count > 0) {
    CAIRN_TRY(base.hashes->adopt(record.page_count));
    if (base.hashes->database_hash() == base.hash) return true;
  }
  CAIRN_TRY(base.hashes->resize(0));
  return false;
}

// Of the head's pages. Where only damage leads to it, who was told to begin anew (with the database as it is, or with a
// snapshot that has nothing of the old ones) needs none: all pages are published, and a snapshot.
Result<void> know_pages(const AttachContext& c, Base& base, const restore::HeadState& head) {
  const auto rebuilt = rebuild_hashes(c, base, head.newest);
  if (rebuilt) return c.local.update(Sync::no, [](LocalRecord& r) { r.unreachable_from = Sequence(); });
  if (rebuilt.error().kind() != ErrorKind::corrupt) return rebuilt;
  const bool begins_anew = c.options.adopt == Adopt::local || c.options.copy_unchanged == CopyUnchanged::no;
  if (!begins_anew) {
    return Error(ErrorKind::corrupt, fmt::format("{}. When it is lost for good, 'cairn snapshot --whole' goes on from "
                                                 "what the database is now", rebuilt.error().message()));
  }
  restate(base, head);
  CAIRN_TRY(c.local.update(Sync::yes, [&](LocalRecord& r) { r.unreachable_from = head.newest.next(); }));
  CAIRN_TRY(base.hashes->resize(0));
  return base.spool->clear();
}

Result<Base> go_on(const AttachContext& c, const restore::HeadState& head) {
  CAIRN_TRY(c.local.update(Sync::no, [&](LocalRecord& r) {
    r.published = head.newest;
    r.published_hash = head.footer.hash_after();
  }));
  CAIRN_ASSIGN(Base base, open_base(c, head.lineage));
  base.start = Start::go_on;
  base.has_snapshot = head.has_snapshot;
  CAIRN_TRY(align_spool(base, head));
  CAIRN_ASSIGN(const bool known, settle_hashes(c, base, head.newest, head.footer.hash_after()));
  if (known) return base;
  if (head.has_snapshot) {
    CAIRN_TRY(know_pages(c, base, head));
  } else {
    restate(base, head);
    CAIRN_TRY(base.spool->clear());
  }
  return base;
}

Result<Finding> find_foreign(const AttachContext& c, const restore::HeadState& head) {
  const bool adopt = c.options.adopt == Adopt::local;
  if (!head.has_snapshot && !adopt) {
    return Error(ErrorKind::conflict,
                 fmt::format("{} belongs to another replicator, whose first snapshot is not there yet. If that one is "
                             "gone for good, run again with --adopt local.",
                             place(c)));
  }
  const Start start = adopt ? Start::adopt : Start::must_equal;
  return Finding{.start = start, .lineage = head.lineage, .begun_ms = 0, .head = head};
}

Result<Base> attach_to_foreign(const AttachContext& c, const Finding& finding) {
  const restore::HeadState& head = finding.head;
  CAIRN_TRY(claim_no_more_than(c, head.lineage, head.newest));
  // Not before the database was compared: a refusal has to be one at the next start too, whatever the head's number.
  CAIRN_TRY(start_record(c, head.lineage, head.newest, head.footer.hash_after(), Proven::no));
  CAIRN_ASSIGN(Base base, open_base(c, head.lineage));
  CAIRN_TRY(base.spool->clear());
  base.start = finding.start;
  base.has_snapshot = head.has_snapshot;
  if (auto claim = read_claim(c.store, c.options.replica); claim && *claim) base.previous_host = (*claim)->host;
  restate(base, head);
  if (head.has_snapshot) CAIRN_TRY(know_pages(c, base, head));
  if (base.start == Start::must_equal) {  // it was to be found out only that the head can be restored
    restate(base, head);
    CAIRN_TRY(base.hashes->resize(0));
  }
  return base;
}

// A claim is put before everything else, so segments without one and without a snapshot are what came after somebody
// had removed all that was there.
Result<void> expect_more_than_a_rest(const AttachContext& c, const restore::HeadState& head) {
  if (head.has_snapshot || c.options.adopt == Adopt::local) return {};
  CAIRN_ASSIGN(const auto claim, read_claim(c.store, c.options.replica));
  if (claim) return {};
  return Error(ErrorKind::conflict,
               fmt::format("{} has lost its snapshots and its metadata.json: was it deleted, or the bucket emptied? If "
                           "it is to begin anew, run again with --adopt local.",
                           place(c)));
}

Result<Finding> find_history(const AttachContext& c, const restore::HeadState& head) {
  const LocalRecord record = c.local.record();
  const bool adopt = c.options.adopt == Adopt::local;
  if (record.lineage != head.lineage || !record.proven) return find_foreign(c, head);
  CAIRN_TRY(expect_more_than_a_rest(c, head));

  const std::uint64_t head_hash = head.footer.hash_after();
  const bool is_published = head.newest == record.published && head_hash == record.published_hash;
  const bool is_exact = is_published || is_intent(record, head.footer);
  const bool is_by_time = !is_exact && is_intended_by_time(record, head.footer, boot_of(c.options));
  Sequence published = record.published;
  if (is_by_time) {
    CAIRN_ASSIGN(const auto claim, read_claim(c.store, c.options.replica));
    if (claim && claim->lineage == record.lineage) {
      published = std::max(published, Sequence(claim->latest_wal_sequence));
    }
  }
  if (is_exact || (is_by_time && published <= head.newest)) {
    return Finding{.start = Start::go_on, .lineage = head.lineage, .head = head, .has_lost_notes = is_by_time};
  }
  if (adopt) return find_foreign(c, head);
  if (head.newest < published) {
    return Error(
        ErrorKind::conflict,
        fmt::format("{} ends at segment {}, but segment {} has been published from here: objects were removed, "
                    "or the store was rolled back. {}",
                    place(c), head.newest.value, published.value, kAdoptHint));
  }
  return Error(ErrorKind::conflict,
               fmt::format("another writer has published to {} (segment {}; the last one from here is {}). {}",
                           place(c), head.newest.value, record.published.value, kAdoptHint));
}

// A spool that follows what was published, or an empty one.
bool follows(const Spool& spool, Sequence published, std::uint64_t hash) {
  const auto front = spool.front();
  return !front || (front->sequence == published.next() && front->hash_before == hash);
}

// Of a spool that goes on being added to.
Result<bool> confirm_history(const AttachContext& c, const restore::HeadState& head, Sequence presumed, Spool& spool) {
  const LocalRecord record = c.local.record();
  if (head.newest == record.published) return head.newest == presumed;
  // The store is ahead, by the segment that was meant to be put, or by what a power loss took the notes of: it must be
  // what capture stands on, or the one that the spool begins with.
  const auto front = spool.front();
  const std::uint64_t head_hash = head.footer.hash_after();
  const bool is_presumed = head.newest == presumed && head.newest == record.intent && head_hash == record.intent_hash;
  const bool is_front = front && front->sequence == head.newest && front->hash_after == head_hash;
  if (!is_presumed && !is_front) return false;
  CAIRN_TRY(c.local.update(Sync::no, [&](LocalRecord& r) {
    r.published = head.newest;
    r.published_hash = head_hash;
  }));
  spool.pop_published(head.newest, &head.footer);
  return true;
}

}  // namespace

std::string spool_path(const ReplicatorOptions& options) { return join_path(options.state_directory, "spool"); }

Result<Finding> find_out(const AttachContext& context) {
  auto head = restore::find_head(context.store, context.options.replica, known_to(context));
  if (!head && head.error().kind() == ErrorKind::not_found) return find_no_history(context);
  if (!head) return head.error();
  return find_history(context, *head);
}

Result<Base> attach(const AttachContext& context, const Finding& finding, const Time& now) {
  switch (finding.start) {
    case Start::begin:
      if (finding.lineage.is_zero()) return claim_and_begin(context, now);
      CAIRN_TRY(claim_no_more_than(context, finding.lineage, Sequence(0)));
      return begin(context, finding.lineage, finding.begun_ms);
    case Start::go_on:
      CAIRN_TRY(claim_what_is_adopted(context, finding.head.lineage, now));
      return go_on(context, finding.head);
    default:
      CAIRN_TRY(claim_what_is_adopted(context, finding.head.lineage, now));
      return attach_to_foreign(context, finding);
  }
}

Result<std::optional<Base>> presume(const AttachContext& context, const Time& now) {
  const LocalRecord record = context.local.record();
  // Nor was anything meant to be: what was may be there.
  const bool nothing_published =
      record.published.value == 0 && record.published_hash == 0 && record.intent.value == 0;
  if (record.lineage.is_zero() || (record.proven && nothing_published)) {
    const Id128 lineage = record.lineage.is_zero() ? context.random.id() : record.lineage;
    CAIRN_ASSIGN(Base base, begin(context, lineage, record.begun_ms != 0 ? record.begun_ms : now.wall_ms));
    return std::optional(std::move(base));
  }
  if (!record.proven) return std::optional<Base>();
  CAIRN_ASSIGN(Base base, open_base(context, record.lineage));
  base.start = Start::go_on;
  base.spool->pop_published(record.published, nullptr);
  // That what was meant to be put has been may not be noted yet.
  const bool is_put = record.intent == record.published.next() && record.captured >= record.intent &&
                      follows(*base.spool, record.intent, record.intent_hash);
  base.published = is_put ? record.intent : record.published;
  const std::uint64_t hash = is_put ? record.intent_hash : record.published_hash;
  // A power loss may have taken what was remembered last: only the store can tell then.
  if (!follows(*base.spool, base.published, hash)) return std::optional<Base>();
  CAIRN_ASSIGN(const bool known, settle_hashes(context, base, base.published, hash));
  if (!known) return std::optional<Base>();
  return std::optional(std::move(base));
}

Result<bool> confirm(const AttachContext& context, const Finding& finding, const Presumption& presumed, Spool& spool,
                     const Time& now) {
  if (finding.start != presumed.start) return false;
  if (finding.start == Start::go_on) return confirm_history(context, finding.head, presumed.published, spool);
  if (finding.start != Start::begin) return false;
  if (!finding.lineage.is_zero()) {
    CAIRN_TRY(claim_no_more_than(context, finding.lineage, Sequence(0)));
    return finding.lineage == presumed.lineage && finding.begun_ms == presumed.begun_ms;
  }
  CAIRN_TRY(put_claim(context, presumed.lineage, presumed.begun_ms, now));
  return true;
}

}  // namespace cairn::replicate
