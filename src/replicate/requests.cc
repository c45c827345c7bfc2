#include "replicate/requests.h"

#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "replicate/checked_line.h"

namespace cairn::replicate {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kRequestLook_us = 1'000'000;
constexpr std::int64_t kTick_ms = 4'000;  // of the coarsest file system, and more
constexpr std::int64_t kListAgain_us = 60'000'000;  // there may be some that keep no such time
constexpr std::string_view kWanted = ".wanted", kTaken = ".taken", kDone = ".done";

std::string folder_of(const std::string& state_directory) { return join_path(state_directory, "requests"); }

std::string in(const std::string& path, std::string_view ending) { return fmt::format("{}{}", path, ending); }

// Whole or not at all, for whoever reads it meanwhile.
Result<void> write_whole(FileSystem& files, const std::string& path, const Json& json) {
  const std::string next = path + ".next";
  {
    CAIRN_ASSIGN(const auto file, files.open(next, OpenMode::write));
    CAIRN_TRY(file->truncate(0));
    const std::string line = checked_line(json.dump(-1, ' ', false, Json::error_handler_t::replace));
    CAIRN_TRY(file->write_at(0, as_bytes(line)));
  }
  return files.rename(next, path);
}

std::optional<Json> read_whole(FileSystem& files, const std::string& path) {
  const auto bytes = read_file(files, path);
  if (!bytes) return std::nullopt;
  std::string_view lines = as_text(*bytes);
  const auto line = take_checked_line(lines);
  Json json = line ? Json::parse(*line, nullptr, false) : Json();
  return json.is_object() ? std::optional(std::move(json)) : std::nullopt;
}

Error nobody(const std::string& state_directory) {
  return Error(ErrorKind::not_found, fmt::format("no cairn replicates with the state directory {}", state_directory));
}

// A process that replicates holds its lock.
Result<bool> is_replicated(FileSystem& files, const std::string& state_directory) {
  const std::string path = join_path(state_directory, "lock");
  const auto there = files.info(path);
  if (!there && there.error().kind() == ErrorKind::not_found) return false;
  if (!there) return there.error();
  const auto lock = files.lock(path);
  if (lock) return false;
  if (lock.error().kind() != ErrorKind::busy) return lock.error();
  return true;
}

}  // namespace

Requests::Requests(Shared& shared) : shared_(shared), directory_(folder_of(shared.options.state_directory)) {}

// What was asked of an earlier process is asked of this one; its answers nobody waits for.
void Requests::open() {
  (void)shared_.files.make_directories(directory_);
  const auto names = shared_.files.list(directory_);
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    const std::string path = join_path(directory_, name);
    if (name.ends_with(kTaken)) {
      (void)shared_.files.rename(path, in(path.substr(0, path.size() - kTaken.size()), kWanted));
    } else if (!name.ends_with(kWanted)) {
      (void)shared_.files.remove(path);
    }
  }
}

void Requests::look(const Time& now) {
  if (now.mono_us < next_look_us_) return;
  next_look_us_ = now.mono_us + kRequestLook_us;
  if (may_have_new(now)) take_new();
  if (!requests_.empty()) answer();
}

bool Requests::is_empty() const {
  const auto names = shared_.files.list(directory_);
  return requests_.empty() && names && names->empty();
}

// A name that is new there changes the time of the directory; but not twice within one tick of its clock.
bool Requests::may_have_new(const Time& now) {
  const auto info = shared_.files.info(directory_);
  if (!info) return true;
  const bool is_as_listed = info->modified_ms == listed_ms_ && now.mono_us < list_again_us_;
  if (is_as_listed) return false;
  const bool may_change_unseen = std::abs(now.wall_ms - info->modified_ms) < kTick_ms;
  listed_ms_ = may_change_unseen ? std::nullopt : std::optional(info->modified_ms);
  list_again_us_ = now.mono_us + kListAgain_us;
  return true;
}

void Requests::take_new() {
  const auto names = shared_.files.list(directory_);
  if (!names) {
    listed_ms_.reset();
    return;
  }
  for (const std::string& name : *names) {
    if (!name.ends_with(kWanted)) continue;
    const std::string id = name.substr(0, name.size() - kWanted.size());
    const std::string path = join_path(directory_, id);
    if (!shared_.files.rename(in(path, kWanted), in(path, kTaken))) {
      listed_ms_.reset();  // it is tried again
      continue;
    }
    const auto wanted = read_whole(shared_.files, in(path, kTaken));
    if (wanted && wanted->value("whole", false)) shared_.whole_requested = true;
    MutexLock hold(shared_.mutex);
    requests_.push_back({id, shared_.snapshots_begun + 1});
    shared_.snapshot_requested = true;
    told_.clear();
  }
}

void Requests::answer() {
  std::uint64_t published_number = 0, sequence = 0;
  ReplicatorStatus s;
  {
    MutexLock hold(shared_.mutex);
    published_number = shared_.newest_published_number;
    sequence = shared_.newest_snapshot.value;
    s = shared_.status;
  }
  Json told;
  told["words"] = s.snapshot_pages_total > 0
                      ? fmt::format("{} of {} pages", s.snapshot_pages_done, s.snapshot_pages_total)
                      : fmt::format("published up to sequence {}", s.published_sequence);
  told["trouble"] = s.store_trouble.empty() ? s.database_trouble : s.store_trouble;
  std::erase_if(requests_, [&](const Request& request) {
    if (published_number < request.wanted) return false;
    const std::string path = join_path(directory_, request.id);
    if (!write_whole(shared_.files, in(path, kDone), {{"sequence", sequence}})) return false;
    (void)shared_.files.remove(in(path, kTaken));
    return true;
  });
  const std::string text = told.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text == told_) return;
  told_ = text;
  for (const Request& request : requests_) {
    (void)write_whole(shared_.files, in(join_path(directory_, request.id), kTaken), told);
  }
}

Result<SnapshotRequest> SnapshotRequest::put(FileSystem& files, const std::string& state_directory,
                                             const std::string& id, CopyUnchanged copy_unchanged) {
  CAIRN_ASSIGN(const bool running, is_replicated(files, state_directory));
  if (!running) return nobody(state_directory);
  SnapshotRequest request(files, state_directory, join_path(folder_of(state_directory), id));
  CAIRN_TRY(write_whole(files, in(request.path_, kWanted),
                        {{"whole", copy_unchanged == CopyUnchanged::no}}));
  return request;
}

Result<SnapshotRequest::Progress> SnapshotRequest::look() {
  // Before the answer is looked for: it may be given, and then the process ends.
  CAIRN_ASSIGN(const bool running, is_replicated(*files_, state_directory_));
  if (const auto done = read_whole(*files_, in(path_, kDone))) {
    take_back();
    Progress progress{.is_taken = true, .sequence = std::nullopt, .words = "", .trouble = ""};
    progress.sequence = done->value("sequence", std::uint64_t{0});
    return progress;
  }
  if (!running) {
    take_back();
    return nobody(state_directory_).with("it ended before the snapshot was there");
  }
  Progress progress;
  progress.is_taken = !files_->info(in(path_, kWanted)).has_value();
  if (const auto taken = read_whole(*files_, in(path_, kTaken))) {
    progress.words = taken->value("words", "");
    progress.trouble = taken->value("trouble", "");
  }
  return progress;
}

void SnapshotRequest::take_back() {
  for (const std::string_view ending : {kWanted, kTaken, kDone}) (void)files_->remove(in(path_, ending));
}

}  // namespace cairn::replicate
