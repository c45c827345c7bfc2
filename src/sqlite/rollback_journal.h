// What a rollback journal holds: the pages that a transaction has changed, as they were before it, and the size that
// the database had. (fileformat2.html, section 3; pager_playback in SQLite's pager.c.)
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "cairn/error.h"

namespace cairn::sqlite {

struct RollbackJournal {
  struct Page {
    std::uint32_t number = 0;
    std::uint64_t offset = 0;  // of its bytes in the journal
  };
  std::uint32_t page_size = 0;
  std::uint32_t page_count = 0;  // of the database before the transaction
  std::vector<Page> pages;       // ascending, each once
};

// Fewer bytes than asked for: the journal ends there.
using ReadJournal = std::function<Result<std::size_t>(std::uint64_t offset, std::span<std::byte> into)>;

// What SQLite would write back, record by record with its checksums; nothing: that is nothing (no header, say).
// `page_size`: of the database, for journals of old versions that do not name it.
// unsupported: it names a super-journal (of a transaction in several databases), which alone says whether the
// transaction was committed, and which need not be visible from here. io.
Result<std::optional<RollbackJournal>> parse_rollback_journal(const ReadJournal& read, std::uint64_t size_bytes,
                                                              std::uint32_t page_size);

}  // namespace cairn::sqlite
