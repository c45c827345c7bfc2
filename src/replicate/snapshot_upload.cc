// A snapshot is put under its key only once the segment whose state it holds has been published: a writer that has lost
// the history to another one cannot add a snapshot of its own to it.
//
// A large one goes up in parts of equal size, several at a time. Which parts the store has acknowledged is journalled:
// after a kill the next process makes the same bytes again, as far as the database is the same (compression is
// deterministic, and a first snapshot keeps its key), and sends only the parts that are not there yet.
#include "replicate/snapshot_upload.h"

#include <algorithm>
#include <utility>

#include "replicate/claim.h"
#include "replicate/still_there.h"
#include "segment/keys.h"
#include "segment/reader.h"
#include "segment/running_hash.h"
#include "store/part_size.h"

namespace cairn::replicate {
namespace {
// Both end with a change of the status: the phase's, and that of the pages that are to be read.
constexpr std::int64_t kUntilAttached_us = 2'000'000;
constexpr std::int64_t kNoJob_us = 3600ll * 1'000'000;
constexpr std::int64_t kBusy_us = 1'000;
constexpr std::uint64_t kMostInFlightBytes = 128ull << 20;
constexpr std::int64_t kLeftOver_ms = 24ll * 3600 * 1000;
constexpr std::uint32_t kMostCopying = 6;    // snapshots in a row that take ranges from the one before

// Larger than the snapshot can get: zstd adds a few bytes a block to what it cannot compress, a hash is 8 bytes a page.
std::uint64_t most_bytes_of(const SnapshotJob& job) { return job.data_size_bytes + job.data_size_bytes / 10; }
}  // namespace

Result<Step> SnapshotUpload::step(const Time& now) {
  if (now.mono_us < not_before_us_) return Step{not_before_us_};
  // Not before it is known which replica this is.
  if (!shared_.is_firm()) return Step{now.mono_us + kUntilAttached_us};
  if (auto looked = look_for_interrupted(); !looked) return trouble(looked.error(), now);
  if (auto ended = end_left_over(now); !ended) return trouble(ended.error(), now);
  const auto job = shared_.current_job();
  if (job != job_) begin(job);
  if (!job_) return Step{now.mono_us + kNoJob_us};

  auto advanced = advance(*job_);
  if (!advanced && advanced.error().kind() == ErrorKind::cancelled) {  // capture gave it up
    drop();
    return Step{now.mono_us};
  }
  if (!advanced) return trouble(advanced.error(), now);
  patience_.reset();
  if (!*advanced) return Step{now.mono_us + kBusy_us};
  CAIRN_TRY(published(*job_, now));
  drop();
  return Step{now.mono_us};  // the next one may have begun
}

Result<Step> SnapshotUpload::trouble(const Error& error, const Time& now) {
  const auto wait_us = patience_.wait_us(error, shared_.random);
  if (!wait_us) return error;
  not_before_us_ = now.mono_us + *wait_us;
  shared_.set_status([&](ReplicatorStatus& s) {
    s.store_trouble = error.message();
    s.store_trouble_kind = error.kind();
    ++s.store_errors[static_cast<std::size_t>(error.kind())];
  });
  return Step{not_before_us_};
}

// A snapshot that an earlier process was asked for and did not finish is made after all. (A first one is made anyway.)
Result<void> SnapshotUpload::look_for_interrupted() {
  if (looked_for_interrupted_) return {};
  const auto upload = journal_.read();
  if (upload && *upload && (*upload)->sequence.value > 0) {
    auto head = shared_.store.head((*upload)->key);
    if (head) CAIRN_TRY(journal_.end());  // it was completed, and then we died
    if (!head && head.error().kind() != ErrorKind::not_found) return head.error();
    if (!head) {
      MutexLock hold(shared_.mutex);
      shared_.interrupted = InterruptedSnapshot{(*upload)->sequence, (*upload)->time_ms};
      shared_.snapshot_requested = true;
    }
  }
  looked_for_interrupted_ = true;
  return {};
}

// Uploads that earlier processes left and nobody goes on with cost storage for ever. They are looked for once, when it
// is known that the replica is this one's to write. A store that cannot list them is no reason to stop. Those of
// segments and merged objects may be a put that is under way, here or in a compactor: they are left over after a day.
Result<void> SnapshotUpload::end_left_over(const Time& now) {
  constexpr int kTries = 3;
  if (left_over_tries_ == kTries || !shared_.local->record().proven) return {};
  ++left_over_tries_;
  const auto journalled = journal_.read();
  auto uploads = shared_.store.list_uploads(segment::replica_prefix(shared_.options.replica));
  const auto passes = [](const Error& error) {
    return error.kind() == ErrorKind::retry_later || error.kind() == ErrorKind::maybe_done;
  };
  if (!uploads && passes(uploads.error())) return uploads.error();
  for (const UploadInfo& upload : uploads.value_or(std::vector<UploadInfo>())) {
    const auto name = segment::parse_key(shared_.options.replica, upload.key);
    if (!name) continue;
    const bool may_go_on = name->kind == segment::KeyKind::snapshot
                               ? journalled && *journalled && (*journalled)->upload_id == upload.upload_id
                               : upload.begun_ms + kLeftOver_ms > now.wall_ms;
    if (may_go_on || upload.upload_id == upload_id_) continue;
    auto aborted = shared_.store.abort_upload(upload.key, upload.upload_id);
    if (!aborted && passes(aborted.error())) return aborted.error();
  }
  left_over_tries_ = kTries;
  return {};
}

void SnapshotUpload::begin(const std::shared_ptr<SnapshotJob>& job) {
  drop();
  job_ = job;
  part_bytes_ = least_part_bytes();
}

std::uint64_t SnapshotUpload::least_part_bytes() const {
  return std::max(shared_.options.part_bytes, shared_.store.capabilities().min_part_bytes);
}

// Never more parts than the store takes, even if nothing compresses. A store may take fewer than it says: that is found
// out where it matters.
Result<void> SnapshotUpload::choose_part_size(const SnapshotJob& job) {
  if (most_parts_) return {};
  const std::uint64_t least_bytes = least_part_bytes(), most_bytes = most_bytes_of(job);
  int most = kPartsThatAllTake;
  if (part_bytes_for(most_bytes, least_bytes, most) > least_bytes) {
    CAIRN_ASSIGN(most, most_parts(shared_.store, job.key));
  }
  most_parts_ = most;
  // Some more than is needed now, so that an upload can be gone on with when the database has grown a little.
  part_bytes_ = part_bytes_for(most_bytes + most_bytes / 8, least_bytes, most);
  return {};
}

void SnapshotUpload::drop() {
  uploads_.reset();  // waits for the parts under way
  if (job_ && !upload_id_.empty()) {
    if (shared_.store.abort_upload(job_->key, upload_id_)) (void)journal_.end();
  }
  {
    MutexLock hold(shared_.mutex);
    if (shared_.job == job_) shared_.job.reset();
    if (!shared_.job) shared_.status.snapshot_pages_total = shared_.status.snapshot_pages_done = 0;
  }
  job_.reset();
  buffer_ = Buffer();
  upload_id_.clear();
  parts_.clear();
  there_.clear();
  hashes_.clear();
  there_numbers_.clear();
  newest_part_ = 0;
  sent_bytes_ = 0;
  drained_ = is_put_ = false;
  most_parts_.reset();
  copies_.reset();
}

// True: the snapshot is in the store.
Result<bool> SnapshotUpload::advance(SnapshotJob& job) {
  if (is_put_) return lies_there(job);
  if (uploads_) {
    uploads_->try_failed_again();
    CAIRN_TRY(collect_parts(job));
  }
  if (!job.planned) {
    CAIRN_TRY(plan(job));
    return false;
  }
  if (buffer_.bytes.size() >= cut_at_bytes()) {
    if (!uploads_ || uploads_->room()) CAIRN_TRY(send_part(job));
    return false;
  }
  if (is_at_run(job)) {
    CAIRN_TRY(copy_run(job));
    return false;
  }
  if (!drained_) {
    CAIRN_ASSIGN(drained_, job.writer->drain(buffer_, 0));
    return false;
  }
  Sequence published;
  {
    MutexLock hold(shared_.mutex);
    published = shared_.published;
  }
  if (published < job.sequence) return false;
  CAIRN_ASSIGN(is_put_, finish(job));
  return is_put_ ? lies_there(job) : false;
}

// Where the folder has gone while it was put, what was sent is lost; but that is known only once the folder is back.
Result<bool> SnapshotUpload::lies_there(SnapshotJob& job) {
  CAIRN_ASSIGN(const bool is_there, lies_beside(shared_, {job.key, put_etag_}));
  if (is_there) return true;
  CAIRN_ASSIGN(const bool ours, is_ours(job));  // under another etag: a file system that rounds its times
  if (ours) return true;
  give_up(job);
  return Error(ErrorKind::cancelled, job.key + " was lost on its way");
}

// Cuts a part off the buffer, and sends it unless the store has it.
Result<void> SnapshotUpload::send_part(SnapshotJob& job) {
  CAIRN_TRY(expect_still_there(shared_));
  if (upload_id_.empty()) {
    CAIRN_ASSIGN(const bool goes_on, resume(job));
    if (!goes_on && buffer_.bytes.size() >= part_bytes_) CAIRN_TRY(begin_upload(job));
  }
  const bool is_last = (drained_ && !upload_id_.empty()) || is_at_run(job);
  if (buffer_.bytes.size() < part_bytes_ && !is_last) return {};  // parts are to be larger than was thought
  // Between copies the last part has to be as long as any: it is not cut where little would be left.
  const bool is_rest = buffer_.bytes.size() < cut_at_bytes();
  const std::size_t size = is_rest ? buffer_.bytes.size() : part_bytes_;
  Bytes body = std::move(buffer_.bytes);  // what is behind is little: a part is not in memory twice
  buffer_.bytes = Bytes(body.begin() + static_cast<std::ptrdiff_t>(size), body.end());
  body.resize(size);
  buffer_.bytes.reserve(part_bytes_ + part_bytes_ / 2);
  segment::RunningHash hash;
  hash.add(body);
  const int number = ++newest_part_;
  const auto there = there_.find(number);
  if (there != there_.end() && there->second.source_key.empty() && there->second.hash == hash.value() &&
      there->second.info.size_bytes == body.size()) {
    parts_[number] = there->second;
    return {};
  }
  hashes_[number] = hash.value();
  sent_bytes_ += body.size();
  uploads_->put(number, std::move(body));
  return collect_parts(job);
}

// False: there is none that can be gone on with.
Result<bool> SnapshotUpload::resume(const SnapshotJob& job) {
  if (!shared_.store.capabilities().multipart) {
    return Error(ErrorKind::unsupported, shared_.store.url() + " takes no object of several parts: the database is "
                                         "too large for it");
  }
  CAIRN_TRY(choose_part_size(job));
  const auto journalled = journal_.read();
  if (!journalled || !*journalled || (*journalled)->key != job.key) return false;
  return go_on_with(**journalled, job);
}

Result<void> SnapshotUpload::begin_upload(const SnapshotJob& job) {
  CAIRN_TRY(abort_left_over());
  CAIRN_ASSIGN(upload_id_, shared_.store.begin_upload(job.key));
  send_parts_of(job);
  return journal_.begin({.key = job.key,
                         .upload_id = upload_id_,
                         .sequence = job.sequence,
                         .time_ms = job.time_ms,
                         .part_bytes = part_bytes_,
                         .parts = {}});
}

void SnapshotUpload::send_parts_of(const SnapshotJob& job) {
  uploads_ = std::make_unique<PartUploads>(shared_.store, shared_.transfers(), job.key, upload_id_,
                                           std::max<std::uint64_t>(1, kMostInFlightBytes / part_bytes_));
}

// False: the upload is gone, or its parts are too small by now.
Result<bool> SnapshotUpload::go_on_with(const JournaledUpload& upload, const SnapshotJob& job) {
  if (upload.part_bytes < part_bytes_for(most_bytes_of(job), least_part_bytes(), *most_parts_)) return false;
  auto listed = shared_.store.list_parts(upload.key, upload.upload_id);
  if (!listed && listed.error().kind() == ErrorKind::not_found) return false;
  if (!listed) return listed.error();
  JournaledUpload known = upload;
  known.parts.clear();
  for (const PartInfo& info : *listed) {
    there_numbers_.insert(info.number);
    const auto part = upload.parts.find(info.number);
    const bool same = part != upload.parts.end() && part->second.info.etag == info.etag &&
                      part->second.info.size_bytes == info.size_bytes;
    if (same) known.parts.insert(*part);
  }
  CAIRN_TRY(journal_.begin(known));
  there_ = std::move(known.parts);
  upload_id_ = upload.upload_id;
  part_bytes_ = upload.part_bytes;
  send_parts_of(job);
  return true;
}

// What was sent is lost: all of it has to be read again. Whichever comes last, the pass that reads or this, asks for
// it.
void SnapshotUpload::give_up(SnapshotJob& job) {
  job.dropped = true;
  if (job.ended) shared_.snapshot_requested = true;
}

Result<void> SnapshotUpload::collect_parts(SnapshotJob& job) {
  while (auto finished = uploads_->next_finished()) {
    Result<PartInfo>& info = finished->info;
    if (copies_ && copies_->is_part(finished->number)) {
      const Result<void> taken = copies_->take(finished->number, info, *uploads_);
      if (taken) continue;
      info = taken.error();
    }
    if (!info && info.error().kind() == ErrorKind::not_found) {  // expired, or aborted: begin anew
      give_up(job);
      return info.error().as(ErrorKind::cancelled);
    }
    if (!info) return info.error();
    const int number = finished->number;
    JournaledPart part;
    part.info = std::move(*info);
    part.hash = hashes_[number];
    hashes_.erase(number);
    parts_[number] = part;
    CAIRN_TRY(journal_.add(part));
  }
  return {};
}

// Uploads that a killed process has left: a replica has one writer, and that writes one snapshot at a time.
Result<void> SnapshotUpload::abort_left_over() {
  CAIRN_ASSIGN(const auto uploads, shared_.store.list_uploads(segment::snapshot_prefix(shared_.options.replica)));
  for (const UploadInfo& upload : uploads) CAIRN_TRY(shared_.store.abort_upload(upload.key, upload.upload_id));
  return {};
}

// A first snapshot is known here before it can be seen there: a crash in between must not make it look like somebody
// else's.
Result<void> SnapshotUpload::note_intent(const SnapshotJob& job) {
  if (job.sequence.value > 0) return {};
  const std::uint64_t hash = job.writer->footer().hash_after();
  return shared_.local->update(Sync::yes, [&](LocalRecord& r) {
    if (r.published.value == 0) r.published_hash = hash;
    if (r.intent.value == 0) r.intent_hash = hash;
  });
}

Result<bool> SnapshotUpload::finish(SnapshotJob& job) {
  if (!upload_id_.empty() && !buffer_.bytes.empty()) {
    if (uploads_->room()) CAIRN_TRY(send_part(job));
    return false;
  }
  if (uploads_ && !uploads_->none_under_way()) return false;
  const bool has_others = std::ranges::any_of(there_numbers_, [this](int number) { return !parts_.contains(number); });
  if (has_others && !shared_.store.capabilities().leaves_out_parts) {
    give_up(job);  // the database has become smaller since the upload was begun, or other parts of it are copied
    return Error(ErrorKind::cancelled, job.key + ": its upload has more parts than it needs");
  }
  CAIRN_TRY(expect_still_there(shared_));
  if (upload_id_.empty()) {
    sent_bytes_ = buffer_.bytes.size();
    // What an earlier process had begun in parts has become small enough to go whole.
    if (const auto journalled = journal_.read(); journalled && *journalled) CAIRN_TRY(abort_left_over());
  }
  if (copies_) CAIRN_TRY(check_copied_parts(job));
  CAIRN_TRY(note_intent(job));
  std::vector<PartInfo> parts;
  for (const auto& [number, part] : parts_) parts.push_back(part.info);
  auto put = upload_id_.empty() ? shared_.store.put_new(job.key, BytesSource(buffer_.bytes))
                                : shared_.store.complete_new(job.key, upload_id_, parts);
  put_etag_.clear();
  if (put) {
    upload_id_.clear();
    put_etag_ = std::move(*put);
    return true;
  }
  switch (put.error().kind()) {
    case ErrorKind::not_found:  // the upload is gone: it was completed, or has expired
    case ErrorKind::conflict:
    case ErrorKind::maybe_done: {
      CAIRN_ASSIGN(const bool ours, is_ours(job));
      if (ours) return true;
      if (put.error().kind() == ErrorKind::maybe_done) return put.error();
      if (put.error().kind() == ErrorKind::conflict && job.sequence.value == 0) {
        CAIRN_TRY(expect_still_there(shared_));
        return Error(ErrorKind::conflict, job.key + ": another replicator has begun this replica: this one stops. If "
                                          "the local database is the right one, run again with --adopt local; if the "
                                          "replica is, with --adopt remote.");
      }
      // Expired, or the key is taken by another snapshot of the same second: the next one gets another key.
      give_up(job);
      return Error(ErrorKind::cancelled, put.error().message());
    }
    case ErrorKind::invalid:
    case ErrorKind::unsupported:
      if (copies_ && copies_->copied_bytes() > 0) {
        CAIRN_TRY(shared_.local->update(Sync::yes, [](LocalRecord& r) { r.copies_refused = true; }));
        return without_copies(job, put.error().message());
      }
      return put.error().with("store " + job.key);
    default: return put.error().with("store " + job.key);
  }
}

// Whether the object under the job's key holds the same state of the same history.
Result<bool> SnapshotUpload::is_ours(const SnapshotJob& job) {
  auto reader = segment::ObjectReader::open(shared_.store, job.key);
  if (!reader && reader.error().kind() == ErrorKind::not_found) return false;
  if (!reader) return reader.error();
  // Another snapshot of the same second does as well, if it holds the same state.
  const segment::Footer& there = (*reader)->footer();
  const segment::Footer& mine = job.writer->footer();
  return there.kind == mine.kind && there.lineage == mine.lineage && there.last == mine.last &&
         there.page_size == mine.page_size && there.page_count() == mine.page_count() &&
         there.hash_after() == mine.hash_after();
}

Result<void> SnapshotUpload::published(const SnapshotJob& job, const Time& now) {
  CAIRN_TRY(journal_.end());
  const std::uint64_t copied_bytes = copies_ ? copies_->copied_bytes() : 0;
  const bool is_whole = copied_bytes == 0;
  bool another = false;
  CAIRN_TRY(shared_.local->update(Sync::no, [&](LocalRecord& r) {
    r.copies_left = is_whole ? kMostCopying : r.copies_left - 1;
    if (is_whole && job.sequence.next() >= r.unreachable_from) r.unreachable_from = Sequence();
    another = r.unreachable_from.value > 0;  // this one was begun before
  }));
  if (is_whole) sends_whole_ = shared_.whole_requested = false;
  if (another) shared_.snapshot_requested = shared_.whole_requested = true;
  {
    MutexLock hold(shared_.mutex);
    if (copies_ && copies_->trouble().empty()) shared_.status.copy_trouble.clear();
    shared_.status.snapshot_copied_bytes += copied_bytes;
    shared_.interrupted.reset();
    shared_.newest_snapshot = job.sequence;
    shared_.newest_snapshot_ms = now.wall_ms;
    shared_.newest_published_number = job.number;
    shared_.status.has_snapshot = !another;
    ++shared_.status.snapshots_published;
    shared_.status.published_bytes += sent_bytes_;
    shared_.status.store_trouble.clear();
  }
  // The summary for people; a replica is complete without it, so a failure here is no failure.
  (void)update_claim(shared_.store, shared_.options.replica, job.writer->footer().lineage, [&](Claim& claim) {
    claim.writer = shared_.local->record().writer;
    claim.host = shared_.options.host;
    claim.page_size = job.writer->footer().page_size;
    claim.latest_snapshot = job.key;
    claim.latest_snapshot_time_ms = job.time_ms;
    claim.latest_wal_sequence = std::max(claim.latest_wal_sequence, job.sequence.value);
    ++claim.snapshot_count;
    claim.last_modified_ms = now.wall_ms;
  });
  return {};
}

}  // namespace cairn::replicate
