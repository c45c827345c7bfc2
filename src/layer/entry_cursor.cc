// Walks the chunks of an index. Keeps one chunk decompressed and at most a run of compressed ones: a request brings
// about kFetchTarget bytes, so that a large index does not cost a request for each of its chunks.

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/errors.h"
#include "layer/layer_reader.h"
#include "segment/zstd_block.h"

namespace cairn::layer {
namespace {

constexpr std::uint64_t kFetchTarget = 1u << 20;

class Cursor final : public EntryCursor {
 public:
  explicit Cursor(const LayerReaderImpl& reader) : reader_(reader) {}

  Result<std::optional<IndexedEntry>> next() override {
    if (pending_) return std::exchange(pending_, std::nullopt);
    auto entry = read_next();
    if (!entry) return reader_.about(entry.error());
    return entry;
  }

  Result<void> skip_to(std::string_view path) override {
    if (pending_ && !in_order(pending_->entry.path, path)) return {};
    pending_.reset();
    // The last chunk that begins before the path. An entry of just this path may stand at its end, its opaque mark at
    // the beginning of the one behind it.
    const auto& chunks = reader_.chunks();
    const auto behind = std::ranges::partition_point(
        chunks, [&](const Chunk& chunk) { return in_order(chunk.first_path, path); });
    const auto wanted = static_cast<std::size_t>(std::max<std::ptrdiff_t>(behind - chunks.begin() - 1, 0));
    if (wanted >= next_chunk_ && wanted < chunks.size()) {
      next_chunk_ = wanted;
      records_ = {};
      entries_left_ = 0;
      tar_offset_ = chunks[wanted].tar_offset;
    }
    for (;;) {
      CAIRN_ASSIGN(std::optional<IndexedEntry> entry, next());
      if (!entry) return {};
      if (in_order(entry->entry.path, path)) continue;
      pending_ = std::move(entry);
      return {};
    }
  }

 private:
  Result<std::optional<IndexedEntry>> read_next() {
    if (entries_left_ == 0) {
      if (!records_.empty()) return damaged("a chunk of its index is longer than its entries");
      if (next_chunk_ == reader_.chunks().size()) {
        if (tar_offset_ + kTarEndBytes != reader_.tar_size_bytes())
          return damaged("its entries do not add up to its tar");
        return std::optional<IndexedEntry>();
      }
      CAIRN_TRY(open_chunk());
    }
    return read_record();
  }

  Result<void> open_chunk() {
    const Chunk& chunk = reader_.chunks()[next_chunk_];
    if (next_chunk_ < fetched_begin_ || next_chunk_ >= fetched_end_) CAIRN_TRY(fetch());
    const ByteView stored =
        ByteView(fetched_).subspan(chunk.offset - reader_.chunks()[fetched_begin_].offset, chunk.compressed_bytes);
    if (XXH3_64bits(stored.data(), stored.size()) != chunk.checksum)
      return damaged("the checksum of a chunk of its index is wrong");
    chunk_.resize(chunk.size_bytes);
    if (auto done = decompressor_.decompress(stored, chunk_); !done) return done.error().with("a chunk of its index");
    if (tar_offset_ != chunk.tar_offset) return damaged("its entries do not lie where its directory says");
    records_ = chunk_;
    entries_left_ = chunk.entries;
    first_of_chunk_ = true;
    ++next_chunk_;
    return {};
  }

  Result<void> fetch() {
    const auto& chunks = reader_.chunks();
    std::size_t end = next_chunk_ + 1;
    while (end < chunks.size() &&
           chunks[end].offset + chunks[end].compressed_bytes - chunks[next_chunk_].offset <= kFetchTarget)
      ++end;
    CAIRN_ASSIGN(fetched_, reader_.fetch_chunks(next_chunk_, end - next_chunk_));
    fetched_begin_ = next_chunk_;
    fetched_end_ = end;
    return {};
  }

  Result<std::optional<IndexedEntry>> read_record() {
    if (records_.size() < kRecordBytes) return damaged("a chunk of its index is cut short");
    IndexedEntry indexed;
    indexed.content_hash = load_le<std::uint64_t>(records_.data());
    const auto flags = std::to_integer<std::uint8_t>(records_[8]);
    if (flags > kTornFlag) return damaged("an entry of its index has unknown flags");
    indexed.contents = flags == kTornFlag ? Contents::torn : Contents::whole;
    CAIRN_ASSIGN(std::optional<TarHeader> header, parse_tar_header(records_.subspan(kRecordBytes)));
    if (!header) return damaged("a chunk of its index is cut short");
    records_ = records_.subspan(kRecordBytes + header->header_bytes);
    --entries_left_;
    indexed.entry = std::move(header->entry);
    CAIRN_TRY(check_order(indexed.entry));
    indexed.data_offset = tar_offset_ + header->header_bytes;
    const std::uint64_t size = indexed.entry.size_bytes;
    const std::uint64_t left = reader_.tar_size_bytes() - std::min(reader_.tar_size_bytes(), indexed.data_offset);
    if (size > left || tar_padding(size) > left - size) return damaged("an entry reaches beyond the end of its tar");
    tar_offset_ = indexed.data_offset + size + tar_padding(size);
    return std::optional<IndexedEntry>(std::move(indexed));
  }

  // Each path once, ascending; only an opaque mark has the path of the directory in front of it.
  Result<void> check_order(const Entry& entry) {
    if (first_of_chunk_ && entry.path != reader_.chunks()[next_chunk_ - 1].first_path)
      return damaged("a chunk of its index begins with another path than its directory says");
    first_of_chunk_ = false;
    const bool marks_directory = entry.kind == EntryKind::opaque && before_ == EntryKind::directory;
    const bool ascends = !before_ || in_order(path_before_, entry.path) ||
                         (marks_directory && path_before_ == entry.path);
    if (!ascends) return damaged(fmt::format("its entries are not in order at '{}'", entry.path));
    before_ = entry.kind;
    path_before_ = entry.path;
    return {};
  }

  const LayerReaderImpl& reader_;
  segment::BlockDecompressor decompressor_;
  Bytes fetched_;  // chunks [fetched_begin_, fetched_end_) as stored
  std::size_t fetched_begin_ = 0, fetched_end_ = 0;
  std::size_t next_chunk_ = 0;
  Bytes chunk_;
  ByteView records_;  // what is left of it
  std::uint64_t entries_left_ = 0;
  bool first_of_chunk_ = false;
  std::uint64_t tar_offset_ = 0;  // of the next header
  std::optional<EntryKind> before_;
  std::string path_before_;
  std::optional<IndexedEntry> pending_;  // what skip_to found
};

}  // namespace

std::unique_ptr<EntryCursor> LayerReaderImpl::entries() const { return std::make_unique<Cursor>(*this); }

}  // namespace cairn::layer
