// A snapshot is put under its key only once the segment whose state it holds has been published: a writer that has lost
// the history to another one cannot add a snapshot of its own to it.
#include "replicate/snapshot_upload.h"

#include <algorithm>

#include "replicate/claim.h"
#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::replicate {
namespace {
constexpr std::int64_t kIdle_us = 200'000;
constexpr std::int64_t kBusy_us = 1'000;
constexpr std::uint64_t kPartBytes = 8ull << 20;
}  // namespace

Result<Step> SnapshotUpload::step(const Time& now) {
  if (now.mono_us < not_before_us_) return Step{not_before_us_};
  const auto job = shared_.current_job();
  if (job != job_) begin(job);
  if (!job_) return Step{now.mono_us + kIdle_us};

  auto advanced = advance(*job_);
  if (!advanced && advanced.error().kind() == ErrorKind::cancelled) {  // capture gave it up
    drop();
    return Step{now.mono_us};
  }
  if (!advanced) {
    if (!may_pass(advanced.error().kind())) return advanced.error();
    not_before_us_ = now.mono_us + backoff_.next_us(shared_.random);
    shared_.set_status([&](ReplicatorStatus& s) {
      s.store_trouble = advanced.error().message();
      s.store_trouble_kind = advanced.error().kind();
    });
    return Step{not_before_us_};
  }
  backoff_.reset();
  if (!*advanced) return Step{now.mono_us + kBusy_us};
  CAIRN_TRY(published(*job_, now));
  drop();
  return Step{now.mono_us + kIdle_us};
}

void SnapshotUpload::begin(const std::shared_ptr<SnapshotJob>& job) {
  drop();
  job_ = job;
  if (!job_) return;
  const StoreCapabilities can = shared_.store.capabilities();
  // Never more parts than the store takes, even if nothing compresses.
  part_bytes_ =
      std::max({kPartBytes, can.min_part_bytes,
                job_->data_size_bytes * 11 / 10 / static_cast<std::uint64_t>(std::max(1, can.max_parts - 1))});
}

void SnapshotUpload::drop() {
  if (job_ && !upload_id_.empty()) (void)shared_.store.abort_upload(job_->key, upload_id_);
  {
    MutexLock hold(shared_.mutex);
    if (shared_.job == job_) shared_.job.reset();
    if (!shared_.job) shared_.status.snapshot_pages_total = shared_.status.snapshot_pages_done = 0;
  }
  job_.reset();
  buffer_.bytes = Bytes();
  upload_id_.clear();
  parts_.clear();
  sent_bytes_ = 0;
  drained_ = false;
}

// True: the snapshot is in the store.
Result<bool> SnapshotUpload::advance(SnapshotJob& job) {
  if (buffer_.bytes.size() >= part_bytes_) {
    CAIRN_TRY(send_part(job));
    return false;
  }
  if (!drained_) {
    CAIRN_ASSIGN(drained_, job.writer->drain(buffer_, 0));
    return false;
  }
  {
    MutexLock hold(shared_.mutex);
    if (shared_.published < job.sequence) return false;
  }
  return finish(job);
}

Result<void> SnapshotUpload::send_part(SnapshotJob& job) {
  if (!shared_.store.capabilities().multipart) {
    return Error(ErrorKind::unsupported, shared_.store.url() + " takes no object of several parts: the database is "
                                         "too large for it");
  }
  if (upload_id_.empty()) {
    CAIRN_TRY(abort_left_over());
    CAIRN_ASSIGN(upload_id_, shared_.store.begin_upload(job.key));
  }
  const int number = static_cast<int>(parts_.size()) + 1;
  const ByteView body = ByteView(buffer_.bytes).first(std::min<std::uint64_t>(part_bytes_, buffer_.bytes.size()));
  auto part = shared_.store.put_part(job.key, upload_id_, number, BytesSource(body));
  if (!part && part.error().kind() == ErrorKind::not_found) {  // expired, or aborted by somebody: begin anew
    shared_.snapshot_requested = true;
    return part.error().as(ErrorKind::cancelled);
  }
  if (!part) return part.error();
  parts_.push_back(std::move(*part));
  sent_bytes_ += body.size();
  buffer_.bytes.erase(buffer_.bytes.begin(), buffer_.bytes.begin() + static_cast<std::ptrdiff_t>(body.size()));
  return {};
}

// Uploads that a killed process has left: a replica has one writer, and that writes one snapshot at a time.
Result<void> SnapshotUpload::abort_left_over() {
  CAIRN_ASSIGN(const auto uploads, shared_.store.list_uploads(segment::snapshot_prefix(shared_.options.replica)));
  for (const UploadInfo& upload : uploads) CAIRN_TRY(shared_.store.abort_upload(upload.key, upload.upload_id));
  return {};
}

Result<bool> SnapshotUpload::finish(SnapshotJob& job) {
  if (!upload_id_.empty() && !buffer_.bytes.empty()) {
    CAIRN_TRY(send_part(job));
    return false;
  }
  if (upload_id_.empty()) sent_bytes_ = buffer_.bytes.size();
  auto put = upload_id_.empty() ? shared_.store.put_new(job.key, BytesSource(buffer_.bytes))
                                : shared_.store.complete_new(job.key, upload_id_, parts_);
  if (put) {
    upload_id_.clear();
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
        return Error(ErrorKind::conflict, job.key + ": another replicator has begun this replica: this one stops. If "
                                          "the local database is the right one, run again with --adopt local; if the "
                                          "replica is, with --adopt remote.");
      }
      // Expired, or the key is taken by another snapshot of the same second: the next one gets another key.
      shared_.snapshot_requested = true;
      return Error(ErrorKind::cancelled, put.error().message());
    }
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
  {
    MutexLock hold(shared_.mutex);
    shared_.status.has_snapshot = true;
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
