// An object is read from its end: the last nine bytes say how long the seek table is, in front of it stands the
// tail, and the tail says where everything else is. One suffix of 64 KiB holds all of it for a snapshot of some two
// gigabytes and for a segment of some seven thousand pages; beyond that, one more read.
//
// Each step trusts only what the steps before it have checked. No length is believed before it is seen to fit
// between the front of the object and what stands behind it.

#include "segment/reader.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "segment/keys.h"
#include "segment/object_reader.h"
#include "segment/wal_layout.h"
#include "segment/zstd_block.h"

namespace cairn::segment {
namespace {


}  // namespace

Result<std::unique_ptr<ObjectReader>> ObjectReader::open(Store& store, const std::string& key, KeepEnd keep,
                                                         std::uint64_t first_read_bytes) {
  for (int reading = 1;; ++reading) {
    auto reader = ObjectReaderImpl::open(make_input(store, key, keep), key, first_read_bytes);
    if (reader || reader.error().kind() != ErrorKind::corrupt || reading == kReadingsOfStore) return reader;
  }
}

Result<std::unique_ptr<ObjectReader>> ObjectReader::open(const Source& source, std::string name) {
  return ObjectReaderImpl::open(make_input(source), std::move(name), kFirstReadBytes);
}

Result<std::unique_ptr<ObjectReader>> ObjectReaderImpl::open(std::unique_ptr<ObjectInput> input, std::string name,
                                                             std::uint64_t first_read_bytes) {
  std::unique_ptr<ObjectReaderImpl> reader(new ObjectReaderImpl(std::move(input), std::move(name)));
  if (Result<void> read = reader->read_footer(first_read_bytes); !read) return reader->about(read.error());
  return std::unique_ptr<ObjectReader>(std::move(reader));
}

Result<void> ObjectReaderImpl::read_footer(std::uint64_t first_read_bytes) {
  CAIRN_ASSIGN(EndWindow end, EndWindow::open(*input_, first_read_bytes));
  if (input_->size_bytes() == 0) return damaged("it is empty");
  CAIRN_TRY(read_tail(end));
  // All that is still needed, with one read when the first one was too short.
  const bool snapshot = footer_.kind == ObjectKind::snapshot;
  CAIRN_TRY(end.extend_to(snapshot ? points_begin() : footer_begin_));
  CAIRN_TRY(read_seek_table(end));
  CAIRN_TRY(read_points(end));
  if (!snapshot) CAIRN_TRY(read_segment_index(end));
  return check_name();
}

// Sets tail_, footer_ (without points), footer_begin_ and seek_table_begin_.
Result<void> ObjectReaderImpl::read_tail(EndWindow& end) {
  const std::uint64_t size = input_->size_bytes();
  if (size < kSeekTrailerBytes) return damaged("it is too short to be an object of Cairn");
  ByteView trailer = end.view(size - kSeekTrailerBytes, kSeekTrailerBytes);
  CAIRN_ASSIGN(std::uint64_t block_count, parse_seek_trailer(trailer.first<kSeekTrailerBytes>()));
  const std::uint64_t table_bytes = seek_table_bytes(block_count);
  if (table_bytes > size || size - table_bytes < kTailEndBytes) return damaged("it is shorter than its seek table");
  seek_table_begin_ = size - table_bytes;

  const std::uint64_t tail_end_begin = seek_table_begin_ - kTailEndBytes;
  if (!end.has(tail_end_begin))
    CAIRN_TRY(end.extend_to(seek_table_begin_ - std::min(seek_table_begin_, kFirstReadBytes)));
  CAIRN_ASSIGN(TailEnd tail_end, parse_tail_end(end.view(tail_end_begin, kTailEndBytes).first<kTailEndBytes>()));
  if (tail_end.tail_bytes > seek_table_begin_) return damaged("it is shorter than its footer");
  const std::uint64_t tail_begin = seek_table_begin_ - tail_end.tail_bytes;
  CAIRN_TRY(end.extend_to(tail_begin));
  CAIRN_ASSIGN(tail_, parse_tail(end.view(tail_begin, tail_end.tail_bytes)));
  footer_ = tail_.footer;
  if (tail_.footer_bytes() > kMaxFooterBytes || tail_.footer_bytes() + kSkippableHeaderBytes > seek_table_begin_)
    return damaged("it is shorter than its footer");
  footer_begin_ = seek_table_begin_ - tail_.footer_bytes() - kSkippableHeaderBytes;
  return {};
}

Result<void> ObjectReaderImpl::read_seek_table(EndWindow& end) {
  ByteView frame = end.view(seek_table_begin_, input_->size_bytes() - seek_table_begin_);
  CAIRN_ASSIGN(SeekTable table, parse_seek_table(frame, tail_));
  if (table.data_end != footer_begin_) return damaged("its seek table does not add up to its data");
  const std::uint64_t full = tail_.entries_per_block * entry_bytes(footer_.kind, footer_.page_size);
  const std::uint64_t wal_header = data_bytes(footer_.kind, footer_.page_size, 0);
  std::uint64_t offset = 0;
  std::uint64_t data_left = footer_.data_size_bytes;
  blocks_.reserve(table.compressed_bytes.size());
  for (std::uint32_t compressed : table.compressed_bytes) {
    std::uint64_t raw = std::min(full + (blocks_.empty() ? wal_header : 0), data_left);
    blocks_.push_back({offset, compressed, static_cast<std::uint32_t>(raw)});
    offset += compressed;
    data_left -= raw;
  }
  return {};
}

Result<void> ObjectReaderImpl::read_points(EndWindow& end) {
  ByteView bytes = end.view(points_begin(), tail_.points_bytes);
  if (XXH3_64bits(bytes.data(), bytes.size()) != tail_.points_checksum)
    return damaged("the checksum of its restore points is wrong");
  CAIRN_ASSIGN(footer_.points, parse_points(bytes, tail_.point_count));
  return check_footer(footer_);
}

Result<void> ObjectReaderImpl::read_segment_index(EndWindow& end) {
  ByteView header = end.view(footer_begin_, kSkippableHeaderBytes);
  if (!is_skippable_header(header.first<kSkippableHeaderBytes>(), kFooterFrameMagic, tail_.footer_bytes()))
    return damaged("its footer does not begin where its end says");
  ByteView pages = end.view(footer_begin_ + kSkippableHeaderBytes, tail_.pages_bytes);
  if (XXH3_64bits(pages.data(), pages.size()) != tail_.pages_checksum)
    return damaged("the checksum of its page list is wrong");
  CAIRN_ASSIGN(index_.pages, parse_page_list(pages, footer_));
  index_.hashes.reserve(footer_.index_count);
  return parse_hash_groups(end.view(hashes_begin(), tail_.hashes_bytes), 0, index_.hashes);
}

// A renamed or misplaced object is whole, and still the wrong one.
Result<void> ObjectReaderImpl::check_name() const {
  std::optional<ObjectName> name = parse_any_key(name_);
  if (!name) return {};
  bool kind_fits = name->kind == KeyKind::snapshot ? footer_.kind == ObjectKind::snapshot
                   : name->level == 0              ? footer_.kind == ObjectKind::segment
                                                   : footer_.kind == ObjectKind::bundle ||
                                                         footer_.kind == ObjectKind::squashed;
  if (!kind_fits) return damaged("it holds another kind of object than its name says");
  if (name->first != footer_.first || name->last != footer_.last)
    return damaged(fmt::format("it holds sequences {} to {}, not those of its name", footer_.first.value,
                               footer_.last.value));
  return {};
}

Result<PageIndex> ObjectReaderImpl::index(std::uint64_t first, std::optional<std::uint64_t> count) {
  CAIRN_CHECK(first <= footer_.index_count);
  const std::uint64_t left = footer_.index_count - first;
  Result<PageIndex> result = read_index(first, std::min(count.value_or(left), left));
  return result ? std::move(result) : about(result.error());
}

Result<PageIndex> ObjectReaderImpl::read_index(std::uint64_t first, std::uint64_t count) {
  PageIndex result;
  if (footer_.kind == ObjectKind::snapshot) {
    CAIRN_ASSIGN(result.hashes, read_hashes(first, count));
    return result;
  }
  auto begin = static_cast<std::ptrdiff_t>(first);
  auto end = static_cast<std::ptrdiff_t>(first + count);
  result.pages.assign(index_.pages.begin() + begin, index_.pages.begin() + end);
  result.hashes.assign(index_.hashes.begin() + begin, index_.hashes.begin() + end);
  return result;
}

// Whole groups are read, since only whole groups can be checked.
Result<std::vector<std::uint64_t>> ObjectReaderImpl::read_hashes(std::uint64_t first, std::uint64_t count) {
  std::vector<std::uint64_t> hashes;
  if (count == 0) return hashes;
  const std::uint64_t first_group = first / kHashesPerGroup;
  const std::uint64_t end_group = (first + count + kHashesPerGroup - 1) / kHashesPerGroup;
  const std::uint64_t end_entry = std::min(end_group * kHashesPerGroup, footer_.index_count);
  const std::uint64_t begin = hashes_section_bytes(first_group * kHashesPerGroup);
  hashes.reserve(end_entry - first_group * kHashesPerGroup);
  CAIRN_TRY(read_until_good(hashes_begin() + begin, hashes_section_bytes(end_entry) - begin, [&](ByteView bytes) {
    hashes.clear();
    return parse_hash_groups(bytes, first_group, hashes);
  }));
  hashes.erase(hashes.begin(), hashes.begin() + static_cast<std::ptrdiff_t>(first - first_group * kHashesPerGroup));
  hashes.resize(count);
  return hashes;
}

Result<void> ObjectReaderImpl::read_until_good(std::uint64_t offset, std::uint64_t length,
                                               const std::function<Result<void>(ByteView)>& take) {
  for (int reading = 1;; ++reading) {
    CAIRN_ASSIGN(const Bytes bytes, reading == 1 ? input_->read(offset, length) : input_->read_anew(offset, length));
    Result<void> good = take(bytes);
    if (!may_be_garbled(good) || reading == input_->readings()) return good;
  }
}

PageLocation ObjectReaderImpl::locate(std::uint64_t entry) const {
  CAIRN_CHECK(entry < footer_.index_count);
  const std::uint64_t block = entry / tail_.entries_per_block;
  const std::uint64_t in_block = entry % tail_.entries_per_block;
  std::uint64_t offset = in_block * entry_bytes(footer_.kind, footer_.page_size);
  if (footer_.kind != ObjectKind::snapshot) offset += kWalFrameHeaderBytes + (block == 0 ? kWalHeaderBytes : 0);
  return {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(offset)};
}

Result<std::vector<StoredBlock>> ObjectReaderImpl::stored_blocks() {
  std::vector<StoredBlock> stored;
  stored.reserve(blocks_.size());
  Result<void> read = read_until_good(block_sums_begin(), tail_.block_sums_bytes, [&](ByteView bytes) -> Result<void> {
    if (XXH3_64bits(bytes.data(), bytes.size()) != tail_.block_sums_checksum)
      return damaged("the checksum of its block checksums is wrong");
    for (std::size_t i = 0; i < blocks_.size(); ++i)
      stored.push_back({blocks_[i].compressed_bytes, load_le<std::uint64_t>(bytes.data() + 8 * i)});
    return {};
  });
  if (!read) return about(read.error());
  return stored;
}

Result<std::vector<Bytes>> ObjectReaderImpl::read_blocks(std::uint32_t first, std::uint32_t count) {
  std::vector<Bytes> blocks;
  CAIRN_TRY(visit_blocks(first, count, [&blocks](std::uint32_t, std::span<std::byte> bytes) -> Result<void> {
    blocks.emplace_back(bytes.begin(), bytes.end());
    return {};
  }));
  return blocks;
}

// Made for the call: a reader that kept one would cost 160 KB each, and a restore opens thousands.
Result<void> ObjectReader::visit_blocks(std::uint32_t first, std::uint32_t count, const BlockVisitor& visit) {
  BlockScratch scratch;
  return visit_blocks(first, count, visit, scratch);
}

Result<void> ObjectReaderImpl::visit_blocks(std::uint32_t first, std::uint32_t count, const BlockVisitor& visit,
                                            BlockScratch& scratch) {
  CAIRN_CHECK(count > 0 && first < blocks_.size() && count <= blocks_.size() - first);
  std::optional<Error> refused;  // by `visit`: not of the object
  Result<void> read = stream_blocks(first, count, [&](std::uint32_t block, ByteView stored) -> Result<void> {
    CAIRN_TRY(decompress_good(block, stored, scratch));
    Result<void> visited = visit(block, scratch.bytes);
    if (!visited) refused = visited.error();
    return visited;
  });
  return read || refused ? read : about(read.error());
}

// A block that lies in a piece whole is taken from there; one that comes in several is put together.
Result<void> ObjectReaderImpl::stream_blocks(
    std::uint32_t first, std::uint32_t count,
    const std::function<Result<void>(std::uint32_t block, ByteView stored)>& take) {
  const BlockInfo& last = blocks_[first + count - 1];
  const std::uint64_t begin = blocks_[first].offset, end = last.offset + last.compressed_bytes;
  std::uint32_t block = first;
  Bytes begun;  // of `block`
  return input_->stream(begin, end - begin, [&](ByteView piece) -> Result<void> {
    while (!piece.empty()) {
      const std::size_t size = blocks_[block].compressed_bytes, wanted = std::min(size - begun.size(), piece.size());
      if (begun.empty() && wanted == size) {
        CAIRN_TRY(take(block++, piece.first(size)));
      } else {
        begun.insert(begun.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(wanted));
        if (begun.size() == size) {
          CAIRN_TRY(take(block++, begun));
          begun.clear();
        }
      }
      piece = piece.subspan(wanted);
    }
    return {};
  });
}

Result<void> ObjectReaderImpl::decompress_good(std::uint32_t block, ByteView stored, BlockScratch& scratch) {
  const auto take = [&](ByteView bytes) { return decompress(block, bytes, scratch.decompressor, scratch.bytes); };
  Result<void> raw = take(stored);
  if (may_be_garbled(raw)) raw = read_until_good(blocks_[block].offset, blocks_[block].compressed_bytes, take);
  return raw;
}

Result<void> ObjectReaderImpl::decompress(std::uint32_t block, ByteView stored, BlockDecompressor& decompressor,
                                          Bytes& into) const {
  into.resize(blocks_[block].size_bytes);
  Result<void> raw = decompressor.decompress(stored, into);
  if (raw) return {};
  return damaged(fmt::format("block {} of {}: {}", block + 1, blocks_.size(), raw.error().message()));
}

Error ObjectReaderImpl::about(const Error& error) const {
  if (error.kind() == ErrorKind::unsupported)
    return Error(error.kind(), fmt::format("{} {}", name_, error.message()));
  if (error.kind() != ErrorKind::corrupt) return error;
  return damaged_object(name_, error.message());
}

Error damaged_object(std::string_view name, std::string_view what) {
  return Error(ErrorKind::corrupt,
               fmt::format("{} is damaged: {}. 'cairn verify --repair' rebuilds it, if others hold the same states",
                           name, what))
      .about_object(name);
}

}  // namespace cairn::segment
