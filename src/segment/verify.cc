// Everything that an object says can be checked against something else it says: the stored bytes and every zstd
// frame against checksums, each page against its hash, a snapshot's hashes against its database hash, and a
// segment's frames against the WAL file that its index and footer call for, which is laid down again and compared.
// What needs other objects (does hash_before match the state it builds on?) is the restore module's to check.
//
// Reads a few blocks at a time and the parts of the footer that belong to them: memory does not grow with the object.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/bytes.h"
#include "base/errors.h"
#include "segment/object_reader.h"
#include "segment/running_hash.h"
#include "segment/wal_layout.h"
#include "segment/zstd_block.h"

namespace cairn::segment {
namespace {

constexpr std::uint64_t kReadBytes = 64 << 20;  // of compressed blocks, a request
constexpr std::uint64_t kIndexChunk = 8 * kHashesPerGroup;
constexpr std::uint64_t kBlockSumsChunkBytes = 64 * 1024;


bool is_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

// Looks at an object's pages one after the other, in index order.
class PageChecker {
 public:
  using IndexSource = std::function<Result<PageIndex>(std::uint64_t first, std::uint64_t count)>;
  PageChecker(const Footer& footer, IndexSource source) : footer_(footer), source_(std::move(source)) {}

  // The next of the index; fetches it in chunks.
  Result<std::uint64_t> next_hash() {
    if (at_ == index_.hashes.size()) {
      CAIRN_ASSIGN(index_, source_(entry_, std::min(kIndexChunk, footer_.index_count - entry_)));
      at_ = 0;
    }
    ++entry_;
    return index_.hashes[at_++];
  }
  PageNo page() const {  // of the newest next_hash
    return index_.pages.empty() ? PageNo(static_cast<std::uint32_t>(entry_)) : index_.pages[at_ - 1];
  }
  std::uint64_t entry() const { return entry_; }  // how many were looked at

  Result<void> check_page(ByteView bytes, std::uint64_t hash) {
    if (page() == lock_byte_page(footer_.page_size)) {
      if (hash != 0 || !is_zero(bytes)) return damaged(fmt::format("page {} must be empty", page().value));
    } else if (page_hash(page(), bytes) != hash) {
      return damaged(fmt::format("page {} does not match its hash", page().value));
    }
    xor_of_hashes_ ^= hash;
    return {};
  }
  std::uint64_t xor_of_hashes() const { return xor_of_hashes_; }

 private:
  const Footer& footer_;
  IndexSource source_;
  PageIndex index_;
  std::size_t at_ = 0;
  std::uint64_t entry_ = 0;
  std::uint64_t xor_of_hashes_ = 0;
};

// The blocks as stored. zstd's own checksum covers what comes out of a block; this one also finds flipped bits that a
// decompressor happens not to look at.
class BlockSums {
 public:
  BlockSums(const Tail& tail, ObjectInput& input, std::uint64_t begin) : tail_(tail), input_(input), begin_(begin) {}

  // To be called before check(), for each block in order.
  Result<void> next() {
    at_ += block_++ == 0 ? 0 : 8;
    if (at_ < chunk_.size()) return {};
    sum_of_sums_.add(chunk_);
    chunk_begin_ += chunk_.size();
    at_ = 0;
    CAIRN_ASSIGN(chunk_, input_.read(begin_ + chunk_begin_, chunk_bytes()));
    return {};
  }
  Result<void> check(ByteView stored) const {
    if (block_checksum(stored) == load_le<std::uint64_t>(chunk_.data() + at_)) return {};
    return damaged(fmt::format("the checksum of block {} is wrong", block_));
  }
  // The checksums may be what was garbled. Those of earlier blocks were right: they stay, whatever comes now.
  Result<void> read_anew() {
    CAIRN_ASSIGN(const Bytes again, input_.read_anew(begin_ + chunk_begin_, chunk_bytes()));
    const auto at = static_cast<std::ptrdiff_t>(at_);
    std::copy(again.begin() + at, again.end(), chunk_.begin() + at);
    return {};
  }
  Result<void> check_end() {
    sum_of_sums_.add(chunk_);
    if (sum_of_sums_.value() != tail_.block_sums_checksum)
      return damaged("the checksum of its block checksums is wrong");
    return {};
  }

 private:
  std::uint64_t chunk_bytes() const { return std::min(kBlockSumsChunkBytes, tail_.block_sums_bytes - chunk_begin_); }

  const Tail& tail_;
  ObjectInput& input_;
  const std::uint64_t begin_;  // of the first, in the object
  RunningHash sum_of_sums_;
  Bytes chunk_;
  std::size_t at_ = 0;
  std::uint64_t chunk_begin_ = 0;
  std::uint64_t block_ = 0;
};

Result<void> check_snapshot_block(ByteView block, std::uint32_t page_size, PageChecker& pages) {
  for (; !block.empty(); block = block.subspan(page_size)) {
    CAIRN_ASSIGN(std::uint64_t hash, pages.next_hash());
    CAIRN_TRY(pages.check_page(block.first(page_size), hash));
  }
  return {};
}

// Lays the WAL down again beside what is read.
class WalChecker {
 public:
  explicit WalChecker(const Footer& footer)
      : footer_(footer), layout_(footer.lineage, footer.first, footer.page_size), run_(footer.points.begin()) {}

  Result<void> check_block(ByteView block, PageChecker& pages) {
    if (pages.entry() == 0) {
      if (!std::equal(layout_.header().begin(), layout_.header().end(), block.begin()))
        return damaged("its WAL header is not what its footer calls for");
      block = block.subspan(kWalHeaderBytes);
    }
    for (; !block.empty(); block = block.subspan(kWalFrameHeaderBytes + footer_.page_size)) {
      CAIRN_ASSIGN(std::uint64_t hash, pages.next_hash());
      ByteView page = block.subspan(kWalFrameHeaderBytes, footer_.page_size);
      bool commit = pages.entry() == run_->frame_end;
      WalFrameHeaderBytes expected = layout_.next_frame(pages.page(), commit ? run_->page_count : 0, page);
      if (commit) ++run_;
      if (std::memcmp(expected.data(), block.data(), expected.size()) != 0)
        return damaged(fmt::format("the header of WAL frame {} is not what its footer calls for", pages.entry()));
      CAIRN_TRY(pages.check_page(page, hash));
    }
    return {};
  }

 private:
  const Footer& footer_;
  WalLayout layout_;
  std::vector<RestorePoint>::const_iterator run_;
};

}  // namespace

Result<Footer> verify_object(ObjectReader& reader) { return reader.verify(); }

Result<Footer> ObjectReaderImpl::verify() {
  if (Result<void> checked = check_footer_header(); !checked) return about(checked.error());
  if (Result<void> checked = verify_data(); !checked) return about(checked.error());
  return footer_;
}

// Opening a snapshot does not read this far to the front.
Result<void> ObjectReaderImpl::check_footer_header() {
  return read_until_good(footer_begin_, kSkippableHeaderBytes, [&](ByteView header) -> Result<void> {
    if (!is_skippable_header(header.first<kSkippableHeaderBytes>(), kFooterFrameMagic, tail_.footer_bytes()))
      return damaged("its footer does not begin where its end says");
    return {};
  });
}

Result<void> ObjectReaderImpl::verify_data() {
  BlockSums sums(tail_, *input_, block_sums_begin());
  PageChecker pages(footer_, [this](std::uint64_t first, std::uint64_t count) { return read_index(first, count); });
  WalChecker wal(footer_);
  BlockDecompressor decompressor;
  Bytes raw;
  const auto check = [&](std::uint32_t block, ByteView stored) -> Result<void> {
    CAIRN_TRY(sums.next());
    const auto take = [&](ByteView bytes) -> Result<void> {
      CAIRN_TRY(sums.check(bytes));
      return decompress(block, bytes, decompressor, raw);
    };
    Result<void> good = take(stored);
    for (int reading = 2; may_be_garbled(good) && reading <= input_->readings(); ++reading) {
      CAIRN_TRY(sums.read_anew());
      CAIRN_ASSIGN(const Bytes again, input_->read_anew(blocks_[block].offset, blocks_[block].compressed_bytes));
      good = take(again);
    }
    if (!good) return good.error();
    return footer_.kind == ObjectKind::snapshot ? check_snapshot_block(raw, footer_.page_size, pages)
                                                : wal.check_block(raw, pages);
  };
  for (std::uint32_t first = 0; first < blocks_.size();) {
    std::uint32_t count = 1;
    std::uint64_t bytes = blocks_[first].compressed_bytes;
    while (first + count < blocks_.size() && bytes < kReadBytes) bytes += blocks_[first + count++].compressed_bytes;
    CAIRN_TRY(stream_blocks(first, count, check));
    first += count;
  }
  CAIRN_TRY(sums.check_end());
  if (footer_.kind == ObjectKind::snapshot && pages.xor_of_hashes() != footer_.hash_after())
    return damaged("its page hashes do not add up to its database hash");
  return {};
}

}  // namespace cairn::segment
