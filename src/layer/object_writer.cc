#include "layer/object_writer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace cairn::layer {
namespace {

constexpr std::uint64_t kMostCopyBytes = 4ull << 30;  // of one copied part; stores take 5 GiB

}  // namespace

Result<void> ObjectWriter::start(const Checkpoint& from) {
  position_ = from.position;
  CAIRN_ASSIGN(digest_, Sha256::restore(from.digest));
  CAIRN_ASSIGN(index_, IndexBuilder::restore(from.index));
  index_written_ = from.index_written;
  parts_cut_ = from.part;
  object_bytes_ = from.carry.size();
  for (const auto& [number, part] : parts_.parts()) {
    if (number <= from.part) object_bytes_ += part.size_bytes;
  }
  return append(from.carry);
}

Result<void> ObjectWriter::add(Frame frame, const std::optional<OlderBlock>& older) {
  const bool goes_on = older && run_ && run_->source_key == older->object_key &&
                       run_->source_offset + run_->length == older->block.offset;
  if (!goes_on) CAIRN_TRY(end_run());
  if (frame.piece.begins_file) set_mark();
  if (goes_on) return add_to_run(std::move(frame), *older);
  if (older && may_begin_run()) {
    run_.emplace();
    run_->source_key = older->object_key;
    run_->source_offset = older->block.offset;
    return add_to_run(std::move(frame), *older);
  }
  return add_own(frame);
}

bool ObjectWriter::may_begin_run() const {
  const std::uint64_t own_bytes = part_ ? part_->size_bytes() : 0;
  return parts_cut_ < limits_.last_copy_part && (own_bytes == 0 || own_bytes >= limits_.least_part_bytes);
}

Result<void> ObjectWriter::add_own(const Frame& frame) {
  CAIRN_CHECK(frame.packed);
  CAIRN_TRY(settled(frame, static_cast<std::uint32_t>(frame.bytes.size())));
  return append(frame.bytes);
}

Result<void> ObjectWriter::add_to_run(Frame frame, const OlderBlock& older) {
  Run& run = *run_;
  run.length += older.block.compressed_bytes;
  if (run.confirmed) return settled(frame, older.block.compressed_bytes);
  run.held.push_back(std::move(frame));
  run.source_bytes.push_back(older.block.compressed_bytes);
  if (run.length < limits_.least_copy_bytes) return {};
  run.confirmed = true;
  for (std::size_t i = 0; i < run.held.size(); ++i) CAIRN_TRY(settled(run.held[i], run.source_bytes[i]));
  run.held.clear();
  return {};
}

// A run that is too short is ours; else it becomes copied parts behind our own one, all noted together.
Result<void> ObjectWriter::end_run() {
  if (!run_) return {};
  Run run = std::move(*run_);
  run_.reset();
  if (!run.confirmed) {
    for (const Frame& frame : run.held) CAIRN_TRY(add_own(frame));
    return {};
  }
  std::vector<JournaledPart> parts;
  if (part_) parts.push_back(close_part());
  const std::uint64_t count = (run.length + kMostCopyBytes - 1) / kMostCopyBytes;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t begin = run.length * i / count, end = run.length * (i + 1) / count;
    parts.push_back({.number = ++parts_cut_,
                     .size_bytes = end - begin,
                     .source_key = run.source_key,
                     .source_offset = run.source_offset + begin,
                     .etag = {}});
  }
  CAIRN_ASSIGN(const Checkpoint checkpoint, checkpoint_behind(parts_cut_, {}));
  return parts_.add(std::move(parts), checkpoint, began_behind_);
}

void ObjectWriter::set_mark() {
  keep_marked();
  began_behind_ = parts_cut_;
  mark_ = Mark{.parts_cut = parts_cut_,
               .part = part_ ? std::optional(part_->mark()) : std::nullopt,
               .position = position_,
               .digest = digest_,
               .object_bytes = object_bytes_};
}

Result<Sha256> ObjectWriter::go_back() {
  CAIRN_CHECK(can_go_back());
  const Mark mark = std::move(*mark_);
  mark_.reset();
  marked_.clear();
  blocks_.clear();
  run_.reset();
  if (part_ && mark.part) CAIRN_TRY(part_->go_back(*mark.part));
  if (!mark.part) part_.reset();
  position_ = mark.position;
  digest_ = mark.digest;
  object_bytes_ = mark.object_bytes;
  return digest_;
}

Result<void> ObjectWriter::settled(const Frame& frame, std::uint32_t compressed_bytes) {
  const auto size_bytes = static_cast<std::uint32_t>(frame.size_bytes);
  IndexedFrame indexed{compressed_bytes, size_bytes, frame.piece.hash, frame.piece.finished};
  if (mark_) marked_.push_back(std::move(indexed));
  else index(indexed);
  if (frame.piece.file) {
    if (blocks_.empty()) first_block_ = frame.piece.block;
    file_ = frame.piece.file;
    blocks_.push_back({frame.piece.hash, object_bytes_, compressed_bytes, size_bytes});
  }
  position_ = frame.piece.after;
  digest_ = frame.digest;
  object_bytes_ += compressed_bytes;
  if (!frame.piece.file || frame.piece.finished.empty()) return {};
  keep_marked();  // the file is complete
  began_behind_.reset();
  return record_blocks();
}

void ObjectWriter::index(const IndexedFrame& frame) {
  index_.add_frame(frame.compressed_bytes, frame.size_bytes, frame.hash);
  for (const FinishedEntry& entry : frame.finished) index_.add_entry(entry.header, entry.content_hash, entry.contents);
}

// From here on there is no going back.
void ObjectWriter::keep_marked() {
  mark_.reset();
  for (const IndexedFrame& frame : marked_) index(frame);
  marked_.clear();
}

Result<void> ObjectWriter::record_blocks() {
  if (!blocks_.empty()) CAIRN_TRY(plan_.record_blocks(*file_, first_block_, blocks_));
  blocks_.clear();
  return {};
}

Result<void> ObjectWriter::append(ByteView bytes) {
  while (!bytes.empty()) {
    if (part_ && part_->size_bytes() == limits_.part_bytes) {
      const JournaledPart part = close_part();
      CAIRN_ASSIGN(const Checkpoint checkpoint, checkpoint_behind(part.number, bytes));
      CAIRN_TRY(parts_.add({part}, checkpoint, began_behind_));
    }
    if (!part_) {
      CAIRN_ASSIGN(part_, spool_.begin(parts_cut_ + 1));
    }
    const std::size_t fits = std::min<std::uint64_t>(bytes.size(), limits_.part_bytes - part_->size_bytes());
    CAIRN_TRY(part_->append(bytes.first(fits)));
    bytes = bytes.subspan(fits);
  }
  return {};
}

JournaledPart ObjectWriter::close_part() {
  JournaledPart part{.number = part_->number(),
                     .size_bytes = part_->size_bytes(),
                     .hash = part_->hash(),
                     .source_key = {},
                     .etag = {}};
  part_.reset();
  ++parts_cut_;
  return part;
}

Result<Checkpoint> ObjectWriter::checkpoint_behind(int part, ByteView carry) {
  keep_marked();
  CAIRN_TRY(record_blocks());
  return Checkpoint{.part = part,
                    .position = position_,
                    .digest = digest_.save(),
                    .index = index_.save(),
                    .index_written = index_written_,
                    .carry = Bytes(carry.begin(), carry.end())};
}

Result<void> ObjectWriter::finish(PendingSync& pending) {
  CAIRN_TRY(end_run());
  keep_marked();
  const Sha256::Digest digest = digest_.value();
  if (!index_written_) {
    CAIRN_ASSIGN(const Bytes tail, index_.finish(digest));
    index_written_ = true;
    object_bytes_ += tail.size();
    CAIRN_TRY(append(tail));
  }
  pending.digest = hex_of(digest);
  pending.size_bytes = position_.tar_bytes;
  pending.compressed_bytes = object_bytes_;
  pending.entries = index_.entry_count();
  pending.torn_files = position_.torn_files;
  return parts_.add_last(part_ ? std::optional(close_part()) : std::nullopt);
}

}  // namespace cairn::layer
