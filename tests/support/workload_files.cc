// What happens to a database as a file: ends and deaths of the application, replacement, deletion, changes of mode and
// page size, and what a power loss leaves.
#include <sqlite3.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "base/check.h"
#include "fmt/format.h"
#include "support/workload.h"

namespace cairn::testing {
namespace {

namespace stdfs = std::filesystem;

std::uint32_t load_at(const std::string& path, std::uint64_t offset) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  std::uint32_t value = 0;
  file.read(reinterpret_cast<char*>(&value), sizeof value);
  return file ? value : 0;
}

// Places in the WAL-index (walformat.html, 2.2).
constexpr std::uint64_t kPageSizeOffset = 14, kMaxFrameOffset = 16, kSaltOffset = 32, kBackfilledOffset = 96,
                        kReadMarksOffset = 100;

// A connection that is never the one which checkpoints and removes the WAL on closing: ~Application.
bool says(Application& application, const std::string& sql, const std::string& answer) {
  return application.text(sql) == answer;
}

}  // namespace

void Workload::close_all() {
  end_transactions();
  for (const auto& application : applications_) application->close();
  applications_.clear();
}

// Open transactions die with it; what they spilled stays in the WAL as frames without a commit.
void Workload::kill() {
  note_what_is_synced();
  applications_.clear();
}

void Workload::note_what_is_synced() {
  const std::string index = path_ + "-shm";
  if (deleted_ || !stdfs::exists(index)) return;
  const std::uint64_t salts = std::uint64_t{load_at(index, kSaltOffset)} << 32 | load_at(index, kSaltOffset + 4);
  const std::uint32_t backfilled = load_at(index, kBackfilledOffset);
  synced_frames_ = salts == synced_salts_ ? std::max(synced_frames_, backfilled) : backfilled;
  synced_salts_ = salts;
}

void Workload::observe() {
  if (deleted_) return;
  Application application(path_, [] { return std::uint64_t{0}; });
  (void)model_.observe(application.handle());
}

Bytes Workload::image() {
  Application application(path_, [] { return std::uint64_t{0}; });
  auto image = committed_image(application.handle());
  CAIRN_CHECK(image.has_value());
  return std::move(*image);
}

bool Workload::in_wal_mode() {
  if (deleted_) return false;
  Application application(path_, [] { return std::uint64_t{0}; });
  return says(application, "PRAGMA journal_mode", "wal");
}

std::string Workload::integrity_check() {
  Application application(path_, [] { return std::uint64_t{0}; });
  return application.text("PRAGMA integrity_check(1)");
}

std::string Workload::describe_index() const {
  const std::string index = path_ + "-shm";
  if (!stdfs::exists(index)) return "no WAL-index";
  std::string text = fmt::format("{} of {} frames backfilled, read marks", load_at(index, kBackfilledOffset),
                                 load_at(index, kMaxFrameOffset));
  for (std::uint64_t i = 1; i < 5; ++i) {
    text += fmt::format(" {}", static_cast<std::int32_t>(load_at(index, kReadMarksOffset + 4 * i)));
  }
  return text;
}

void Workload::remove_files() {
  // The database last: a WAL must never be found beside a database it does not belong to.
  for (const char* suffix : {"-wal", "-shm", "-journal", ""}) stdfs::remove(path_ + suffix);
}

void Workload::make_another_database(const std::string& path) {
  options_ = random_options(random_);
  Application application(path, [this] { return random_.next(); });
  application.run(fmt::format("PRAGMA page_size={}", options_.page_size));
  application.run(fmt::format("PRAGMA auto_vacuum={}", options_.auto_vacuum));
  if (!random_.chance(1, 4)) application.run("PRAGMA journal_mode=WAL");
  application.run("CREATE TABLE t0(id INTEGER PRIMARY KEY, a INTEGER, b BLOB)");
  for (std::uint64_t i = below(4); i > 0; --i) application.run(insert_sql(1 + below(30), below(options_.page_size)));
  application.close();
}

std::string Workload::replace_file() {
  close_all();
  const std::string other = path_ + ".new";
  if (random_.chance(1, 4) && !deleted_) {  // an older or equal copy of itself, as from a backup of its owner
    Bytes copy = image();
    std::ofstream(other, std::ios::binary).write(reinterpret_cast<const char*>(copy.data()),
                                                 static_cast<std::streamsize>(copy.size()));
  } else {
    make_another_database(other);
  }
  for (const char* suffix : {"-wal", "-shm", "-journal"}) stdfs::remove(path_ + suffix);
  stdfs::rename(other, path_);
  deleted_ = false;
  observe();
  return "file replaced by another";
}

std::string Workload::delete_file() {
  close_all();
  remove_files();
  deleted_ = true;
  return "file deleted";
}

void Workload::reappear() {
  CAIRN_CHECK(deleted_);
  deleted_ = false;
  options_ = random_options(random_);
  create();
}

// While no replicator is running.

std::string Workload::change_page_size() {
  close_all();
  options_.page_size = random_options(random_).page_size;
  Application application(path_, [this] { return random_.next(); });
  application.run("PRAGMA journal_mode=DELETE");
  application.run(fmt::format("PRAGMA page_size={}", options_.page_size));
  const SqlResult outcome = application.run("VACUUM");
  if (!random_.chance(1, 4)) application.run("PRAGMA journal_mode=WAL");
  committed(application);
  application.close();
  return fmt::format("page size {}{}", options_.page_size, outcome == SqlResult::done ? "" : " (busy)");
}

std::string Workload::change_journal_mode() {
  close_all();
  Application application(path_, [this] { return random_.next(); });
  application.run("PRAGMA journal_mode=DELETE");
  for (std::uint64_t i = below(3); i > 0; --i) write_rows(application);
  if (!random_.chance(1, 4)) application.run("PRAGMA journal_mode=WAL");
  committed(application);
  application.close();
  return "journal mode changed";
}

// The database file alone is a committed state exactly when everything in the WAL was backfilled at once: then commits
// that follow, and are never backfilled, vanish with the WAL, and nothing else.
std::string Workload::lose_wal() {
  close_all();
  {
    Application application(path_, [this] { return random_.next(); });
    sqlite3_wal_autocheckpoint(application.handle(), 0);
    application.number("SELECT count(*) FROM sqlite_schema");  // who has never read checkpoints nothing
    const auto result = application.checkpoint(SQLITE_CHECKPOINT_PASSIVE, 0, {});
    if (result.outcome != SqlResult::done || result.wal_frames != result.backfilled) return "WAL kept";
    for (std::uint64_t i = below(4); i > 0; --i) write_rows(application);
  }
  stdfs::remove(path_ + "-wal");
  stdfs::remove(path_ + "-shm");
  observe();
  return "WAL deleted";
}

std::string Workload::step_while_alone() {
  if (deleted_) return "no database";
  switch (below(4)) {
    case 0: return change_page_size();
    case 1: return change_journal_mode();
    case 2: return lose_wal();
    default: return step();
  }
}

// synchronous=NORMAL syncs the WAL before a checkpoint and after its header was written anew: frames behind those that
// have been backfilled may be missing or garbled after a power loss. All committed frames before them are there, since
// recovery stops at the first bad one.
std::string Workload::lose_power() {
  kill();
  if (deleted_) return "power lost";
  const std::string wal = path_ + "-wal", index = path_ + "-shm";
  if (!stdfs::exists(wal) || !stdfs::exists(index)) return "power lost";
  constexpr std::uint64_t kHeaderSize = 32, kFrameHeaderSize = 24;
  const std::uint32_t packed = load_at(index, kPageSizeOffset) & 0xffff;
  const std::uint64_t page_size = packed == 1 ? 65536 : packed;
  const std::uint64_t kept = kHeaderSize + synced_frames_ * (page_size + kFrameHeaderSize);
  const std::uint64_t size = stdfs::file_size(wal);
  stdfs::remove(index);
  if (size <= kept) return "power lost";
  const std::uint64_t cut = kept + below(size - kept + 1);
  if (random_.chance(1, 2)) {
    stdfs::resize_file(wal, cut);
  } else {
    std::fstream file(wal, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(cut));
    for (std::uint64_t at = cut; at < std::min(size, cut + 600); ++at) file.put(static_cast<char>(random_.next()));
  }
  observe();  // recovers
  const std::uint32_t recovered = load_at(index, kMaxFrameOffset);
  if (recovered > synced_frames_) synced_frames_ = recovered;  // what has survived is on the disk
  return fmt::format("power lost, WAL good up to {} of {} bytes", cut, size);
}

}  // namespace cairn::testing
