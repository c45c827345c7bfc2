#include "layer/archiver.h"

#include <algorithm>
#include <utility>

#include "layer/refill.h"

namespace cairn::layer {
namespace {

constexpr std::uint64_t kMostInFlightBytes = 32u << 20;  // before compression
// Of a copied part, where the store takes smaller ones: below, a request costs more than to send the bytes.
constexpr std::uint64_t kLeastCopyBytes = 1u << 20;

ObjectWriter::Limits limits_of(const PendingSync& pending, const StoreCapabilities& can, bool copies) {
  return {.part_bytes = pending.part_bytes,
          .least_part_bytes = can.min_part_bytes,
          .least_copy_bytes = std::max(can.min_part_bytes, kLeastCopyBytes),
          .last_copy_part = copies ? can.max_parts / 2 : 0};
}

}  // namespace

Archiver::Archiver(Needs needs)
    : n_(std::move(needs)),
      reader_(n_.tree, n_.plan, n_.on_notice),
      may_copy_(n_.pending.may_copy && n_.can.copy_part && n_.can.multipart),
      limits_(limits_of(n_.pending, n_.can, may_copy_)),
      most_in_flight_bytes_(std::min<std::uint64_t>(
          kMostInFlightBytes, static_cast<std::uint64_t>(2 * n_.executor.width() + 4) * kFrameTarget)) {}

Result<void> Archiver::begin(int last, State::Where where) {
  writer_.reset();
  older_file_.reset();
  CAIRN_ASSIGN(Checkpoint from, n_.state.checkpoint(n_.container, last, where));
  CAIRN_ASSIGN(const bool holds, reader_.start(from.position));
  if (!holds) {
    CAIRN_ASSIGN(from, n_.state.checkpoint(n_.container, last, State::Where::between_files));
    CAIRN_TRY(reader_.start(from.position));
  }
  CAIRN_TRY(n_.parts.go_on_behind(from.part));
  writer_ = std::make_unique<ObjectWriter>(n_.parts, n_.spool, n_.plan, limits_);
  CAIRN_TRY(writer_->start(from));
  CAIRN_ASSIGN(const Sha256 digest, Sha256::restore(from.digest));
  restart_press(digest);
  return {};
}

void Archiver::restart_press(const Sha256& digest) {
  press_ = std::make_unique<FramePress>(n_.executor, n_.compression_level, digest);
  olders_.clear();
  chain_ = 0;
}

Result<void> Archiver::run(int last) {
  // A file that was read in part before a power loss may be another one by now, under the same stamp.
  CAIRN_ASSIGN(const bool same_boot, n_.catalogue.is_of_this_boot());
  CAIRN_TRY(begin(last, same_boot ? State::Where::anywhere : State::Where::between_files));
  bool more = true;
  while (more || !press_->is_empty()) {
    if (n_.stop.stop_requested()) return stopped();
    CAIRN_TRY(n_.parts.collect());
    while (more && press_->in_flight_bytes() < most_in_flight_bytes_) {
      CAIRN_ASSIGN(more, push_next());
    }
    if (!press_->is_empty()) CAIRN_TRY(settle_one());
  }
  return writer_->finish(n_.pending);
}

// False: that was all.
Result<bool> Archiver::push_next() {
  CAIRN_TRY(n_.state.begin());  // what the reader records goes with the next part
  CAIRN_ASSIGN(auto piece, reader_.next());
  if (!piece) return false;
  if (n_.progress) n_.progress(piece->after.content_bytes);
  if (piece->unsteady) CAIRN_TRY(read_again_or_keep(std::move(*piece)));
  else CAIRN_TRY(push(std::move(*piece)));
  return true;
}

Result<void> Archiver::push(Piece piece) {
  CAIRN_ASSIGN(auto older, older_of(piece));
  const bool follows = older && chain_ > 0 && chain_key_ == older->object_key && chain_end_ == older->block.offset;
  chain_ = older ? (follows ? chain_ + 1 : 1) : 0;
  if (older) {
    chain_key_ = older->object_key;
    chain_end_ = older->block.offset + older->block.compressed_bytes;
  }
  // Everything that is in the press, and the frame before, goes on with the run: so does this.
  const bool copied = writer_->is_copying() && chain_ > olders_.size() + 1;
  olders_.push_back(std::move(older));
  press_->push(std::move(piece), copied ? FramePress::Packing::leave : FramePress::Packing::compress);
  return {};
}

Result<void> Archiver::settle_one() {
  CAIRN_TRY(n_.state.begin());
  CAIRN_ASSIGN(Frame frame, press_->pop());
  const std::optional<OlderBlock> older = std::move(olders_.front());
  olders_.pop_front();
  return writer_->add(std::move(frame), older);
}

// The last block of a file that has changed while it was read. It is read once more: from its beginning, if nothing of
// it has left us, else from a part before it on.
Result<void> Archiver::read_again_or_keep(Piece piece) {
  while (!press_->is_empty()) CAIRN_TRY(settle_one());
  if (writer_->can_go_back()) {
    reader_.read_again();
    CAIRN_ASSIGN(const Sha256 digest, writer_->go_back());
    restart_press(digest);
    return {};
  }
  if (reader_.may_start_before_it()) return start_before_file();
  CAIRN_TRY(reader_.keep(piece));
  return push(std::move(piece));
}

// As after a crash. A file that has been gone on with after one began at a part that is not known any more.
Result<void> Archiver::start_before_file() {
  const std::optional<int> behind = writer_->file_began_behind();
  CAIRN_TRY(n_.parts.settle());
  n_.parts.expect_fewer();
  if (behind) return begin(*behind, State::Where::anywhere);
  return begin(n_.parts.last(), State::Where::between_files);
}

Result<std::optional<OlderBlock>> Archiver::older_of(const Piece& piece) {
  if (piece.begins_file) older_file_.reset();
  if (!piece.file || !may_copy_) return std::optional<OlderBlock>();
  if (!older_file_) {
    CAIRN_ASSIGN(older_file_, n_.catalogue.blocks_of(piece.file->path));
    CAIRN_ASSIGN(const bool usable, is_there(*older_file_));
    if (!usable) older_file_->blocks.clear();
  }
  const auto& blocks = older_file_->blocks;
  if (piece.block >= blocks.size()) return std::optional<OlderBlock>();
  const Block& block = blocks[piece.block];
  if (block.hash != piece.hash || block.size_bytes != piece.raw->size()) return std::optional<OlderBlock>();
  return std::optional(OlderBlock{older_file_->object_key, block});
}

// What the catalogue says of an older layer is believed only when that layer's own index says the same: what is copied
// from it is never looked at again before somebody restores it.
Result<bool> Archiver::is_there(const Catalogue::Blocks& older) {
  std::uint64_t size_bytes = 0;
  for (const Block& block : older.blocks) size_bytes += block.compressed_bytes;
  if (older.object_key.empty() || size_bytes < limits_.least_copy_bytes) return false;
  auto at = older_frames_.find(older.object_key);
  if (at == older_frames_.end()) {
    const auto reader = LayerReader::open(n_.store, older.object_key);
    if (!reader && reader.error().kind() != ErrorKind::not_found && reader.error().kind() != ErrorKind::corrupt)
      return reader.error();
    at = older_frames_.emplace(older.object_key, reader ? (*reader)->frames() : std::vector<FrameInfo>()).first;
  }
  return lie_in(older.blocks, at->second);
}

}  // namespace cairn::layer
