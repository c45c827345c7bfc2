#include "layer/part_journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cairn::layer {
namespace {

constexpr int kWait_ms = 100;  // between two looks at whether the caller wants to stop

Error damaged_spool_part(int number) {
  return Error(ErrorKind::io, fmt::format("part {} in the spool is not what was written to it: is the disk sound? Run "
                                          "the sync again",
                                          number));
}

}  // namespace

int PartJournal::first_open() const {
  for (const auto& [number, part] : parts_) {
    if (!part.is_acknowledged()) return number;
  }
  return last() + 1;
}

Result<int> PartJournal::look() {
  CAIRN_ASSIGN(const auto journaled, n_.state.parts(n_.container));
  parts_.clear();
  for (const JournaledPart& part : journaled) parts_[part.number] = part;
  CAIRN_TRY(find_kept());
  if (!n_.pending.upload_id.empty()) {
    CAIRN_ASSIGN(const auto listed, n_.store.list_parts(n_.pending.temporary_key, n_.pending.upload_id));
    for (auto& [number, part] : parts_) {
      const bool there = std::ranges::any_of(listed, [&](const PartInfo& info) {
        return info.number == part.number && info.etag == part.etag && info.size_bytes == part.size_bytes;
      });
      if (there) continue;
      part.etag.clear();
      kept_.erase(number);
    }
    if (!listed.empty()) highest_there_ = listed.back().number;
  }
  int good = 0;
  for (const auto& [number, part] : parts_) {
    if (number != good + 1) break;
    if (!part.is_acknowledged() && !part.is_copy()) {
      CAIRN_ASSIGN(const auto source, n_.spool.find(part));
      if (!source) break;
    }
    good = number;
  }
  return good;
}

Result<void> PartJournal::go_on_behind(int last) {
  parts_.erase(parts_.upper_bound(last), parts_.end());
  CAIRN_TRY(n_.state.begin());
  CAIRN_TRY(n_.state.drop_behind(n_.container, last));
  CAIRN_TRY(n_.state.put_pending(n_.container, n_.pending));  // without its end it is not archived any more
  for (const auto& [number, part] : parts_) CAIRN_TRY(n_.state.put_part(n_.container, part));
  CAIRN_TRY(n_.state.commit());
  CAIRN_TRY(n_.spool.keep_only(last));
  kept_.erase(kept_.upper_bound(last), kept_.end());
  count_spooled();
  make_room();
  CAIRN_TRY(pass(n_.hook, "resumed"));
  if (is_one_put() && n_.pending.stage == Stage::archived) return {};
  for (const auto& [number, part] : parts_) {
    if (part.is_acknowledged()) continue;
    CAIRN_TRY(wait_for_room());
    CAIRN_TRY(send(part));
  }
  return {};
}

Result<void> PartJournal::note(const std::vector<JournaledPart>& parts) {
  for (const JournaledPart& part : parts) {
    parts_[part.number] = part;
    if (!part.is_copy()) spooled_bytes_ += part.size_bytes;
    CAIRN_TRY(n_.state.put_part(n_.container, part));
  }
  return {};
}

Result<void> PartJournal::add(std::vector<JournaledPart> parts, const Checkpoint& behind, std::optional<int> needed) {
  CAIRN_TRY(wait_for_room());
  CAIRN_TRY(pass(n_.hook, "part-written"));
  CAIRN_TRY(n_.state.begin());
  CAIRN_TRY(note(parts));
  CAIRN_TRY(n_.state.put_checkpoint(n_.container, behind, std::min(first_open(), needed.value_or(behind.part) + 1)));
  CAIRN_TRY(n_.state.commit());
  make_room();  // for the next one
  CAIRN_TRY(pass(n_.hook, "part-journaled"));
  for (const JournaledPart& part : parts) CAIRN_TRY(send(part));
  return collect();
}

Result<void> PartJournal::add_last(std::optional<JournaledPart> part) {
  CAIRN_TRY(wait_for_room());
  CAIRN_TRY(pass(n_.hook, "last-part-written"));
  CAIRN_TRY(n_.state.begin());
  if (part) CAIRN_TRY(note({*part}));
  n_.pending.stage = Stage::archived;
  CAIRN_TRY(n_.state.put_pending(n_.container, n_.pending));
  CAIRN_TRY(n_.state.commit());
  CAIRN_TRY(pass(n_.hook, "archived"));
  if (part && !is_one_put()) CAIRN_TRY(send(*part));
  return {};
}

// What a crash left of an upload that the journal does not know is under the same key, which nobody else uses.
Result<void> PartJournal::ensure_upload() {
  if (uploads_) return {};
  const std::string& key = n_.pending.temporary_key;
  if (n_.pending.upload_id.empty()) {
    if (!n_.store.capabilities().multipart) {
      return Error(ErrorKind::unsupported,
                   n_.store.url() + " takes no object in several parts: the layer is too large for it");
    }
    CAIRN_ASSIGN(const auto left, n_.store.list_uploads(key));
    for (const UploadInfo& upload : left) CAIRN_TRY(n_.store.abort_upload(upload.key, upload.upload_id));
    CAIRN_TRY(pass(n_.hook, "upload-wanted"));
    CAIRN_ASSIGN(std::string id, n_.store.begin_upload(key));
    CAIRN_TRY(pass(n_.hook, "upload-begun"));
    n_.pending.upload_id = std::move(id);
    CAIRN_TRY(n_.state.begin());
    CAIRN_TRY(n_.state.put_pending(n_.container, n_.pending));
    CAIRN_TRY(n_.state.commit());
    CAIRN_TRY(pass(n_.hook, "upload-journaled"));
  }
  uploads_ = std::make_unique<PartUploads>(n_.store, n_.transfers, key, n_.pending.upload_id);
  return {};
}

Result<void> PartJournal::send(const JournaledPart& part) {
  CAIRN_TRY(ensure_upload());
  if (part.is_copy()) {
    uploads_->copy(part.number, part.source_key, part.source_offset, part.size_bytes);
    return {};
  }
  CAIRN_ASSIGN(auto source, n_.spool.find(part));
  if (!source) return damaged_spool_part(part.number);
  uploads_->put(part.number, std::move(source));
  return {};
}

Result<void> PartJournal::wait_for_room() {
  while (uploads_ && !uploads_->room()) {
    if (n_.stop.stop_requested()) wind_up(stopped());
    CAIRN_TRY(collect());
    if (!uploads_->room()) uploads_->wait(kWait_ms);
  }
  return {};
}

void PartJournal::wind_up(const Error& why) {
  if (!failure_) failure_ = why;
  (void)collect();
}

// A part that failed ends the sync, but not before it is known what became of the others.
Result<void> PartJournal::collect() {
  while (uploads_) {
    while (const auto part = uploads_->next_finished()) CAIRN_TRY(finished(part->info, part->number));
    if (!failure_) return {};
    if (!uploads_->is_idle()) {
      uploads_->wait(kWait_ms);
      continue;
    }
    return *failure_;
  }
  return {};
}

Result<void> PartJournal::finished(const Result<PartInfo>& info, int number) {
  JournaledPart& part = parts_.at(number);
  if (!info) {
    find_cause(part, info.error().kind());
    if (!failure_) failure_ = info.error().with(fmt::format("send part {} of a layer", number));
    return {};
  }
  CAIRN_TRY(pass(n_.hook, "part-arrived"));
  part.etag = info->etag;
  if (!part.is_copy()) sent_bytes_ += part.size_bytes;
  CAIRN_TRY(n_.state.begin());
  CAIRN_TRY(n_.state.acknowledge(n_.container, number, part.etag));
  CAIRN_TRY(n_.state.commit());
  CAIRN_TRY(pass(n_.hook, "part-acknowledged"));
  if (part.is_copy()) return {};
  kept_[number] = part.size_bytes;
  make_room();
  return {};
}

void PartJournal::find_cause(const JournaledPart& part, ErrorKind kind) {
  const auto is_there = [&] {
    const auto listed = n_.store.list_parts(n_.pending.temporary_key, n_.pending.upload_id);
    return listed || listed.error().kind() != ErrorKind::not_found;
  };
  const bool passes = kind == ErrorKind::retry_later || kind == ErrorKind::maybe_done || kind == ErrorKind::denied ||
                      kind == ErrorKind::io || kind == ErrorKind::corrupt;
  // Of a copy it may be the source that is not found.
  if (kind == ErrorKind::not_found && (!part.is_copy() || !is_there())) lose_upload();
  else if (part.is_copy() && !passes) copies_are_refused_ = true;
}

// After a crash the spool itself tells which ones have stayed.
Result<void> PartJournal::find_kept() {
  CAIRN_ASSIGN(const auto there, n_.spool.numbers());
  kept_.clear();
  for (const auto& [number, part] : parts_) {
    if (part.is_acknowledged() && !part.is_copy() && there.contains(number)) kept_[number] = part.size_bytes;
  }
  return {};
}

void PartJournal::count_spooled() {
  spooled_bytes_ = 0;
  for (const auto& [number, part] : parts_) {
    const bool is_open = !part.is_acknowledged() && !part.is_copy();
    if (is_open || kept_.contains(number)) spooled_bytes_ += part.size_bytes;
  }
}

void PartJournal::make_room() {
  const std::uint64_t next_bytes = n_.pending.stage == Stage::archiving ? n_.pending.part_bytes : 0;
  while (!kept_.empty() && spooled_bytes_ + next_bytes > n_.spool_limit_bytes) let_go_of_oldest();
}

void PartJournal::let_go_of_oldest() {
  const auto& [number, size_bytes] = *kept_.begin();
  n_.spool.remove(number);
  spooled_bytes_ -= size_bytes;
  kept_.erase(kept_.begin());
}

bool PartJournal::let_go() {
  const bool had_any = !kept_.empty();
  while (!kept_.empty()) let_go_of_oldest();
  return had_any;
}

// A copy needs no bytes, and what is not acknowledged has a checkpoint before it.
Result<int> PartJournal::first_not_kept() {
  CAIRN_ASSIGN(const auto journaled, n_.state.parts(n_.container));
  for (const JournaledPart& part : journaled) {
    if (!part.is_acknowledged() || part.is_copy()) continue;
    CAIRN_ASSIGN(const auto source, n_.spool.find(part));
    if (!source) return part.number;
  }
  return 0;
}

// In the journal alone: what this has in memory may have failed to become part of it.
Result<void> PartJournal::start_over() {
  uploads_.reset();
  CAIRN_TRY(n_.store.abort_upload(n_.pending.temporary_key, n_.pending.upload_id));  // it may be there, and of no use
  CAIRN_TRY(pass(n_.hook, "upload-given-up"));
  CAIRN_TRY(n_.state.begin());
  CAIRN_TRY(n_.state.forget_upload(n_.container));
  CAIRN_TRY(n_.state.commit());
  return pass(n_.hook, "upload-forgotten");
}

Result<void> PartJournal::settle() {
  for (;;) {
    if (n_.stop.stop_requested()) wind_up(stopped());
    CAIRN_TRY(collect());
    if (!uploads_ || uploads_->none_under_way()) return {};
    uploads_->wait(kWait_ms);
  }
}

bool PartJournal::has_copies() const {
  return std::ranges::any_of(parts_, [](const auto& part) { return part.second.is_copy(); });
}

std::vector<PartInfo> PartJournal::infos() const {
  std::vector<PartInfo> infos;
  for (const auto& [number, part] : parts_) infos.push_back({number, part.etag, part.size_bytes});
  return infos;
}

}  // namespace cairn::layer
