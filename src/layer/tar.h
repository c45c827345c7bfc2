// Entries as tar headers and back: POSIX.1-2017 pax interchange format ("ustar" blocks, extended headers of type x).
//
// Written so that any tar reads it, the same entry always as the same bytes: an extended header only where ustar has
// no room (mtime with a fraction, long or non-ASCII names, large numbers), extended attributes as SCHILY.xattr.<name>
// with raw values ('=' and '%' in a name as %3D and %25, as GNU tar does). What only Cairn needs (Entry::mark, holes,
// forgotten) is in one `comment` record, which readers ignore silently. A name that itself begins with `.wh.` is
// written as `.cairn-name-.wh.`... (tar_fields.h).
#pragma once

#include <optional>

#include "cairn/error.h"
#include "cairn/store.h"
#include "layer/entry.h"

namespace cairn::layer {

inline constexpr std::uint64_t kTarBlockBytes = 512;

// A file that has more holes is written with none, or with its largest: they are zeros in the tar anyway. Go's tar
// reader, and with it every container engine, refuses extended headers of more than 1 MiB; so many holes stay far
// below.
inline constexpr std::size_t kMaxHoles = 8192;

// What stands in front of an entry's contents: whole blocks. invalid: the entry breaks a rule of entry.h (paths inside,
// lists in order and without repetition, every field only where its kind has it, a hard link's target before it), or is
// larger than kMaxTarHeaderBytes.
Result<Bytes> write_tar_header(const Entry& entry);
// Zeros behind contents of that size, and the two blocks that end an archive.
std::uint64_t tar_padding(std::uint64_t size_bytes);
inline constexpr std::uint64_t kTarEndBytes = 2 * kTarBlockBytes;

struct TarHeader {
  Entry entry;
  std::uint64_t header_bytes = 0;  // the contents begin behind them
};
// The entry that `bytes` begins with. Nothing: `bytes` ends in the middle of it (at most kMaxTarHeaderBytes are asked
// for), or it is the end of the archive (a block of zeros). corrupt: anything that write_tar_header does not write,
// above all paths that would lead out of the layer. Never reads past `bytes`, whatever they are.
Result<std::optional<TarHeader>> parse_tar_header(ByteView bytes);
inline constexpr std::uint64_t kMaxTarHeaderBytes = 16u << 20;

}  // namespace cairn::layer
