#include "replicate/rest.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "base/files.h"
#include "replicate/local_state.h"
#include "replicate/spool.h"

namespace cairn {
namespace replicate {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kSetBack_ms = 1'000;  // less than a mark has to stand

std::int64_t ns_of(const timespec& time) { return std::int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec; }

FileMark mark_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || info.st_size == 0) return {};
  return {.device = static_cast<std::uint64_t>(info.st_dev),
          .inode = static_cast<std::uint64_t>(info.st_ino),
          .size_bytes = static_cast<std::uint64_t>(info.st_size),
          .modified_ns = ns_of(info.st_mtim),
          .changed_ns = ns_of(info.st_ctim)};
}

Result<bool> has_names(FileSystem& files, const std::string& directory) {
  const auto names = files.list(directory);
  if (!names && names.error().kind() == ErrorKind::not_found) return false;
  if (!names) return names.error();
  return !names->empty();
}

}  // namespace

FilesMark mark_files(const std::string& database) {
  // SQLite, too, names the WAL after the file a link leads to.
  char* const real = ::realpath(database.c_str(), nullptr);
  const std::string path = real != nullptr ? real : database;
  std::free(real);
  return {mark_of(path), mark_of(path + "-wal")};
}

std::int64_t wall_less_mono_ms(const Time& now) { return now.wall_ms - now.mono_us / 1000; }

Id128 boot_of(const ReplicatorOptions& options) { return Id128::from_hex(options.boot).value_or(Id128{}); }

bool is_comparable(const RestMark& mark, const Id128& boot, const Time& now) {
  return !boot.is_zero() && mark.boot == boot && wall_less_mono_ms(now) >= mark.wall_less_mono_ms - kSetBack_ms;
}

bool is_untouched(const RestMark& mark, const FilesMark& files) {
  if (files.database.is_empty() || files.database != mark.files.database) return false;
  return files.wal == mark.files.wal || (mark.whole_in_file && files.wal.is_empty());
}

}  // namespace replicate

// Nothing is opened that another process could be in the middle of: what is found is looked at again when it wakes.
Result<std::optional<Rest>> Replicator::find_at_rest(FileSystem& files, const ReplicatorOptions& options,
                                                     const Time& now) {
  using namespace replicate;
  const std::string& directory = options.state_directory;
  const Id128 boot = boot_of(options);
  const bool may_be = options.may_rest && !boot.is_zero();
  if (!may_be || !files.info(join_path(directory, "position"))) return std::optional<Rest>();
  CAIRN_ASSIGN(const LocalRecord record, LocalState::read_record(files, directory));
  const bool is_settled = record.rests && record.proven && record.published.value == record.captured.value &&
                          record.published_hash == record.captured_hash && record.intent <= record.published;
  if (!is_settled || !is_comparable(record.rest, boot, now)) return std::optional<Rest>();
  for (const char* folder : {"spool", "requests"}) {
    CAIRN_ASSIGN(const bool waits, has_names(files, join_path(directory, folder)));
    if (waits) return std::optional<Rest>();
  }
  if (!is_untouched(record.rest, mark_files(options.database))) return std::optional<Rest>();
  auto known = std::make_shared<Remembered>();
  known->database = options.database;
  known->mark = record.rest;
  Rest rest;
  rest.due_us = record.rest.due_us;
  rest.status.phase = Phase::following;
  rest.status.lineage = record.lineage.hex();
  rest.status.captured_sequence = rest.status.published_sequence = record.published.value;
  rest.status.has_snapshot = rest.status.settled = rest.status.captured_all = true;
  rest.status.published_time_ms = record.rest.published_time_ms;
  rest.status.page_count = record.page_count;
  rest.status.page_size = record.page_size;
  rest.status.hold = "none";
  rest.known = std::move(known);
  return std::optional(std::move(rest));
}

bool Rest::goes_on(const Time& now) const {
  const replicate::RestMark& mark = known->mark;
  return now.mono_us < due_us && replicate::is_comparable(mark, mark.boot, now) &&
         replicate::is_untouched(mark, replicate::mark_files(known->database));
}

}  // namespace cairn
