#include "layer/archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "layer/tar.h"

namespace cairn::layer {
namespace {

bool is_big(const OpenEntry& open) { return open.has_contents() && open.entry().size_bytes >= kBigFileBytes; }

bool lies_in_hole(const std::vector<Hole>& holes, std::uint64_t offset, std::uint64_t length) {
  auto at = std::upper_bound(holes.begin(), holes.end(), offset,
                             [](std::uint64_t value, const Hole& hole) { return value < hole.offset; });
  if (at == holes.begin()) return false;
  --at;
  return offset + length <= at->offset + at->length;
}

// Fills `into`; false: the file was shorter, and the rest is zeros.
Result<bool> read_all(OpenEntry& open, std::uint64_t offset, std::span<std::byte> into) {
  std::size_t filled = 0;
  while (filled < into.size()) {
    CAIRN_ASSIGN(const std::size_t got, open.read_at(offset + filled, into.subspan(filled)));
    if (got == 0) break;
    filled += got;
  }
  std::fill(into.begin() + static_cast<std::ptrdiff_t>(filled), into.end(), std::byte{0});
  return filled == into.size();
}

// Whether the file still begins with what was read of it.
Result<bool> begins_as_before(OpenEntry& open, std::uint64_t blocks, const segment::RunningHash& before) {
  segment::RunningHash hash;
  Bytes block(kFrameTarget);
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t offset = i * kFrameTarget;
    const auto into = std::span(block).first(std::min<std::uint64_t>(kFrameTarget, open.entry().size_bytes - offset));
    CAIRN_ASSIGN(const bool whole, read_all(open, offset, into));
    if (!whole) return false;
    hash.add(into);
  }
  return hash.value() == before.value();
}

}  // namespace

std::shared_ptr<Bytes> BlockBuffers::take() {
  Bytes bytes;
  {
    MutexLock lock(free_->mutex);
    if (!free_->buffers.empty()) {
      bytes = std::move(free_->buffers.back());
      free_->buffers.pop_back();
    }
  }
  return {new Bytes(std::move(bytes)), [free = free_](Bytes* given) {
            const std::unique_ptr<Bytes> back(given);
            MutexLock lock(free->mutex);
            free->buffers.push_back(std::move(*back));
          }};
}

Result<bool> ArchiveReader::start(const ArchivePosition& from) {
  at_ = from;
  big_.reset();
  again_.reset();
  CAIRN_ASSIGN(rows_, plan_.rows(from.done_key));
  if (!from.inside) return true;
  CAIRN_ASSIGN(auto row, rows_->next());
  if (!row) return false;
  CAIRN_ASSIGN(auto open, tree_.open_entry(*row));
  if (!open || !is_big(*open) || open->stamp() != from.inside->stamp) return false;
  if (row->is_database || open->wal_stamp()) return false;  // each copy of a database is of another moment
  CAIRN_ASSIGN(Bytes header, write_tar_header(open->entry()));
  auto hash = segment::RunningHash::restore(from.inside->hash);
  if (header != from.inside->header || !hash) return false;
  // It may have changed once more under the same stamp, if it had just changed when it was read.
  if (proof_of(from.inside->stamp, plan_.head().scan_began_ms) != Proof::good) {
    CAIRN_ASSIGN(const bool same, begins_as_before(*open, from.inside->next_block, *hash));
    if (!same) return false;
  }
  big_ = BigFile{.row = std::move(*row),
                 .open = std::move(open),
                 .header = std::move(header),
                 .hash = std::move(*hash),
                 .next_block = from.inside->next_block,
                 .before = {}};
  return true;
}

Result<std::optional<Piece>> ArchiveReader::next() {
  if (big_) return next_block();
  if (at_.ended) return std::optional<Piece>();
  return next_batch();
}

Result<std::optional<PlanRow>> ArchiveReader::next_row() {
  if (again_) return std::exchange(again_, std::nullopt);
  CAIRN_ASSIGN(auto row, rows_->next());
  const auto met = row ? next_attempts_.find(row->key) : next_attempts_.end();
  attempt_ = met != next_attempts_.end() ? met->second : 1;
  return row;
}

Result<std::optional<Piece>> ArchiveReader::next_batch() {
  Piece piece;
  const std::shared_ptr<Bytes> buffer = buffers_.take();
  Bytes& raw = *buffer;
  raw.assign(tar_padding(at_.tar_bytes), std::byte{0});
  while (raw.size() < kFrameTarget && !at_.ended) {
    CAIRN_ASSIGN(auto row, next_row());
    if (!row) {
      raw.resize(raw.size() + kTarEndBytes);
      at_.ended = true;
      break;
    }
    CAIRN_ASSIGN(auto open, tree_.open_entry(*row, attempt_));
    if (!open) {
      CAIRN_TRY(left_out(*row));
    } else if (!is_big(*open)) {
      CAIRN_TRY(add_entry(*row, std::move(open), piece, raw));
    } else if (piece.finished.empty()) {
      return begin_big(std::move(*row), std::move(open), buffer);
    } else {
      again_ = std::move(row);  // its header begins a piece of its own
      break;
    }
  }
  return seal(std::move(piece), buffer);
}

Result<void> ArchiveReader::left_out(const PlanRow& row) {
  at_.done_key = row.key;
  return plan_.record_left_out(row);
}

// What is small enough to be read before any of it is given out.
Result<void> ArchiveReader::add_entry(const PlanRow& row, std::unique_ptr<OpenEntry> open, Piece& piece, Bytes& raw) {
  for (;; ++attempt_) {
    const Entry& entry = open->entry();
    CAIRN_ASSIGN(Bytes header, write_tar_header(entry));
    const std::uint64_t size = open->has_contents() ? entry.size_bytes : 0;
    const std::size_t begin = raw.size();
    raw.insert(raw.end(), header.begin(), header.end());
    raw.resize(raw.size() + size + tar_padding(size));
    const auto contents = std::span(raw).subspan(begin + header.size(), size);
    bool steady = true;
    if (size > 0) {
      CAIRN_ASSIGN(const bool whole, read_all(*open, 0, contents));
      CAIRN_ASSIGN(const bool still, open->stands_still());
      steady = whole && still;
    }
    if (steady || attempt_ >= kReadAttempts) {
      const Contents state = steady ? Contents::whole : Contents::torn;
      if (!steady) say_torn(*open);
      const std::uint64_t hash = size > 0 ? hash_of(contents) : 0;
      CAIRN_TRY(plan_.record(row, *open, hash, state));
      piece.finished.push_back({std::move(header), hash, state});
      at_.done_key = row.key;
      at_.content_bytes += size;
      return {};
    }
    raw.resize(begin);
    CAIRN_ASSIGN(open, tree_.open_entry(row, attempt_ + 1));
    if (!open) return left_out(row);
    if (is_big(*open)) {  // it has grown
      again_ = row;
      ++attempt_;
      return {};
    }
  }
}

// `raw`: what fills up the last tar block of the file before.
Result<Piece> ArchiveReader::begin_big(PlanRow row, std::unique_ptr<OpenEntry> open, std::shared_ptr<Bytes> raw) {
  CAIRN_ASSIGN(Bytes header, write_tar_header(open->entry()));
  raw->insert(raw->end(), header.begin(), header.end());
  const ArchivePosition before = at_;
  at_.inside = ArchivePosition::Inside{header, open->stamp(), 0, segment::RunningHash().save()};
  big_.emplace(BigFile{.row = std::move(row),
                       .open = std::move(open),
                       .header = std::move(header),
                       .hash = {},
                       .attempt = attempt_,
                       .before = before});
  Piece piece;
  piece.begins_file = true;
  return seal(std::move(piece), std::move(raw));
}

Result<Piece> ArchiveReader::next_block() {
  BigFile& file = *big_;
  const std::uint64_t size = file.open->entry().size_bytes;
  const std::uint64_t offset = file.next_block * kFrameTarget;
  const std::uint64_t length = std::min<std::uint64_t>(kFrameTarget, size - offset);
  Piece piece;
  piece.file = file.row;
  piece.block = file.next_block;
  piece.zeros = lies_in_hole(file.open->entry().holes, offset, length);
  std::shared_ptr<const Bytes> raw;
  if (piece.zeros && length == kFrameTarget) {
    if (!zeros_) zeros_ = std::make_shared<const Bytes>(kFrameTarget);
    raw = zeros_;
  } else {
    std::shared_ptr<Bytes> bytes = buffers_.take();
    bytes->resize(length);
    if (piece.zeros) {
      std::ranges::fill(*bytes, std::byte{0});
    } else {
      CAIRN_ASSIGN(const bool whole, read_all(*file.open, offset, *bytes));
      file.cut_short = file.cut_short || !whole;
    }
    raw = std::move(bytes);
  }
  file.hash.add(*raw);
  ++file.next_block;
  at_.content_bytes += length;
  at_.inside->next_block = file.next_block;
  at_.inside->hash = file.hash.save();
  piece = seal(std::move(piece), std::move(raw));
  if (offset + length < size) return piece;

  CAIRN_ASSIGN(const bool still, file.open->stands_still());
  if (still && !file.cut_short) {
    CAIRN_TRY(finish_big(piece, Contents::whole));
  } else if (file.attempt >= kReadAttempts) {
    CAIRN_TRY(keep(piece));
  } else {
    piece.unsteady = true;
  }
  return piece;
}

void ArchiveReader::read_again() {
  at_ = big_->before;
  again_ = std::move(big_->row);
  attempt_ = big_->attempt + 1;
  big_.reset();
}

bool ArchiveReader::may_start_before_it() { return next_attempts_.emplace(big_->row.key, big_->attempt + 1).second; }

Result<void> ArchiveReader::keep(Piece& piece) {
  say_torn(*big_->open);
  piece.unsteady = false;
  return finish_big(piece, Contents::torn);
}

Result<void> ArchiveReader::finish_big(Piece& piece, Contents contents) {
  const std::uint64_t hash = big_->hash.value();
  CAIRN_TRY(plan_.record(big_->row, *big_->open, hash, contents));
  piece.finished.push_back({std::move(big_->header), hash, contents});
  at_.done_key = big_->row.key;
  at_.inside.reset();
  piece.after = at_;
  big_.reset();
  return {};
}

Piece ArchiveReader::seal(Piece piece, std::shared_ptr<const Bytes> raw) {
  at_.tar_bytes += raw->size();
  piece.hash = hash_of(*raw);
  piece.after = at_;
  piece.raw = std::move(raw);
  return piece;
}

void ArchiveReader::say_torn(const OpenEntry& open) {
  ++at_.torn_files;
  if (!on_notice_) return;
  on_notice_(fmt::format("{} kept changing while it was read: it is kept as it was read, marked as torn, and read "
                         "again by the next sync",
                         open.name()));
}

}  // namespace cairn::layer
