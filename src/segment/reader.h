// Reading our objects from a store, or from a local file: the footer from the end, then any block by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "segment/format.h"
#include "segment/zstd_block.h"

namespace cairn::segment {

// Where a page's bytes lie: inside which block, and where in its decompressed bytes.
struct PageLocation {
  std::uint32_t block = 0;
  std::uint32_t offset = 0;
};

struct BlockInfo {
  std::uint64_t offset = 0;  // in the object
  std::uint32_t compressed_bytes = 0;
  std::uint32_t size_bytes = 0;  // decompressed
};

// How much of an object's end is read first.
inline constexpr std::uint64_t kFirstReadBytes = 64 * 1024;
// yes: the reader holds on to that, so that an object which is not larger costs one request in all.
enum class KeepEnd { no, yes };

// What reading blocks takes: 160 KB and more. Whoever reads of many small objects uses one again.
struct BlockScratch {
  BlockDecompressor decompressor;
  Bytes bytes;
};

// An object whose footer has been read and checked. Everything read from it is checked against checksums before it
// is returned: `corrupt` otherwise, with the key in the message; `unsupported` for a newer format version. What a store
// gives and is found damaged is read again, since it may have been garbled on its way: `corrupt` is what stays so.
// Safe from many threads once opened. The store (or source) must outlive it.
class ObjectReader {
 public:
  // One get_suffix for small objects, two when the footer is larger than the first guess. `footer` is checked
  // against the key's name where that says something (kind, sequences).
  // Whoever knows how large the object is may have more of its end read at first than kFirstReadBytes.
  static Result<std::unique_ptr<ObjectReader>> open(Store& store, const std::string& key, KeepEnd keep = KeepEnd::no,
                                                    std::uint64_t first_read_bytes = kFirstReadBytes);
  static Result<std::unique_ptr<ObjectReader>> open(const Source& source, std::string name);
  virtual ~ObjectReader() = default;

  // Its key, or what a local file was called: for messages.
  virtual const std::string& name() const = 0;
  virtual const Footer& footer() const = 0;
  virtual std::uint64_t object_size_bytes() const = 0;
  virtual const std::vector<BlockInfo>& blocks() const = 0;
  // Block `block` holds the entries from block * entries_per_block() on: as many, or what is left.
  virtual std::uint32_t entries_per_block() const = 0;

  // The page index, entries [first, first + count). Of a segment all of it is in memory anyway; of a snapshot the
  // hashes are fetched when asked for.
  virtual Result<PageIndex> index(std::uint64_t first = 0, std::optional<std::uint64_t> count = std::nullopt) = 0;

  // All of it, of a segment; empty of a snapshot.
  virtual const PageIndex& segment_index() const = 0;

  // Where the frame (or page, of a snapshot) of index entry `entry` lies. Its bytes are page_size long.
  virtual PageLocation locate(std::uint64_t entry) const = 0;

  // What is said of each block as it is stored; corrupt, if that does not match its own checksum.
  virtual Result<std::vector<StoredBlock>> stored_blocks() = 0;

  // Blocks [first, first + count), fetched with one request, each decompressed and its checksum verified.
  virtual Result<std::vector<Bytes>> read_blocks(std::uint32_t first, std::uint32_t count) = 0;

  // The same, but decompressed one at a time into one buffer, which `visit` may change and which is gone
  // afterwards: for large ranges it takes a fraction of the memory, and the bytes are still in the processor's
  // cache when they are looked at. An error of `visit` ends it and is returned as it is.
  using BlockVisitor = std::function<Result<void>(std::uint32_t block, std::span<std::byte> bytes)>;
  virtual Result<void> visit_blocks(std::uint32_t first, std::uint32_t count, const BlockVisitor& visit,
                                    BlockScratch& scratch) = 0;
  Result<void> visit_blocks(std::uint32_t first, std::uint32_t count, const BlockVisitor& visit);

  // See verify_object.
  virtual Result<Footer> verify() = 0;
};

// "<name> is damaged: <what>. <what to do>"
Error damaged_object(std::string_view name, std::string_view what);

// Reads an object whole and checks everything that can be checked of it alone: zstd checksums, WAL salts and
// running checksums, commit marks, page hashes, order of pages, size, footer. Returns the footer.
Result<Footer> verify_object(ObjectReader& reader);

}  // namespace cairn::segment
