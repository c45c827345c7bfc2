#include "replicate/removals.h"

#include <algorithm>

#include "base/bytes.h"
#include "nlohmann/json.hpp"
#include "replicate/checked_line.h"

namespace cairn::replicate {
namespace {

using Json = nlohmann::json;

// Without the right to delete they would grow for ever. What is forgotten stays in the store until somebody prunes.
constexpr std::size_t kMost = 2000;
constexpr std::size_t kLeastLines = 100;

Json described_removal(const Removal& removal) {
  Json replaced = Json::array();
  for (const ReplacedRange& range : removal.replaced) {
    replaced.push_back({range.level, range.first.value, range.last.value});
  }
  return {{"level", removal.level},           {"first", removal.first.value}, {"last", removal.last.value},
          {"size", removal.size_bytes},       {"etag", removal.etag},         {"replaced", std::move(replaced)},
          {"since_ms", removal.since_ms}};
}

std::string line_of(const Json& json) {
  return checked_line(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// The checksum says that these are our own words.
Removal removal_of(const Json& json) {
  Removal removal;
  removal.level = json.value("level", 0);
  removal.first = Sequence(json.value("first", std::uint64_t{0}));
  removal.last = Sequence(json.value("last", std::uint64_t{0}));
  removal.size_bytes = json.value("size", std::uint64_t{0});
  removal.etag = json.value("etag", "");
  removal.since_ms = json.value("since_ms", std::int64_t{0});
  for (const Json& range : json.value("replaced", Json::array())) {
    if (!range.is_array() || range.size() != 3) continue;
    removal.replaced.push_back({range[0].get<int>(), Sequence(range[1].get<std::uint64_t>()),
                                Sequence(range[2].get<std::uint64_t>())});
  }
  return removal;
}

}  // namespace

void Removals::load() {
  removals_.clear();
  new_lines_.clear();
  clock_ms_ = 0;
  size_bytes_ = 0;
  const auto bytes = read_file(files_, path_);
  if (!bytes) return;
  std::string_view lines = as_text(*bytes);
  while (const auto line = take_checked_line(lines)) take(*line);
}

void Removals::take(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return;
  if (json.contains("clock_ms")) {
    clock_ms_ = json.value("clock_ms", std::int64_t{0});
    return;
  }
  const Removal removal = removal_of(json);
  forget(removal.level, removal.first, removal.last);
  if (!json.value("gone", false)) removals_.push_back(removal);
}

void Removals::forget(int level, Sequence first, Sequence last) {
  std::erase_if(removals_, [&](const Removal& other) {
    return other.level == level && other.first == first && other.last == last;
  });
}

void Removals::add(Removal removal) {
  // One that was put before a process died is put again by the next one, and found there.
  forget(removal.level, removal.first, removal.last);
  removal.since_ms = clock_ms_;
  new_lines_ += line_of(described_removal(removal));
  ++lines_;
  removals_.push_back(std::move(removal));
  if (removals_.size() > kMost) pop();
}

void Removals::pop() {
  const Removal& removal = removals_.front();
  new_lines_ += line_of({{"gone", true}, {"level", removal.level}, {"first", removal.first.value},
                         {"last", removal.last.value}});
  ++lines_;
  removals_.pop_front();
}

// What is in the file is never ahead of the clock that is in it: then all of it waits the longer.
Result<void> Removals::save() {
  new_lines_ += line_of({{"clock_ms", clock_ms_}});
  ++lines_;
  const auto info = files_.info(path_);
  const bool is_ours = size_bytes_ > 0 && info && info->size_bytes == size_bytes_;
  if (!is_ours || lines_ > 3 * removals_.size() + kLeastLines) return write_anew();
  auto appended = append();
  if (!appended) size_bytes_ = 0;  // how much of it is there is not known
  return appended;
}

Result<void> Removals::append() {
  CAIRN_ASSIGN(const auto file, files_.open(path_, OpenMode::write));
  CAIRN_TRY(file->write_at(size_bytes_, as_bytes(new_lines_)));
  size_bytes_ += new_lines_.size();
  new_lines_.clear();
  return {};
}

// In the place of the old one at once: a process that dies meanwhile leaves one of both.
Result<void> Removals::write_anew() {
  std::string text = line_of({{"clock_ms", clock_ms_}});
  for (const Removal& removal : removals_) text += line_of(described_removal(removal));
  size_bytes_ = 0;
  new_lines_.clear();
  lines_ = removals_.size() + 1;
  const std::string next = path_ + ".next";
  {
    CAIRN_ASSIGN(const auto file, files_.open(next, OpenMode::write));
    CAIRN_TRY(file->truncate(0));
    CAIRN_TRY(file->write_at(0, as_bytes(text)));
  }
  CAIRN_TRY(files_.rename(next, path_));
  size_bytes_ = text.size();
  return {};
}

}  // namespace cairn::replicate
