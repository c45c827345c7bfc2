// The upload of a snapshot where the store copies what is the same in the last one: the plan, the runs, and what is
// done when it does not work.
#include <algorithm>
#include <utility>

#include "replicate/snapshot_upload.h"

namespace cairn::replicate {
namespace {
constexpr std::uint64_t kWorthCopying = 4;  // parts that the database would be, at least
}  // namespace

// Of a part beside copies: what the store wants, and not so little that a request costs more.
std::uint64_t SnapshotUpload::least_bytes() const {
  return std::max(shared_.store.capabilities().min_part_bytes, std::min<std::uint64_t>(part_bytes_, 1 << 20));
}

std::uint64_t SnapshotUpload::cut_at_bytes() const {
  return copies_ ? part_bytes_ + least_bytes() : part_bytes_;
}

bool SnapshotUpload::may_copy(const SnapshotJob& job) const {
  const StoreCapabilities can = shared_.store.capabilities();
  const LocalRecord record = shared_.local->record();
  if (shared_.options.copy_unchanged == CopyUnchanged::no || shared_.whole_requested) return false;
  return can.copy_part && can.multipart && !sends_whole_ && !record.copies_refused && record.copies_left > 0 &&
         job.data_size_bytes / kWorthCopying >= least_part_bytes();
}

// What of the job the store is to copy. The upload is looked for first, because the size of its parts counts.
Result<void> SnapshotUpload::plan(SnapshotJob& job) {
  if (!may_copy(job)) {
    job.planned = true;
    return {};
  }
  if (upload_id_.empty()) {
    CAIRN_ASSIGN(const bool goes_on, resume(job));
    if (!goes_on) CAIRN_TRY(choose_part_size(job));
  }
  CAIRN_ASSIGN(auto plan, plan_copies(shared_.store, shared_.options.replica, job,
                                      {.least_bytes = least_bytes(),
                                       .part_bytes = part_bytes_,
                                       .most_parts = *most_parts_}));
  if (plan) {
    if (upload_id_.empty()) CAIRN_TRY(begin_upload(job));
    copies_ = std::make_unique<SnapshotCopies>(shared_.store, *plan, there_);
    job.copies = std::move(plan);
  }
  job.planned = true;
  return {};
}

// All that is in front of the next run has been taken out of the writer.
bool SnapshotUpload::is_at_run(const SnapshotJob& job) {
  const CopiedRun* const run = copies_ ? copies_->next_run() : nullptr;
  return run != nullptr && job.writer->drained_blocks() == run->first_block;
}

// First what is in front of the run becomes a part, whatever its size: parts are numbered without a gap, which Amazon
// wants of those with checksums. Then the run is copied; and then the pass goes on.
Result<void> SnapshotUpload::copy_run(SnapshotJob& job) {
  if (const std::uint64_t rest_bytes = buffer_.bytes.size(); rest_bytes > 0) {
    if (rest_bytes < shared_.store.capabilities().min_part_bytes)
      return without_copies(job, "what lies between two ranges has become smaller than a part may be");
    return uploads_->room() ? send_part(job) : Result<void>();
  }
  if (!copies_->has_begun()) copies_->begin_run(newest_part_ + 1);
  copies_->hand_in(*uploads_);
  CAIRN_ASSIGN(const auto ended, copies_->end_run());
  if (!ended) return {};
  for (const JournaledPart& part : *ended) CAIRN_TRY(journal_.add(part));
  for (const JournaledPart& part : *ended) parts_[++newest_part_] = part;
  if (!copies_->trouble().empty()) {
    if (copies_->may_arrive_late()) return without_copies(job, copies_->trouble());
    note_no_copies(copies_->trouble());
    there_numbers_.insert(copies_->stray().begin(), copies_->stray().end());
  }
  copies_->leave_run(ended->empty() ? CopiedRun::State::ours : CopiedRun::State::copied);
  return {};
}

void SnapshotUpload::note_no_copies(const std::string& why) {
  if (std::exchange(sends_whole_, true)) return;
  shared_.set_status([&](ReplicatorStatus& s) {
    s.copy_trouble = shared_.store.url() + ": what the last snapshot has as well is sent again, because it was not "
                     "copied: " + why;
  });
}

// It begins anew, and all of it is sent.
Error SnapshotUpload::without_copies(SnapshotJob& job, const std::string& why) {
  note_no_copies(why);
  give_up(job);
  return Error(ErrorKind::cancelled, job.key + ": " + why);
}

// Before anybody can see the object: a store that copies something else than it was asked for is found out.
Result<void> SnapshotUpload::check_copied_parts(SnapshotJob& job) {
  if (copies_->copied_bytes() == 0) return {};
  const auto listed = shared_.store.list_parts(job.key, upload_id_);
  if (!listed && listed.error().kind() == ErrorKind::not_found) return {};  // completing it says that, too
  if (!listed) return listed.error();
  std::map<int, PartInfo> there;
  for (const PartInfo& info : *listed) there.emplace(info.number, info);
  for (const auto& [number, part] : parts_) {
    const auto at = there.find(number);
    const bool is_right =
        at != there.end() && at->second.size_bytes == part.info.size_bytes && at->second.etag == part.info.etag;
    if (is_right || part.source_key.empty()) continue;
    CAIRN_TRY(shared_.local->update(Sync::yes, [](LocalRecord& r) { r.copies_refused = true; }));
    return without_copies(job, "the store has copied another range than it was asked for");
  }
  return {};
}

}  // namespace cairn::replicate
