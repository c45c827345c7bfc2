// All of it through SQLite's file layer: a descriptor of our own would, when it is closed, drop the locks that a
// connection of this process has on the file. But not through a connection: that would roll back.
#include "sqlite/rollback_copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/os.h"
#include "sqlite/locked_file.h"
#include "sqlite/rollback_journal.h"
#include "wal/wal.h"

namespace cairn::sqlite {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr int kLookPauseMs = 2;

Result<std::optional<wal::DatabaseHeader>> header_of(LockedFile& file) {
  std::array<std::byte, 100> start{};
  CAIRN_TRY(file.read_at(0, start));
  const auto header = wal::parse_database_header(start);
  return header ? std::optional(*header) : std::nullopt;
}

// What SQLite takes for a hot one (hasHotJournal): not one that was emptied, or whose header was zeroed.
Result<std::optional<FileDescriptor>> open_filled_journal(int directory, const std::string& name) {
  const std::string journal = name + "-journal";
  FileDescriptor file(::openat(directory, journal.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  std::optional<FileDescriptor> none;
  if (!file.is_open() && (errno == ENOENT || errno == ELOOP || errno == ENXIO)) return none;
  if (!file.is_open()) return os_error(errno, journal);
  struct stat info {};
  std::array<std::byte, 1> first{};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return none;
  CAIRN_ASSIGN(const std::size_t got, read_some_at(file.get(), 0, first, journal));
  if (got == 0 || first[0] == std::byte{0}) return none;
  return std::optional(std::move(file));
}

bool is_older_than(const FileStamp& stamp, std::int64_t ns) {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t age = now.tv_sec * kNsPerSecond + now.tv_nsec - stamp.ctime_ns;
  return age > ns;
}

class RealCopy final : public RollbackCopy {
 public:
  RealCopy(int directory, std::string name, const RollbackReading& how)
      : directory_(directory), name_(std::move(name)), how_(how) {}

  // False: it is no such database.
  Result<bool> begin();

  std::uint64_t size_bytes() const override { return size_; }
  const FileStamp& stamp() const override { return stamp_; }
  const std::optional<FileStamp>& journal() const override { return journal_stamp_; }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) override;
  Result<bool> stands_still() override;

 private:
  enum class Found { state, no_database, nothing_yet };
  Result<Found> look();
  Result<Found> look_at_rest();
  Result<Found> learn();
  Result<bool> has_settled();
  Result<Found> learn_journal(FileDescriptor journal, std::uint32_t page_size);

  const int directory_;
  const std::string name_;
  const RollbackReading how_;
  std::unique_ptr<LockedFile> file_;
  std::int64_t locked_at_ms_ = 0;
  int unsettled_looks_ = 0;
  bool has_given_up_ = false;
  FileStamp stamp_;
  std::uint64_t size_ = 0;
  std::optional<FileStamp> journal_stamp_;
  std::optional<FileDescriptor> journal_file_;
  RollbackJournal journal_;
  LockLimit limit_;  // last: it ends before the file
};

Result<bool> RealCopy::begin() {
  for (const std::int64_t began_ms = monotonic_ms(); !has_given_up_; sqlite3_sleep(kLookPauseMs)) {
    CAIRN_ASSIGN(const Found found, look());
    if (found == Found::no_database) return false;
    if (found == Found::state) break;
    file_->unlock();
    has_given_up_ = has_given_up_ || monotonic_ms() - began_ms >= how_.wait_ms;
  }
  if (has_given_up_) size_ = stamp_.size;
  if (how_.lock == RollbackReading::Lock::let_go) {
    file_->unlock();
  } else {  // what is read goes to a store, which may stall: nobody may come to read for long
    limit_.start(*file_, locked_at_ms_ + how_.longest_lock_ms - monotonic_ms());
  }
  return true;
}

Result<RealCopy::Found> RealCopy::look() {
  CAIRN_ASSIGN(stamp_, file_stamp(directory_, name_));
  const std::uint64_t inode = stamp_.inode;
  file_ = LockedFile::open(directory_, name_);
  if (!file_) return Found::no_database;
  CAIRN_ASSIGN(const auto header, header_of(*file_));
  if (!header) return Found::no_database;  // most files
  CAIRN_ASSIGN(const bool locked, file_->try_lock());
  if (!locked) return look_at_rest();
  locked_at_ms_ = monotonic_ms();
  CAIRN_ASSIGN(stamp_, file_stamp(directory_, name_));
  return stamp_.inode == inode ? learn() : Found::nothing_yet;
}

// Nobody writes now.
Result<RealCopy::Found> RealCopy::learn() {
  CAIRN_ASSIGN(auto journal, open_filled_journal(directory_, name_));
  CAIRN_ASSIGN(const bool has_writer, file_->has_writer());
  CAIRN_ASSIGN(const auto header, header_of(*file_));
  const bool is_hot = journal && !has_writer;
  if (!header || (header->wal_mode && !is_hot)) return Found::no_database;
  CAIRN_ASSIGN(const bool settled, has_settled());
  if (!settled) return Found::nothing_yet;
  size_ = stamp_.size;
  return is_hot ? learn_journal(std::move(*journal), header->page_size) : Found::state;
}

// What has just been written can be written again and bear the same stamp. Who writes all the time has to wait for it.
Result<bool> RealCopy::has_settled() {
  constexpr int kLooks = 5;
  if (is_settled(stamp_)) return true;
  if (++unsettled_looks_ < kLooks && how_.lock == RollbackReading::Lock::let_go) return false;
  sqlite3_sleep(kSettleMs);
  CAIRN_ASSIGN(const FileStamp now, file_stamp(directory_, name_));
  return now == stamp_ && is_settled(stamp_);
}

Result<RealCopy::Found> RealCopy::learn_journal(FileDescriptor journal, std::uint32_t page_size) {
  const std::string name = name_ + "-journal";
  CAIRN_ASSIGN(const FileStamp stamp, file_stamp(directory_, name));
  if (!is_settled(stamp)) return Found::nothing_yet;
  const auto read = [&](std::uint64_t offset, std::span<std::byte> into) {
    return read_some_at(journal.get(), offset, into, name);
  };
  auto parsed = parse_rollback_journal(read, stamp.size, page_size);
  has_given_up_ = !parsed && parsed.error().kind() == ErrorKind::unsupported;
  if (has_given_up_) return Found::nothing_yet;
  if (!parsed) return parsed.error();
  journal_stamp_ = stamp;
  if (!*parsed) return Found::state;
  journal_ = std::move(**parsed);
  journal_file_ = std::move(journal);
  size_ = std::uint64_t{journal_.page_count} * journal_.page_size;
  return Found::state;
}

// Somebody keeps the lock. With a journal that says nothing he has no transaction that has reached the file, unless it
// is one without a journal.
Result<RealCopy::Found> RealCopy::look_at_rest() {
  CAIRN_ASSIGN(stamp_, file_stamp(directory_, name_));
  CAIRN_ASSIGN(const auto journal, open_filled_journal(directory_, name_));
  if (journal || !is_older_than(stamp_, how_.at_rest_ms * kNsPerMs)) return Found::nothing_yet;
  CAIRN_ASSIGN(const auto header, header_of(*file_));
  CAIRN_ASSIGN(const FileStamp now, file_stamp(directory_, name_));
  if (!(now == stamp_)) return Found::nothing_yet;
  if (!header || header->wal_mode) return Found::no_database;
  size_ = stamp_.size;
  return Found::state;
}

Result<void> RealCopy::read_at(std::uint64_t offset, std::span<std::byte> into) {
  CAIRN_TRY(file_->read_at(offset, into));
  if (!journal_file_) return {};
  const std::uint64_t end = offset + into.size(), page_size = journal_.page_size;
  const auto first = static_cast<std::uint32_t>(offset / page_size + 1);
  for (auto page = std::ranges::lower_bound(journal_.pages, first, {}, &RollbackJournal::Page::number);
       page != journal_.pages.end() && (page->number - 1ull) * page_size < end; ++page) {
    const std::uint64_t begin = (page->number - 1ull) * page_size;
    const std::uint64_t from = std::max(offset, begin), to = std::min(end, begin + page_size);
    const auto part = into.subspan(from - offset, to - from);
    CAIRN_ASSIGN(const std::size_t got,
                 read_some_at(journal_file_->get(), page->offset + (from - begin), part, name_ + "-journal"));
    std::ranges::fill(part.subspan(got), std::byte{0});  // it was cut short: that shows in its stamp
  }
  return {};
}

Result<bool> RealCopy::stands_still() {
  if (has_given_up_) return false;
  CAIRN_ASSIGN(const FileStamp now, file_stamp(directory_, name_));
  if (!(now == stamp_)) return false;
  if (!journal_stamp_) return true;
  CAIRN_ASSIGN(const FileStamp journal, file_stamp(directory_, name_ + "-journal"));
  return journal == *journal_stamp_;
}

}  // namespace

Result<JournalRole> role_of_journal(int directory, const std::string& name) {
  const auto file = LockedFile::open(directory, name);
  if (!file) return JournalRole::none;
  CAIRN_ASSIGN(const auto header, header_of(*file));
  if (!header) return JournalRole::none;
  CAIRN_ASSIGN(const bool locked, file->try_lock());
  if (!locked) return JournalRole::of_a_writer;
  // In this order: who begins to write now makes his journal behind that.
  CAIRN_ASSIGN(const auto journal, open_filled_journal(directory, name));
  CAIRN_ASSIGN(const bool has_writer, file->has_writer());
  if (has_writer) return JournalRole::of_a_writer;
  return journal ? JournalRole::left_behind : JournalRole::none;
}

Result<std::unique_ptr<RollbackCopy>> RollbackCopy::open(int directory, const std::string& name,
                                                         const RollbackReading& how) {
  auto copy = std::make_unique<RealCopy>(directory, name, how);
  CAIRN_ASSIGN(const bool is_one, copy->begin());
  if (!is_one) return std::unique_ptr<RollbackCopy>();
  return std::unique_ptr<RollbackCopy>(std::move(copy));
}

}  // namespace cairn::sqlite
