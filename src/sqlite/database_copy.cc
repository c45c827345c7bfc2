// A page of the copied state is in the WAL if it has a frame there, else in the file. That holds as long as
//
//   frames of the state stay where they are: under a pin nobody restarts the WAL; under a floor nobody needs them, as
//   all of the state is in the file, or a restart has happened already and there is no second one
//   the file does not get newer pages: nobody backfills past a pin, and nobody backfills at all under a floor. What is
//   backfilled up to the pin are pages that are read from the WAL here.
#include "sqlite/database_copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <vector>

#include "base/os.h"
#include "sqlite/database.h"
#include "sqlite/in_place.h"
#include "sqlite/lock_table.h"
#include "wal/wal.h"

namespace cairn::sqlite {
namespace {

using Read = std::function<Result<std::size_t>(std::uint64_t offset, std::span<std::byte> into)>;

// The newest frame of each page, ascending by page. 8 bytes a page.
struct FrameOf {
  std::uint32_t page = 0, frame = 0;
  auto operator<=>(const FrameOf&) const = default;
};
struct Wal {
  std::vector<FrameOf> newest;
  std::uint32_t page_size = 0, page_count = 0;  // of the database after the last commit; 0: there is no commit
  FrameNo last;                                 // frame of the last commit
  wal::Checksum sum;                            // of all frames up to that one
  bool ends_unproven = false;                   // behind the last frame that adds up lies one without a checksum
};

void keep_newest(std::vector<FrameOf>& frames) {
  std::ranges::sort(frames);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (i + 1 == frames.size() || frames[i + 1].page != frames[i].page) frames[kept++] = frames[i];
  }
  frames.resize(kept);
}

// The committed frames from the beginning on, each checked, up to `upto`.
enum class Promised { by_checksum, by_index };
Result<Wal> learn(const Read& read_wal, std::optional<FrameNo> upto, Promised promised) {
  Wal wal;
  std::array<std::byte, wal::kHeaderSize> start{};
  CAIRN_ASSIGN(const std::size_t got_start, read_wal(0, start));
  const auto header = wal::parse_header(ByteView(start).first(got_start));
  if (!header) return wal;  // it is being born, or was emptied
  wal.page_size = header->page_size;
  constexpr std::size_t kPieceBytes = 1 << 20;
  const std::size_t frame_bytes = wal::kFrameHeaderSize + header->page_size;
  Bytes piece(std::max<std::size_t>(1, kPieceBytes / frame_bytes) * frame_bytes);
  wal::Checksum sum = header->sum;
  FrameNo at(0);
  std::size_t committed = 0;
  for (bool valid = true; valid && (!upto || at < *upto);) {
    CAIRN_ASSIGN(const std::size_t got, read_wal(wal::frame_offset(at.next(), header->page_size), piece));
    valid = got >= frame_bytes;
    for (ByteView rest = ByteView(piece).first(got); rest.size() >= frame_bytes; rest = rest.subspan(frame_bytes)) {
      if (upto && at == *upto) break;
      const ByteView bytes = rest.first(frame_bytes);
      const auto frame = promised == Promised::by_index ? wal::check_indexed_frame(*header, sum, bytes)
                                                        : wal::check_frame(*header, sum, bytes);
      valid = frame.has_value();
      if (!valid) {
        const wal::FrameHeader found = wal::parse_frame_header(bytes.first<wal::kFrameHeaderSize>());
        wal.ends_unproven = found.page.value != 0 && found.salts == wal::Salts() && found.sum == wal::Checksum();
        break;
      }
      at = at.next();
      sum = frame->sum;
      wal.newest.push_back({frame->page.value, at.value});
      if (frame->commit_page_count == 0) continue;
      wal.page_count = frame->commit_page_count;
      wal.last = at;
      wal.sum = sum;
      committed = wal.newest.size();
    }
  }
  wal.newest.resize(committed);  // what is behind the last commit never happened
  keep_newest(wal.newest);
  return wal;
}

class Copy : public DatabaseCopy {
 public:
  std::uint64_t size_bytes() const override { return std::uint64_t{page_count_} * page_size_; }

  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    CAIRN_ASSIGN(const std::size_t got, read_file(offset, into));
    std::ranges::fill(into.subspan(got), std::byte{0});
    // Then what the WAL has of these pages over it.
    const auto first_page = static_cast<std::uint32_t>(offset / page_size_ + 1);
    const std::uint64_t end = offset + into.size();
    for (auto frame = std::ranges::lower_bound(newest_, first_page, {}, &FrameOf::page);
         frame != newest_.end() && (frame->page - 1ull) * page_size_ < end; ++frame) {
      const std::uint64_t page_begin = (frame->page - 1ull) * page_size_;
      const std::uint64_t from = std::max(offset, page_begin), to = std::min(end, page_begin + page_size_);
      const std::uint64_t place =
          wal::frame_offset(FrameNo(frame->frame), page_size_) + wal::kFrameHeaderSize + (from - page_begin);
      const auto part = into.subspan(from - offset, to - from);
      CAIRN_ASSIGN(const std::size_t read, read_wal(place, part));
      std::ranges::fill(part.subspan(read), std::byte{0});
      was_cut_short_ = was_cut_short_ || read != part.size();
    }
    return {};
  }

 protected:
  explicit Copy(std::string name) : name_(std::move(name)) {}
  virtual Result<std::size_t> read_file(std::uint64_t offset, std::span<std::byte> into) = 0;
  virtual Result<std::size_t> read_wal(std::uint64_t offset, std::span<std::byte> into) = 0;

  void take(Wal wal) {
    newest_ = std::move(wal.newest);
    page_size_ = wal.page_size;
    page_count_ = wal.page_count;
  }

  std::string name_;
  bool was_cut_short_ = false;  // a frame was not there any more
  std::vector<FrameOf> newest_;
  std::uint32_t page_size_ = 0, page_count_ = 0;
};

// Somebody is connected: SQLite's locks protect the state.
class LiveCopy final : public Copy {
 public:
  static Result<std::unique_ptr<DatabaseCopy>> open(int directory, const std::string& name);
  Result<bool> stands_still() override;

 private:
  LiveCopy(int directory, std::string name, std::unique_ptr<Database> database)
      : Copy(std::move(name)), directory_(directory), database_(std::move(database)) {}
  Result<void> learn_state();
  Result<std::size_t> read_file(std::uint64_t offset, std::span<std::byte> into) override {
    return database_->read_database(offset, into);
  }
  Result<std::size_t> read_wal(std::uint64_t offset, std::span<std::byte> into) override {
    return database_->read_wal(offset, into);
  }

  const int directory_;
  std::unique_ptr<Database> database_;
  std::optional<wal::IndexHeader> pinned_;  // as it was when the state was learned
  FileStamp stamp_;                         // of the file, the same
};

std::string path_in(int directory, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", directory, name);
}

// What makes it a file like any other rather than a failure.
bool is_no_such_database(const Error& error) {
  return error.kind() == ErrorKind::invalid || error.kind() == ErrorKind::unsupported ||
         error.kind() == ErrorKind::not_found;
}

// While a checkpoint is at work no hold is to be had, and while the last one closes the database no connection.
constexpr int kBusyTries = 200, kBusyPauseMs = 10;
template <class Act>
auto patiently(const Act& act) {
  for (int i = 0;; ++i) {
    auto done = act();
    if (done || done.error().kind() != ErrorKind::busy || i == kBusyTries) return done;
    sqlite3_sleep(kBusyPauseMs);
  }
}

// Such a database is copied as well as can be, and is known for torn: all else that is to be kept does not wait for it.
bool is_of_this_database(const Error& error) {
  return error.kind() == ErrorKind::busy || error.kind() == ErrorKind::io || error.kind() == ErrorKind::corrupt;
}

Result<std::unique_ptr<DatabaseCopy>> LiveCopy::open(int directory, const std::string& name) {
  const std::string path = path_in(directory, name);
  auto database = patiently([&] { return Database::open(path, WalSwitch::refuse, Reach::in_place); });
  if (!database && is_no_such_database(database.error())) return std::unique_ptr<DatabaseCopy>();
  if (!database) return database.error();
  std::unique_ptr<LiveCopy> copy(new LiveCopy(directory, name, std::move(*database)));
  CAIRN_TRY(patiently([&] { return copy->database_->take_hold(); }));
  CAIRN_TRY(copy->learn_state());
  return std::unique_ptr<DatabaseCopy>(std::move(copy));
}

Result<void> LiveCopy::learn_state() {
  CAIRN_ASSIGN(stamp_, file_stamp(directory_, name_));
  CAIRN_ASSIGN(const wal::IndexHeader index, database_->look());
  if (database_->hold() == Hold::pin || !index.all_backfilled()) {
    CAIRN_ASSIGN(Wal wal, learn([this](auto offset, auto into) { return read_wal(offset, into); }, index.max_frame,
                                      Promised::by_index));
    if (wal.last != index.max_frame) {
      return Error(ErrorKind::corrupt, fmt::format("{}-wal does not hold the {} frames that its index promises: run "
                                                   "\"PRAGMA integrity_check\" on the database",
                                                   name_, index.max_frame.value));
    }
    take(std::move(wal));
    if (database_->hold() == Hold::pin) pinned_ = index;
    return {};
  }
  std::array<std::byte, 100> start{};
  CAIRN_ASSIGN(const std::size_t got, database_->read_database(0, start));
  CAIRN_ASSIGN(const wal::DatabaseHeader header, wal::parse_database_header(ByteView(start).first(got)));
  CAIRN_ASSIGN(const std::uint64_t size, database_->size_bytes());
  page_size_ = header.page_size;
  page_count_ = index.page_count != 0 ? index.page_count : static_cast<std::uint32_t>(size / header.page_size);
  return {};
}

// What a hold promises, unless somebody has locks elsewhere: in a mount that has taken this one's place, say. He sees
// no pin, may write more into the file than up to it, and then make the index anew, which says so no more.
Result<bool> LiveCopy::stands_still() {
  if (was_cut_short_) return false;
  CAIRN_ASSIGN(const FileStamp file, file_stamp(directory_, name_));
  if (!pinned_) return file == stamp_;
  auto now = database_->look();
  for (int i = 0; i < 100 && !now && now.error().kind() == ErrorKind::busy; ++i) {  // somebody commits just then
    sqlite3_sleep(1);
    now = database_->look();
  }
  // Somebody cut the index meanwhile (database.h): the next attempt may find another.
  if (!now && (now.error().kind() == ErrorKind::busy || database_->index_is_cut())) return false;
  if (!now) return now.error();
  if (now->salts != pinned_->salts) return false;
  const bool is_held_up = std::max(now->backfilled, now->attempted) <= pinned_->max_frame;
  return is_held_up && (file == stamp_ || now->backfilled > pinned_->backfilled || now->is_backfill_begun());
}

// No lock is seen. Nobody is connected (what was left behind is read as SQLite's recovery would read it), or only who
// takes his locks where they do not show. The -shm is looked at and no more: SQLite, which would be the first one as
// far as the locks tell, would make it anew under those who have it mapped.
//
// What is read is one state if, when all is read, the file is what it was, and the frames that were copied still add up
// to the same checksum. Nothing is concluded from the -shm: who has a WAL-index of his own (locking_mode=EXCLUSIVE)
// lets one lie there that is of somebody before him.
class UnlockedCopy final : public Copy {
 public:
  // Null: it is no such database.
  static Result<std::unique_ptr<UnlockedCopy>> open(int directory, const std::string& name);
  std::uint64_t size_bytes() const override { return last_.value > 0 ? Copy::size_bytes() : stamps_.file.size; }
  Result<bool> stands_still() override;
  bool is_settled() const { return file_is_settled_; }
  void note_somebody_is_there() { is_sure_ = false; }

 private:
  struct Stamps {
    FileStamp file, wal, shm;
  };

  UnlockedCopy(std::string name, int directory) : Copy(std::move(name)), directory_(directory) {}
  Result<bool> open_files();
  Result<bool> learn_state(const wal::DatabaseHeader& header);
  Result<Stamps> look() const;
  Result<bool> index_promises_more(const wal::Salts& salts) const;
  Result<std::size_t> read_file(std::uint64_t offset, std::span<std::byte> into) override {
    return read_some_at(file_.get(), offset, into, name_);
  }
  Result<std::size_t> read_wal(std::uint64_t offset, std::span<std::byte> into) override {
    return read_some_at(wal_.get(), offset, into, name_);
  }

  int directory_;
  FileDescriptor file_, wal_;
  Stamps stamps_;
  bool file_is_settled_ = false;  // what is written to it from now on shows in its stamp
  bool is_sure_ = true;           // that the copied state is the newest one
  FrameNo last_;
  wal::Checksum sum_;
};

Result<UnlockedCopy::Stamps> UnlockedCopy::look() const {
  Stamps stamps;
  CAIRN_ASSIGN(stamps.file, file_stamp(directory_, name_));
  CAIRN_ASSIGN(stamps.wal, file_stamp(directory_, name_ + "-wal"));
  CAIRN_ASSIGN(stamps.shm, file_stamp(directory_, name_ + "-shm"));
  return stamps;
}

// False: one of them is not there (any more).
Result<bool> UnlockedCopy::open_files() {
  const auto open = [&](const std::string& name, std::uint64_t inode, FileDescriptor& into) -> Result<bool> {
    into = FileDescriptor(::openat(directory_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!into.is_open() && (errno == ENOENT || errno == ELOOP)) return false;
    struct stat info {};
    if (!into.is_open() || ::fstat(into.get(), &info) != 0) return os_error(errno, name);
    is_sure_ = is_sure_ && info.st_ino == inode;  // it was replaced since it was looked at
    return true;
  };
  CAIRN_ASSIGN(stamps_, look());
  CAIRN_ASSIGN(const bool has_file, open(name_, stamps_.file.inode, file_));
  if (!has_file) return false;
  return open(name_ + "-wal", stamps_.wal.inode, wal_);
}

// Frames that no checksum proves: docs/sqlite.md, Savepoints. After a power loss an index may promise what is not
// there. What is right then is told once somebody has used the database. True also when it cannot be read now.
Result<bool> UnlockedCopy::index_promises_more(const wal::Salts& salts) const {
  constexpr int kTries = 5;
  // It lives in memory that others have mapped: a descriptor of our own is no harm, since none of this process's
  // connections is seen either.
  const FileDescriptor shm(
      ::openat(directory_, (name_ + "-shm").c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (!shm.is_open() && (errno == ENOENT || errno == ELOOP)) return false;
  if (!shm.is_open()) return os_error(errno, name_ + "-shm");
  if (::fstat(shm.get(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  if (static_cast<std::size_t>(info.st_size) < wal::kIndexBytes) return false;  // nobody is done with making one
  for (int i = 0; i < kTries; ++i) {
    alignas(8) std::array<std::byte, wal::kIndexBytes> bytes{};
    CAIRN_ASSIGN(const std::size_t got, read_some_at(shm.get(), 0, bytes, name_ + "-shm"));
    wal::IndexHeader index;
    if (got == bytes.size() && wal::read_index(bytes.data(), index) == wal::IndexState::ok) {
      return index.salts == salts && index.max_frame > last_;
    }
    if (std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; })) return false;
    sqlite3_sleep(1);
  }
  return true;
}

Result<std::unique_ptr<UnlockedCopy>> UnlockedCopy::open(int directory, const std::string& name) {
  std::unique_ptr<UnlockedCopy> copy(new UnlockedCopy(name, directory));
  CAIRN_ASSIGN(const bool is_there, copy->open_files());
  if (!is_there) return std::unique_ptr<UnlockedCopy>();
  copy->file_is_settled_ = sqlite::is_settled(copy->stamps_.file);
  std::array<std::byte, 100> start{};
  CAIRN_ASSIGN(const std::size_t got, copy->read_file(0, start));
  const auto header = wal::parse_database_header(ByteView(start).first(got));
  if (!header || !header->wal_mode) return std::unique_ptr<UnlockedCopy>();
  CAIRN_ASSIGN(const bool is_one, copy->learn_state(*header));
  if (!is_one) return std::unique_ptr<UnlockedCopy>();
  return copy;
}

// False: the -wal is another database's WAL, and nobody is there whose it might become. One without a commit is its
// own: SQLite would take nothing from it, and who has his WAL-index in memory may write his next commits there.
Result<bool> UnlockedCopy::learn_state(const wal::DatabaseHeader& header) {
  std::array<std::byte, wal::kHeaderSize> start{};
  CAIRN_ASSIGN(const std::size_t got, read_wal(0, start));
  const auto wal_header = wal::parse_header(ByteView(start).first(got));
  CAIRN_ASSIGN(Wal wal, learn([this](auto offset, auto into) { return read_wal(offset, into); }, std::nullopt,
                              Promised::by_checksum));
  const bool is_its_wal = wal.page_count > 0 && wal.page_size == header.page_size;
  if (wal.page_count > 0 && !is_its_wal && stamps_.shm.inode == 0) return false;
  is_sure_ = is_sure_ && !wal.ends_unproven;  // commits may lie behind it that only who is connected can read
  if (is_its_wal) {
    last_ = wal.last;
    sum_ = wal.sum;
    take(std::move(wal));
  } else {  // all of it is in the file
    is_sure_ = is_sure_ && wal.page_count == 0 && stamps_.file.size % header.page_size == 0;
    page_size_ = header.page_size;
  }
  CAIRN_ASSIGN(const bool more, index_promises_more(wal_header ? wal_header->salts : wal::Salts{}));
  is_sure_ = is_sure_ && !more;
  return true;
}

Result<bool> UnlockedCopy::stands_still() {
  if (!is_sure_ || was_cut_short_ || !file_is_settled_) return false;
  CAIRN_ASSIGN(const Stamps now, look());
  if (!(now.file == stamps_.file)) return false;
  if (last_.value == 0) return true;  // what is in the WAL by now came behind it
  // What is committed further is no harm. But a WAL that begins again overwrites frames, and so does who goes on after
  // a commit that was written and came to nothing.
  CAIRN_ASSIGN(const Wal wal, learn([this](auto offset, auto into) { return read_wal(offset, into); }, last_,
                                    Promised::by_checksum));
  return now.wal.inode == stamps_.wal.inode && wal.last == last_ && wal.sum == sum_;
}

// What lies beside a database, as files; other things of these names are none of its business.
struct Company {
  bool wal = false, filled_wal = false, shm = false, hot_journal = false;
};

// What SQLite takes for a hot one (its pager's hasHotJournal): a journal that was emptied, or whose header was zeroed,
// was left behind by a transaction that is over (journal_mode TRUNCATE and PERSIST).
bool begins_with_something(int directory, const std::string& name) {
  const FileDescriptor file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  char first = 1;
  if (!file.is_open()) return errno != ENOENT;
  const ssize_t got = ::pread(file.get(), &first, 1, 0);
  return got != 0 && first != 0;
}

Company company_of(int directory, const std::string& name) {
  Company company;
  struct stat info {};
  const auto is_file = [&](const char* ending) {
    return ::fstatat(directory, (name + ending).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
  };
  company.wal = is_file("-wal");
  company.filled_wal = company.wal && info.st_size > 0;
  if (!company.wal) return company;  // most files: one look is enough
  company.shm = is_file("-shm");
  company.hot_journal = is_file("-journal") && begins_with_something(directory, name + "-journal");
  return company;
}

// Through SQLite's file layer: closing a descriptor of our own would drop the locks that a connection of this process
// has on the file.
Result<bool> is_in_wal_mode(int directory, const std::string& name) {
  sqlite3* connection = nullptr;
  const int code =
      sqlite3_open_v2(path_in(directory, name).c_str(), &connection, SQLITE_OPEN_READWRITE, in_place_vfs());
  bool in_wal_mode = false;
  if (code == SQLITE_OK) {
    sqlite3_file* file = nullptr;
    std::array<std::byte, 100> start{};
    sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file));
    const bool read = file->pMethods->xRead(file, start.data(), start.size(), 0) == SQLITE_OK;
    const auto header = wal::parse_database_header(start);
    in_wal_mode = read && header && header->wal_mode;
  }
  sqlite3_close(connection);
  return in_wal_mode;
}

}  // namespace

Result<bool> has_contents_in_wal(int directory, const std::string& name) {
  const Company company = company_of(directory, name);
  if (!company.wal || company.hot_journal) return false;
  if (company.shm) return is_in_wal_mode(directory, name);
  if (!company.filled_wal) return false;
  CAIRN_ASSIGN(const auto copy, UnlockedCopy::open(directory, name));
  return copy != nullptr;
}

Result<std::unique_ptr<DatabaseCopy>> DatabaseCopy::open(int directory, const std::string& name, int merged) {
  const Company company = company_of(directory, name);
  const bool is_one = company.wal && !company.hot_journal && (company.shm || company.filled_wal);
  if (!is_one) return std::unique_ptr<DatabaseCopy>();
  bool is_locked = false;  // by somebody who lets nobody in; or SQLite cannot make sense of it
  for (const int where : {directory, merged}) {
    if (!company.shm || where < 0 || !is_seen_connected(where, name)) continue;
    auto live = LiveCopy::open(where, name);
    if (live || !is_of_this_database(live.error()) || is_connected_here(where, name)) return live;
    is_locked = true;
    break;
  }
  auto copy = UnlockedCopy::open(directory, name);
  if (copy && *copy && !(*copy)->is_settled()) {
    sqlite3_sleep(kSettleMs);
    copy = UnlockedCopy::open(directory, name);
  }
  if (!copy) return copy.error();
  if (*copy && is_locked) (*copy)->note_somebody_is_there();
  return std::unique_ptr<DatabaseCopy>(std::move(*copy));
}

}  // namespace cairn::sqlite
