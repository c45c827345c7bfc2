#include "restore/fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/parallel.h"
#include "restore/snapshot_hashes.h"

namespace cairn::restore {
namespace {

constexpr std::uint64_t kWritebackBytes = 8 << 20;

// Cuts the wanted blocks of one link into ranges.
class Grouper {
 public:
  Grouper(const ChainLink& link, std::uint32_t number, std::uint64_t most_bytes, std::vector<BlockRange>& ranges)
      : link_(link), blocks_(link.reader->blocks()), number_(number), most_bytes_(most_bytes), ranges_(ranges) {}

  Result<void> add(std::uint64_t entry) {
    const std::uint32_t block = link_.reader->locate(entry).block;
    if (block >= blocks_.size()) {
      return segment::damaged_object(link_.object.name.key, fmt::format("page {} of its index lies in no block",
                                                                        entry + 1));
    }
    if (!open_ || block != end_ - 1) begin_or_extend(block, entry);
    ranges_.back().end_entry = entry + 1;
    return {};
  }

 private:
  void begin_or_extend(std::uint32_t block, std::uint64_t entry) {
    if (open_ && block >= end_) {
      std::uint64_t gap = 0, compressed = ranges_.back().compressed_bytes, size = ranges_.back().size_bytes;
      for (std::uint32_t i = end_; i <= block && gap <= kRequestCostBytes; ++i) {
        if (i < block) gap += blocks_[i].compressed_bytes;
        compressed += blocks_[i].compressed_bytes;
        size += blocks_[i].size_bytes;
      }
      if (gap <= kRequestCostBytes && compressed <= most_bytes_ && size <= most_bytes_) {
        BlockRange& range = ranges_.back();
        range.block_count = block + 1 - range.first_block;
        range.compressed_bytes = compressed;
        range.size_bytes = size;
        end_ = block + 1;
        return;
      }
    }
    ranges_.push_back({number_, block, 1, entry, entry + 1, blocks_[block].compressed_bytes,
                       blocks_[block].size_bytes});
    open_ = true;
    end_ = block + 1;
  }

  const ChainLink& link_;
  const std::vector<segment::BlockInfo>& blocks_;
  const std::uint32_t number_;
  const std::uint64_t most_bytes_;  // of a range
  std::vector<BlockRange>& ranges_;
  bool open_ = false;
  std::uint32_t end_ = 0;  // the block behind the range that is being grown
};

// One thread's view of the index of a link: page number and hash of an entry.
class Entries {
 public:
  Entries(const ChainLink& link, SnapshotHashes* hashes) : link_(link), hashes_(hashes) {}

  // Makes entries [first, end) known.
  Result<void> load(std::uint64_t first, std::uint64_t end) {
    first_ = first;
    if (hashes_ != nullptr) return {};
    CAIRN_ASSIGN(index_, link_.reader->index(first, end - first));
    if (index_.pages.size() == end - first && index_.hashes.size() == end - first) return {};
    return segment::damaged_object(link_.object.name.key, "its page index is shorter than it says");
  }
  PageNo page(std::uint64_t entry) const {
    return hashes_ != nullptr ? PageNo(static_cast<std::uint32_t>(entry + 1)) : index_.pages[entry - first_];
  }
  Result<std::uint64_t> hash(std::uint64_t entry) {
    if (hashes_ == nullptr) return index_.hashes[entry - first_];
    const std::uint64_t at = entry % SnapshotHashes::kChunk;
    if (!chunk_ || entry / SnapshotHashes::kChunk != chunk_number_) {
      CAIRN_ASSIGN(chunk_, hashes_->around(entry));
      chunk_number_ = entry / SnapshotHashes::kChunk;
    }
    if (at < chunk_->size()) return (*chunk_)[at];
    return segment::damaged_object(link_.object.name.key, "its page index is shorter than it says");
  }

 private:
  const ChainLink& link_;
  SnapshotHashes* hashes_;  // of a snapshot; null for a segment
  std::uint64_t first_ = 0;
  segment::PageIndex index_;
  SnapshotHashes::Chunk chunk_;
  std::uint64_t chunk_number_ = 0;
};

// What the threads of one restore share.
struct Shared {
  Shared(const Chain& chain_in, File& file_in, PageTotals& totals_in)
      : chain(chain_in), file(file_in), totals(totals_in), snapshot_hashes(*chain_in.links.front().reader) {}

  SnapshotHashes* hashes_of(std::uint32_t link) { return link == 0 ? &snapshot_hashes : nullptr; }

  const Chain& chain;
  File& file;
  PageTotals& totals;
  SnapshotHashes snapshot_hashes;
};

// The wanted pages of one decompressed block, from `entry` on; afterwards `entry` is the first one behind the block.
Result<void> write_block(Shared& shared, const BlockRange& range, const Bitmap& wanted, Entries& entries,
                         std::uint32_t block, std::span<std::byte> bytes, std::uint64_t& entry) {
  const ChainLink& link = shared.chain.links[range.link];
  const std::uint32_t page_size = shared.chain.page_size;
  PageWriter writer(shared.file, page_size, shared.totals);
  for (; entry < range.end_entry; ++entry) {
    if (!wanted.test(entry)) continue;
    const segment::PageLocation at = link.reader->locate(entry);
    if (at.block != block) break;
    if (std::uint64_t{at.offset} + page_size > bytes.size()) {
      return segment::damaged_object(link.object.name.key, "a page of its index lies outside of its block");
    }
    CAIRN_ASSIGN(const std::uint64_t expected, entries.hash(entry));
    CAIRN_TRY(writer.add(entries.page(entry), bytes.subspan(at.offset, page_size), expected, link.object.name.key));
  }
  return writer.flush();
}

// Tells the disk to begin with pages of a snapshot, some MiB at a time, while more of them are on their way: most of
// the final fsync is done by then.
class Writeback {
 public:
  Writeback(Shared& shared, const BlockRange& range)
      : shared_(shared), wanted_(range.link == 0), from_(range.first_entry) {}

  // Everything before `entry` has been written.
  void written_to(std::uint64_t entry, std::uint64_t least_bytes) {
    const std::uint64_t page_size = shared_.chain.page_size, bytes = (entry - from_) * page_size;
    if (!wanted_ || bytes < least_bytes) return;
    shared_.file.start_writeback(from_ * page_size, bytes);
    from_ = entry;
  }

 private:
  Shared& shared_;
  const bool wanted_;
  std::uint64_t from_;
};

// `on_block` is called after each block, with its bytes as they were fetched.
Result<void> fetch_range(Shared& shared, const BlockRange& range, const Bitmap& wanted,
                         const std::function<Result<void>(std::uint64_t fetched_bytes)>& on_block) {
  const ChainLink& link = shared.chain.links[range.link];
  Entries entries(link, shared.hashes_of(range.link));
  CAIRN_TRY(entries.load(range.first_entry, range.end_entry));
  std::uint64_t entry = range.first_entry;
  Writeback writeback(shared, range);
  const auto take_block = [&](std::uint32_t block, std::span<std::byte> bytes) -> Result<void> {
    CAIRN_TRY(write_block(shared, range, wanted, entries, block, bytes, entry));
    writeback.written_to(entry, kWritebackBytes);
    return on_block(link.reader->blocks()[block].compressed_bytes);
  };
  CAIRN_TRY(link.reader->visit_blocks(range.first_block, range.block_count, take_block));
  writeback.written_to(range.end_entry, 1);
  return {};
}

// Entries looked at as one piece of work: a multiple of 64, so that no two threads share a word of the bitmap.
constexpr std::uint64_t kReuseEntries = 8192;
constexpr std::uint64_t kReuseReadBytes = 256 * 1024;

struct ReusePiece {
  std::uint32_t link = 0;
  std::uint64_t first = 0, end = 0;
};

// Reads `count` neighbouring pages from `first_page` on and keeps those whose hash is right.
Result<void> reuse_run(Shared& shared, const File& existing, Entries& entries, std::uint64_t first_entry,
                       std::uint64_t count, Bitmap& wanted, Bytes& buffer) {
  const std::uint32_t page_size = shared.chain.page_size;
  const PageNo first_page = entries.page(first_entry);
  buffer.resize(count * page_size);
  CAIRN_ASSIGN(const std::size_t got, existing.read_at(std::uint64_t{first_page.value - 1} * page_size, buffer));
  PageWriter writer(shared.file, page_size, shared.totals);
  for (std::uint64_t i = 0; i < got / page_size; ++i) {
    const PageNo page(static_cast<std::uint32_t>(first_page.value + i));
    std::span<std::byte> bytes(buffer.data() + i * page_size, page_size);
    const std::uint64_t hash = segment::page_hash(page, bytes);
    CAIRN_ASSIGN(const std::uint64_t expected, entries.hash(first_entry + i));
    if (hash != expected) continue;
    CAIRN_TRY(writer.add_checked(page, bytes, hash));
    wanted.clear(first_entry + i);
  }
  return writer.flush();
}

Result<void> reuse_piece(Shared& shared, const File& existing, const ReusePiece& piece, Bitmap& wanted) {
  Entries entries(shared.chain.links[piece.link], shared.hashes_of(piece.link));
  CAIRN_TRY(entries.load(piece.first, piece.end));
  const std::uint64_t longest = std::max<std::uint64_t>(1, kReuseReadBytes / shared.chain.page_size);
  Bytes buffer;
  for (std::uint64_t entry = piece.first; entry < piece.end;) {
    if (!wanted.test(entry)) {
      ++entry;
      continue;
    }
    std::uint64_t count = 1;
    while (count < longest && entry + count < piece.end && wanted.test(entry + count) &&
           entries.page(entry + count).value == entries.page(entry).value + count) {
      ++count;
    }
    CAIRN_TRY(reuse_run(shared, existing, entries, entry, count, wanted, buffer));
    entry += count;
  }
  return {};
}

}  // namespace

Result<std::vector<BlockRange>> group_blocks(const Chain& chain, const Selection& selection, int threads) {
  const std::uint64_t all_bytes = std::uint64_t{chain.point.page_count} * chain.page_size;
  const std::uint64_t most_bytes = longest_range_bytes(all_bytes, threads);
  std::vector<BlockRange> ranges;
  for (std::uint32_t i = 0; i < chain.links.size(); ++i) {
    const Bitmap& wanted = selection.wanted[i];
    Grouper grouper(chain.links[i], i, most_bytes, ranges);
    for (std::uint64_t entry = 0; entry < wanted.size(); ++entry) {
      if (wanted.test(entry)) CAIRN_TRY(grouper.add(entry));
    }
  }
  return ranges;
}

Result<void> fetch_pages(const Chain& chain, const Selection& selection, const std::vector<BlockRange>& ranges,
                         File& file, Executor& executor, PageTotals& totals, const FetchOptions& options) {
  std::uint64_t total = 0;
  for (const BlockRange& range : ranges) total += range.compressed_bytes;
  if (options.progress) options.progress(0, total);
  Shared shared(chain, file, totals);
  std::atomic<std::uint64_t> done = 0;
  const auto on_block = [&](std::uint64_t fetched_bytes) -> Result<void> {
    const std::uint64_t bytes = done.fetch_add(fetched_bytes) + fetched_bytes;
    if (options.progress) options.progress(bytes, total);
    if (options.stop.stop_requested()) return Error(ErrorKind::cancelled, "stopped on request");
    return {};
  };
  return parallel_for(
      executor, ranges.size(),
      [&](std::uint64_t i) { return fetch_range(shared, ranges[i], selection.wanted[ranges[i].link], on_block); },
      options.stop);
}

Result<void> reuse_pages(const Chain& chain, Selection& selection, const File& existing, File& file,
                         Executor& executor, PageTotals& totals, std::stop_token stop) {
  std::vector<ReusePiece> pieces;
  for (std::uint32_t i = 0; i < chain.links.size(); ++i) {
    for (std::uint64_t first = 0; first < selection.wanted[i].size(); first += kReuseEntries) {
      pieces.push_back({i, first, std::min(first + kReuseEntries, selection.wanted[i].size())});
    }
  }
  Shared shared(chain, file, totals);
  return parallel_for(
      executor, pieces.size(),
      [&](std::uint64_t i) -> Result<void> {
        return reuse_piece(shared, existing, pieces[i], selection.wanted[pieces[i].link]);
      },
      std::move(stop));
}

}  // namespace cairn::restore
