// The first 100 bytes of a database file, and which libraries have the WAL-reset bug.
#include <fmt/format.h>

#include <bit>
#include <string_view>

#include "base/bytes.h"
#include "wal/wal.h"

namespace cairn::wal {
namespace {

constexpr std::size_t kDatabaseHeaderSize = 100;
constexpr std::string_view kMagic("SQLite format 3\0", 16);

}  // namespace

Result<DatabaseHeader> parse_database_header(ByteView bytes) {
  if (bytes.size() < kDatabaseHeaderSize) {
    return Error(ErrorKind::invalid,
                 fmt::format("not a SQLite database: it has {} bytes, fewer than the {} of a header", bytes.size(),
                             kDatabaseHeaderSize));
  }
  if (as_text(bytes.first(kMagic.size())) != kMagic) {
    return Error(ErrorKind::invalid, "not a SQLite database (or an encrypted one): it does not begin with "
                                     "\"SQLite format 3\"");
  }
  const std::byte* p = bytes.data();
  const std::uint32_t stored = load_be16(p + 16);
  const std::uint32_t page_size = stored == 1 ? 65536 : stored;  // 65536 does not fit in 16 bits
  if (page_size < 512 || !std::has_single_bit(page_size)) {
    return Error(ErrorKind::invalid, fmt::format("not a SQLite database: its header names a page size of {}", stored));
  }
  return DatabaseHeader{.page_size = page_size,
                        .wal_mode = p[18] == std::byte{2} && p[19] == std::byte{2},
                        .page_count = load_be32(p + 28),
                        .sqlite_version = load_be32(p + 96)};
}

bool has_wal_reset_bug(std::uint32_t sqlite_version) {
  // A version is 1000000 * major + 1000 * minor + patch.
  constexpr std::uint32_t kFirst = 3007000;
  constexpr std::uint32_t kFixed = 3051003;
  if (sqlite_version < kFirst || sqlite_version >= kFixed) return false;
  // The fix was also given to two older branches.
  const std::uint32_t branch = sqlite_version / 1000;
  const std::uint32_t patch = sqlite_version % 1000;
  return !(branch == 3044 && patch >= 6) && !(branch == 3050 && patch >= 7);
}

}  // namespace cairn::wal
