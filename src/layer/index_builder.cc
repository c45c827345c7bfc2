// Headers go into the chunk that is open; when it is full it is compressed, and only its compressed bytes are kept:
// some 80 bytes an entry, 24 a frame. Where a chunk ends depends on the entries alone, so that a sync that was
// interrupted, saved and restored writes the same object as one that was not.

#include <fmt/format.h>

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "layer/object_format.h"
#include "segment/zstd_block.h"

namespace cairn::layer {
namespace {

constexpr int kIndexLevel = 3;
constexpr std::uint32_t kSavedMagic = 0x58495943;  // of a saved builder: it never leaves the machine

template <class Number>
void append_number(Bytes& bytes, Number number) {
  bytes.resize(bytes.size() + sizeof number);
  store_le(bytes.data() + bytes.size() - sizeof number, number);
}

}  // namespace

struct IndexBuilder::State {
  Bytes hashes;        // 8 bytes a frame, as in the index
  Bytes seek_entries;  // 8 bytes a frame, as in the seek table
  Bytes chunks, directory;
  Bytes open_chunk;  // records, not compressed yet
  Bytes open_path;   // the path that it begins with
  std::uint64_t open_entries = 0, open_tar_offset = 0;
  std::uint64_t entries = 0, torn = 0, hard_links = 0, chunk_count = 0;
  std::uint64_t data_bytes = 0;    // compressed bytes of all frames
  std::uint64_t framed_bytes = 0;  // what they hold
  std::uint64_t tar_bytes = 0;     // headers, contents and padding of all entries

  std::uint64_t frame_count() const { return hashes.size() / 8; }

  // Everything, in one order, for saving and restoring.
  template <class Self, class Visit>
  static void each_field(Self& self, Visit visit) {
    for (auto* bytes : {&self.hashes, &self.seek_entries, &self.chunks, &self.directory, &self.open_chunk,
                        &self.open_path})
      visit(*bytes);
    for (auto* number : {&self.open_entries, &self.open_tar_offset, &self.entries, &self.torn, &self.hard_links,
                         &self.chunk_count, &self.data_bytes, &self.framed_bytes, &self.tar_bytes})
      visit(*number);
  }

  Result<void> close_chunk() {
    if (open_entries == 0) return {};
    segment::BlockCompressor compressor(kIndexLevel);
    CAIRN_ASSIGN(const Bytes compressed, compressor.compress(open_chunk));
    Chunk chunk;
    chunk.compressed_bytes = static_cast<std::uint32_t>(compressed.size());
    chunk.size_bytes = static_cast<std::uint32_t>(open_chunk.size());
    chunk.entries = open_entries;
    chunk.tar_offset = open_tar_offset;
    chunk.checksum = hash_of(compressed);
    chunk.first_path = as_text(open_path);
    append(chunks, compressed);
    append_chunk(directory, chunk);
    ++chunk_count;
    open_chunk.clear();
    open_entries = 0;
    return {};
  }

  IndexTail tail(const std::array<std::uint8_t, 32>& digest) const {
    IndexTail tail;
    tail.digest = digest;
    tail.tar_bytes = framed_bytes;
    tail.entries = entries;
    tail.torn = torn;
    tail.hard_links = hard_links;
    tail.frames = frame_count();
    tail.chunks = chunk_count;
    tail.chunks_bytes = chunks.size();
    tail.directory_bytes = directory.size();
    tail.hashes_checksum = hash_of(hashes);
    tail.directory_checksum = hash_of(directory);
    tail.seek_checksum = hash_of(seek_entries);
    return tail;
  }
};

IndexBuilder::IndexBuilder() : state_(std::make_unique<State>()) {}
IndexBuilder::~IndexBuilder() = default;
IndexBuilder::IndexBuilder(IndexBuilder&&) noexcept = default;
IndexBuilder& IndexBuilder::operator=(IndexBuilder&&) noexcept = default;

void IndexBuilder::add_frame(std::uint32_t compressed_bytes, std::uint32_t size_bytes, std::uint64_t hash) {
  CAIRN_CHECK(size_bytes > 0 && size_bytes <= kMaxFrameBytes);
  append_number(state_->hashes, hash);
  append_number(state_->seek_entries, compressed_bytes);
  append_number(state_->seek_entries, size_bytes);
  state_->data_bytes += compressed_bytes;
  state_->framed_bytes += size_bytes;
}

void IndexBuilder::add_entry(ByteView header, std::uint64_t content_hash, Contents contents) {
  const auto parsed = parse_tar_header(header);
  CAIRN_CHECK(parsed && *parsed && (*parsed)->header_bytes == header.size());
  const Entry& entry = (*parsed)->entry;
  State& state = *state_;
  if (state.open_entries == 0) {
    const ByteView path = as_bytes(entry.path);
    state.open_path.assign(path.begin(), path.end());
    state.open_tar_offset = state.tar_bytes;
  }
  append_number(state.open_chunk, content_hash);
  append_number(state.open_chunk, contents == Contents::torn ? kTornFlag : std::uint8_t{0});
  append(state.open_chunk, header);
  ++state.open_entries;
  ++state.entries;
  if (contents == Contents::torn) ++state.torn;
  if (entry.kind == EntryKind::hard_link) ++state.hard_links;
  state.tar_bytes += header.size() + entry.size_bytes + tar_padding(entry.size_bytes);
  if (state.open_chunk.size() >= kChunkTarget) CAIRN_CHECK(state.close_chunk());  // fails only without memory
}

std::uint64_t IndexBuilder::entry_count() const { return state_->entries; }
std::uint64_t IndexBuilder::data_bytes() const { return state_->data_bytes; }

Result<Bytes> IndexBuilder::finish(const std::array<std::uint8_t, 32>& digest) const {
  State state = *state_;
  CAIRN_CHECK(state.tar_bytes + kTarEndBytes == state.framed_bytes);
  CAIRN_TRY(state.close_chunk());
  const IndexTail tail = state.tail(digest);
  const std::uint64_t inside_bytes = tail.index_bytes() - segment::kSkippableHeaderBytes;
  if (tail.frames > kMaxFrames || inside_bytes > kMaxIndexBytes) {
    return Error(ErrorKind::unsupported, fmt::format("a layer cannot have {} entries in {} frames: that is more than "
                                                     "its index can hold", state.entries, tail.frames));
  }
  Bytes end;
  end.reserve(tail.index_bytes() + segment::seek_table_bytes(tail.frames));
  append(end, segment::write_skippable_header(kIndexFrameMagic, static_cast<std::uint32_t>(inside_bytes)));
  append(end, state.chunks);
  append(end, state.hashes);
  append(end, state.directory);
  append(end, write_index_tail(tail));
  segment::append_seek_table(end, state.seek_entries, static_cast<std::uint32_t>(tail.index_bytes()));
  return end;
}

Bytes IndexBuilder::save() const {
  struct Writer {
    Bytes& saved;
    void operator()(const Bytes& bytes) {
      append_number(saved, std::uint64_t{bytes.size()});
      append(saved, bytes);
    }
    void operator()(std::uint64_t number) { append_number(saved, number); }
  };
  Bytes saved;
  append_number(saved, kSavedMagic);
  State::each_field(std::as_const(*state_), Writer{saved});
  append_number(saved, hash_of(saved));
  return saved;
}

Result<IndexBuilder> IndexBuilder::restore(ByteView saved) {
  struct Reader {
    ByteView& left;
    bool& good;
    void operator()(std::uint64_t& number) {
      good = good && left.size() >= sizeof number;
      if (!good) return;
      number = load_le<std::uint64_t>(left.data());
      left = left.subspan(sizeof number);
    }
    void operator()(Bytes& bytes) {
      std::uint64_t size = 0;
      (*this)(size);
      good = good && left.size() >= size;
      if (!good) return;
      bytes.assign(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(size));
      left = left.subspan(size);
    }
  };
  const Error damaged(ErrorKind::corrupt, "the saved state of an index is damaged");
  constexpr std::size_t kFrame = sizeof kSavedMagic + sizeof(std::uint64_t);
  if (saved.size() < kFrame || load_le<std::uint32_t>(saved.data()) != kSavedMagic) return damaged;
  const ByteView checked = saved.first(saved.size() - sizeof(std::uint64_t));
  if (load_le<std::uint64_t>(saved.data() + checked.size()) != hash_of(checked)) return damaged;
  ByteView left = checked.subspan(sizeof kSavedMagic);
  bool good = true;
  IndexBuilder builder;
  State::each_field(*builder.state_, Reader{left, good});
  if (!good || !left.empty()) return damaged;
  return builder;
}

}  // namespace cairn::layer
