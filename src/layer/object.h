// The bytes of a layer object, written and read. docs/format.md is the specification.
//
//   data      independent zstd frames of about 1 MiB before compression; decompressed one after the other, they are
//             the tar. Small entries share a frame; a file of kBigFileBytes or more begins a frame of its own, and so
//             does what follows it, so that its blocks of kFrameTarget bytes are the same frames in every layer
//   index     one zstd skippable frame: all tar headers in order without the contents, with a 64-bit hash (XXH3) of
//             each file's contents, compressed in chunks; a 64-bit hash of each frame's bytes before compression; a
//             directory of the chunks; the digest
//   seek table  of the zstd seekable format, the last bytes, the index an entry of it with size 0
//
// So a tar is read by any tool, and with the index alone Cairn knows every entry and where its contents lie.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"
#include "layer/entry.h"

namespace cairn::layer {

inline constexpr std::uint32_t kFrameTarget = 1u << 20;
inline constexpr std::uint64_t kBigFileBytes = 2u << 20;
inline constexpr std::uint32_t kMaxFrameBytes = 32u << 20;  // before compression: an entry with the largest header fits

// XXH3, as an index has it of each file's contents and of each frame before compression.
std::uint64_t hash_of(ByteView bytes);

struct FrameInfo {
  std::uint64_t offset = 0;            // in the object
  std::uint64_t tar_offset = 0;        // of its first byte, in the tar
  std::uint32_t compressed_bytes = 0;
  std::uint32_t size_bytes = 0;        // before compression
  std::uint64_t hash = 0;              // of those
  bool operator==(const FrameInfo&) const = default;
};

// torn: the file kept changing while it was read, so its bytes may be of several moments.
enum class Contents : std::uint8_t { whole, torn };

// Collects what the end of an object says, and writes it. Serializable, so that a sync that was killed goes on.
class IndexBuilder {
 public:
  IndexBuilder();
  ~IndexBuilder();
  IndexBuilder(IndexBuilder&&) noexcept;
  IndexBuilder& operator=(IndexBuilder&&) noexcept;

  // At most kMaxFrameBytes before compression.
  void add_frame(std::uint32_t compressed_bytes, std::uint32_t size_bytes, std::uint64_t hash);
  // Once an entry's contents are all in the tar. `header`: as it stands there. content_hash: 0 without contents.
  void add_entry(ByteView header, std::uint64_t content_hash, Contents contents);
  std::uint64_t entry_count() const;
  std::uint64_t data_bytes() const;  // compressed bytes of all frames so far

  // The index and the seek table. digest: SHA-256 of the tar. The frames must hold all entries and the end of the tar.
  // unsupported: more frames, or a larger index, than an object can have.
  Result<Bytes> finish(const std::array<std::uint8_t, 32>& digest) const;

  // All of the state, and back. corrupt: it is not that.
  Bytes save() const;
  static Result<IndexBuilder> restore(ByteView saved);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct IndexedEntry {
  Entry entry;
  std::uint64_t data_offset = 0;   // of its contents, in the tar
  std::uint64_t content_hash = 0;  // XXH3, 64 bits; 0 without contents
  Contents contents = Contents::whole;
};

// All entries of a layer in order. Memory stays flat. The reader must outlive it.
class EntryCursor {
 public:
  virtual ~EntryCursor() = default;
  virtual Result<std::optional<IndexedEntry>> next() = 0;  // nothing: the end. corrupt
  // Leaves out what comes before `path`, which must not be before what next() gave: next() is the first entry at or
  // behind it. Reads only the part of the index where that lies.
  virtual Result<void> skip_to(std::string_view path) = 0;
};

// Frames may be fetched and decoded from any thread, and several cursors may be at work at once, each on one thread.
class LayerReader {
 public:
  // One request for most layers: the end of the object. not_found, corrupt, unsupported (a newer format).
  static Result<std::unique_ptr<LayerReader>> open(Store& store, std::string key);
  virtual ~LayerReader() = default;

  virtual const std::string& key() const = 0;
  virtual std::string digest() const = 0;  // 64 hexadecimal digits
  virtual std::uint64_t tar_size_bytes() const = 0;
  virtual std::uint64_t object_size_bytes() const = 0;
  virtual const std::vector<FrameInfo>& frames() const = 0;
  virtual std::uint64_t entry_count() const = 0;
  virtual std::uint64_t hard_link_count() const = 0;  // of them
  virtual std::uint64_t torn_count() const = 0;
  virtual std::unique_ptr<EntryCursor> entries() const = 0;

  // Frame that holds byte `tar_offset` of the tar.
  virtual std::uint64_t frame_at(std::uint64_t tar_offset) const = 0;
  // Frames [first, first + count) as they are stored, with one request, or with none when open() has read them already.
  virtual Result<Bytes> fetch_frames(std::uint64_t first, std::uint64_t count) const = 0;
  // One of them, decompressed, its hash checked. `stored`: its bytes, compressed_bytes of them; `into`: room for its
  // size_bytes. corrupt
  virtual Result<void> decode_frame(std::uint64_t frame, ByteView stored, std::span<std::byte> into) const = 0;
  // Both, for a run of frames: each is handed to `visit` in order.
  using Visit = std::function<Result<void>(std::uint64_t frame, ByteView bytes)>;
  virtual Result<void> visit_frames(std::uint64_t first, std::uint64_t count, const Visit& visit) const = 0;
};

}  // namespace cairn::layer
