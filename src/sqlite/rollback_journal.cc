// A journal is one or more segments: a header, alone in its sector, and records (page number, page, checksum). Each
// sync of the journal ends a segment. Records count up to the first one that does not belong (a torn end, or what an
// earlier transaction has left behind).
#include "sqlite/rollback_journal.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/bytes.h"

namespace cairn::sqlite {
namespace {

constexpr std::array<std::uint8_t, 8> kJournalMagic{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
constexpr std::uint32_t kLockByte = 0x40000000;        // the page that holds it is never written
constexpr std::uint32_t kUntilTheEnd = 0xffffffff;     // as many records as fit: it was never synced
constexpr std::uint32_t kLargestUnit = 65536;          // of pages and sectors

struct Header {
  std::uint32_t records = 0, first_sum = 0, page_count = 0, sector_size = 0, page_size = 0;
};

bool has_magic(ByteView bytes) {
  return std::ranges::equal(bytes.first(kJournalMagic.size()), kJournalMagic, {},
                            [](std::byte one) { return static_cast<std::uint8_t>(one); });
}

Result<std::optional<Header>> read_journal_header(const ReadJournal& read, std::uint64_t offset) {
  std::array<std::byte, 28> bytes{};
  CAIRN_ASSIGN(const std::size_t got, read(offset, bytes));
  if (got < bytes.size() || !has_magic(bytes)) return std::optional<Header>();
  const std::byte* p = bytes.data();
  return std::optional(Header{.records = load_be32(p + 8),
                              .first_sum = load_be32(p + 12),
                              .page_count = load_be32(p + 16),
                              .sector_size = load_be32(p + 20),
                              .page_size = load_be32(p + 24)});
}

bool is_unit(std::uint32_t size, std::uint32_t least) {
  return size >= least && size <= kLargestUnit && std::has_single_bit(size);
}

// Of every 200th byte, from the end on.
std::uint32_t checksum(std::uint32_t sum, ByteView page) {
  constexpr std::size_t kStep = 200;
  for (std::size_t i = page.size() - kStep; i > 0; i = i > kStep ? i - kStep : 0) {
    sum += static_cast<std::uint8_t>(page[i]);
  }
  return sum;
}

// The name is the journal's last record: lock byte's page, name, length, checksum, magic.
Result<bool> names_super_journal(const ReadJournal& read, std::uint64_t size_bytes) {
  std::array<std::byte, 16> end{};
  if (size_bytes < end.size()) return false;
  CAIRN_ASSIGN(const std::size_t got, read(size_bytes - end.size(), end));
  if (got < end.size() || !has_magic(ByteView(end).subspan(8))) return false;
  const std::uint32_t length = load_be32(end.data());
  return length > 0 && length <= size_bytes - end.size();
}

}  // namespace

Result<std::optional<RollbackJournal>> parse_rollback_journal(const ReadJournal& read, std::uint64_t size_bytes,
                                                              std::uint32_t page_size) {
  std::optional<RollbackJournal> none;
  CAIRN_ASSIGN(std::optional<Header> header, read_journal_header(read, 0));
  if (!header) return none;
  if (header->page_size == 0) header->page_size = page_size;
  const std::uint64_t sector = header->sector_size;
  if (!is_unit(header->page_size, 512) || !is_unit(header->sector_size, 32)) return none;
  if (sector > size_bytes) return none;
  CAIRN_ASSIGN(const bool names_super, names_super_journal(read, size_bytes));
  if (names_super) {
    return Error(ErrorKind::unsupported, "its rollback journal is of a transaction in several databases: open the "
                                         "database once, with SQLite");
  }

  RollbackJournal journal{.page_size = header->page_size, .page_count = header->page_count, .pages = {}};
  const std::uint32_t lock_page = kLockByte / journal.page_size + 1;
  Bytes record(4 + std::size_t{journal.page_size} + 4);
  bool belongs = true;
  for (std::uint64_t at = 0; header && belongs;) {
    at += sector;
    const std::uint64_t fit = (size_bytes - std::min(size_bytes, at)) / record.size();
    const std::uint64_t records = header->records == kUntilTheEnd ? fit : header->records;
    for (std::uint64_t i = 0; i < records && belongs; ++i) {
      CAIRN_ASSIGN(const std::size_t got, read(at, record));
      const std::uint32_t number = load_be32(record.data());
      const ByteView page = ByteView(record).subspan(4, journal.page_size);
      const bool is_behind = number > journal.page_count;  // the transaction has added it
      belongs = got == record.size() && number != 0 && number != lock_page &&
                (is_behind || checksum(header->first_sum, page) == load_be32(record.data() + 4 + journal.page_size));
      if (belongs && !is_behind) journal.pages.push_back({number, at + 4});
      at += record.size();
    }
    at = (at + sector - 1) / sector * sector;
    if (at + sector > size_bytes) break;
    CAIRN_ASSIGN(header, read_journal_header(read, at));
  }
  // What was saved first is how it was.
  std::ranges::stable_sort(journal.pages, {}, &RollbackJournal::Page::number);
  const auto repeated = std::ranges::unique(journal.pages, {}, &RollbackJournal::Page::number);
  journal.pages.erase(repeated.begin(), repeated.end());
  return std::optional(std::move(journal));
}

}  // namespace cairn::sqlite
