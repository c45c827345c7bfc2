// An object is read from its end: the last nine bytes say how many frames it has and so how long the seek table is, in
// front of that stands the tail of the index, and the tail says where everything else is. Each step trusts only what
// the steps before it have checked; no length is believed before it is seen to fit into the object.

#include "layer/layer_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "segment/zstd_block.h"

namespace cairn::layer {
namespace {

// All of the object for most increments; of a full layer the index of some 5,000 entries. A chain of 65 layers that are
// open at once keeps 32 MiB.
constexpr std::uint64_t kFirstReadBytes = 512 * 1024;

}  // namespace

Result<std::unique_ptr<LayerReader>> LayerReader::open(Store& store, std::string key) {
  return LayerReaderImpl::open(store, std::move(key));
}

Result<std::unique_ptr<LayerReader>> LayerReaderImpl::open(Store& store, std::string key) {
  std::unique_ptr<LayerReaderImpl> reader(new LayerReaderImpl(store, std::move(key)));
  if (Result<void> read = reader->read_end(); !read) return reader->about(read.error());
  return std::unique_ptr<LayerReader>(std::move(reader));
}

Result<void> LayerReaderImpl::read_end() {
  CAIRN_ASSIGN(segment::EndWindow end, segment::EndWindow::open(*input_, kFirstReadBytes));
  CAIRN_TRY(read_tail(end));
  const std::uint64_t tail_begin = seek_table_begin_ - kIndexTailBytes;
  const std::uint64_t directory_begin = tail_begin - tail_.directory_bytes;
  CAIRN_TRY(end.extend_to(directory_begin - tail_.frames * 8));
  CAIRN_TRY(read_frames(end));
  const ByteView directory = end.view(directory_begin, tail_.directory_bytes);
  if (hash_of(directory) != tail_.directory_checksum) return damaged("the checksum of its directory is wrong");
  CAIRN_ASSIGN(chunks_, parse_directory(directory, tail_));
  return {};
}

// Sets tail_, index_begin_ and seek_table_begin_.
Result<void> LayerReaderImpl::read_tail(segment::EndWindow& end) {
  using namespace segment;
  const std::uint64_t size = input_->size_bytes();
  if (size < kSeekTrailerBytes) return damaged("it is too short to be a layer of Cairn");
  const ByteView trailer = end.view(size - kSeekTrailerBytes, kSeekTrailerBytes);
  CAIRN_ASSIGN(const std::uint64_t frames, parse_seek_trailer(trailer.first<kSeekTrailerBytes>()));
  const std::uint64_t table_bytes = seek_table_bytes(frames);
  if (table_bytes > size || size - table_bytes < kTailEndBytes || frames > kMaxFrames)
    return damaged("it is shorter than its seek table");
  seek_table_begin_ = size - table_bytes;

  // When the first read does not reach that far, the next one brings the index's hashes along.
  const std::uint64_t tail_end_begin = seek_table_begin_ - kTailEndBytes;
  const std::uint64_t likely_bytes = frames * 8 + kFirstReadBytes;
  if (!end.has(tail_end_begin))
    CAIRN_TRY(end.extend_to(seek_table_begin_ - std::min(seek_table_begin_, likely_bytes)));
  CAIRN_ASSIGN(const TailEnd tail_end,
               parse_tail_end(end.view(tail_end_begin, kTailEndBytes).first<kTailEndBytes>(), kLayerMagic));
  if (tail_end.tail_bytes > seek_table_begin_) return damaged("it is shorter than its index");
  const std::uint64_t tail_begin = seek_table_begin_ - tail_end.tail_bytes;
  CAIRN_TRY(end.extend_to(tail_begin));
  CAIRN_ASSIGN(tail_, parse_index_tail(end.view(tail_begin, tail_end.tail_bytes), seek_table_begin_));
  if (tail_.frames != frames) return damaged("its index and its seek table name different numbers of frames");
  index_begin_ = seek_table_begin_ - tail_.index_bytes();
  return {};
}

// Sets frames_: sizes from the seek table, hashes from the index.
Result<void> LayerReaderImpl::read_frames(const segment::EndWindow& end) {
  using namespace segment;
  const ByteView table = end.view(seek_table_begin_, seek_table_bytes(tail_.frames));
  const ByteView sizes = table.subspan(kSkippableHeaderBytes, tail_.frames * kSeekEntryBytes);
  const std::uint64_t hashes_begin =
      seek_table_begin_ - kIndexTailBytes - tail_.directory_bytes - tail_.frames * 8;
  const ByteView hashes = end.view(hashes_begin, tail_.frames * 8);
  if (!is_skippable_header(table.first<kSkippableHeaderBytes>(), kSeekTableFrameMagic,
                           table.size() - kSkippableHeaderBytes))
    return damaged("its seek table cannot be read");
  if (hash_of(sizes) != tail_.seek_checksum) return damaged("the checksum of its seek table is wrong");
  if (hash_of(hashes) != tail_.hashes_checksum) return damaged("the checksum of its frames' hashes is wrong");
  const std::byte* index_entry = sizes.data() + sizes.size();
  if (load_le<std::uint32_t>(index_entry) != tail_.index_bytes() || load_le<std::uint32_t>(index_entry + 4) != 0)
    return damaged("its seek table does not have its index");

  frames_.reserve(tail_.frames);
  FrameInfo frame;
  for (std::uint64_t i = 0; i < tail_.frames; ++i) {
    frame.compressed_bytes = load_le<std::uint32_t>(sizes.data() + i * kSeekEntryBytes);
    frame.size_bytes = load_le<std::uint32_t>(sizes.data() + i * kSeekEntryBytes + 4);
    frame.hash = load_le<std::uint64_t>(hashes.data() + i * 8);
    if (frame.size_bytes == 0 || frame.size_bytes > kMaxFrameBytes) return damaged("the size of a frame cannot be");
    frames_.push_back(frame);
    frame.offset += frame.compressed_bytes;
    frame.tar_offset += frame.size_bytes;
  }
  if (frame.offset != index_begin_ || frame.tar_offset != tail_.tar_bytes)
    return damaged("its frames do not add up to its size");
  return {};
}

std::string LayerReaderImpl::digest() const {
  std::string text;
  for (const std::uint8_t byte : tail_.digest) text += fmt::format("{:02x}", byte);
  return text;
}

std::uint64_t LayerReaderImpl::frame_at(std::uint64_t tar_offset) const {
  CAIRN_CHECK(tar_offset < tail_.tar_bytes);
  const auto behind = std::ranges::upper_bound(frames_, tar_offset, {}, &FrameInfo::tar_offset);
  return static_cast<std::uint64_t>(behind - frames_.begin()) - 1;
}

Result<Bytes> LayerReaderImpl::fetch_frames(std::uint64_t first, std::uint64_t count) const {
  CAIRN_CHECK(count > 0 && first < frames_.size() && count <= frames_.size() - first);
  const FrameInfo& last = frames_[first + count - 1];
  const std::uint64_t begin = frames_[first].offset;
  auto bytes = input_->read(begin, last.offset + last.compressed_bytes - begin);
  if (!bytes) return about(bytes.error());
  return bytes;
}

Result<void> LayerReaderImpl::decode_frame(std::uint64_t frame, ByteView stored, std::span<std::byte> into) const {
  const FrameInfo& info = frames_[frame];
  CAIRN_CHECK(stored.size() == info.compressed_bytes && into.size() == info.size_bytes);
  segment::BlockDecompressor decompressor;
  if (auto decompressed = decompressor.decompress(stored, into); !decompressed)
    return about(decompressed.error().with(fmt::format("frame {}", frame)));
  if (hash_of(into) != info.hash) return about(damaged(fmt::format("frame {}: its hash is wrong", frame)));
  return {};
}

Result<void> LayerReaderImpl::visit_frames(std::uint64_t first, std::uint64_t count, const Visit& visit) const {
  CAIRN_ASSIGN(const Bytes stored, fetch_frames(first, count));
  ByteView left = stored;
  Bytes bytes;
  for (std::uint64_t frame = first; frame < first + count; ++frame) {
    bytes.resize(frames_[frame].size_bytes);
    CAIRN_TRY(decode_frame(frame, left.first(frames_[frame].compressed_bytes), bytes));
    CAIRN_TRY(visit(frame, bytes));
    left = left.subspan(frames_[frame].compressed_bytes);
  }
  return {};
}

Result<Bytes> LayerReaderImpl::fetch_chunks(std::size_t first, std::size_t count) const {
  using segment::kSkippableHeaderBytes;
  const Chunk& last = chunks_[first + count - 1];
  const std::uint64_t length = last.offset + last.compressed_bytes - chunks_[first].offset;
  const std::uint64_t chunks_begin = index_begin_ + kSkippableHeaderBytes;
  if (first > 0) return input_->read(chunks_begin + chunks_[first].offset, length);
  // The frame's own header comes along: nothing needs it to find the chunks, but every other reader of zstd does.
  CAIRN_ASSIGN(Bytes bytes, input_->read(index_begin_, kSkippableHeaderBytes + length));
  if (!segment::is_skippable_header(ByteView(bytes).first<kSkippableHeaderBytes>(), kIndexFrameMagic,
                                    tail_.index_bytes() - kSkippableHeaderBytes))
    return damaged("its index does not begin where it must");
  bytes.erase(bytes.begin(), bytes.begin() + kSkippableHeaderBytes);
  return bytes;
}

}  // namespace cairn::layer
