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

Json described_removal(const Removal& removal) {
  Json replaced = Json::array();
  for (const ReplacedRange& range : removal.replaced) {
    replaced.push_back({range.level, range.first.value, range.last.value});
  }
  return {{"level", removal.level},           {"first", removal.first.value}, {"last", removal.last.value},
          {"size", removal.size_bytes},       {"etag", removal.etag},         {"replaced", std::move(replaced)},
          {"waited_ms", removal.waited_ms}};
}

// The checksum says that these are our own words.
Removal removal_of(const Json& json) {
  Removal removal;
  removal.level = json.value("level", 0);
  removal.first = Sequence(json.value("first", std::uint64_t{0}));
  removal.last = Sequence(json.value("last", std::uint64_t{0}));
  removal.size_bytes = json.value("size", std::uint64_t{0});
  removal.etag = json.value("etag", "");
  removal.waited_ms = json.value("waited_ms", std::int64_t{0});
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
  const auto bytes = read_file(files_, path_);
  if (!bytes) return;
  std::string_view lines = as_text(*bytes);
  while (const auto line = take_checked_line(lines)) {
    const Json json = Json::parse(*line, nullptr, false);
    if (json.is_object()) removals_.push_back(removal_of(json));
  }
}

void Removals::add(Removal removal) {
  // One that was put before a process died is put again by the next one, and found there.
  std::erase_if(removals_, [&](const Removal& other) {
    return other.level == removal.level && other.first == removal.first && other.last == removal.last;
  });
  removals_.push_back(std::move(removal));
  if (removals_.size() > kMost) removals_.pop_front();
}

void Removals::wait(std::int64_t ms) {
  for (Removal& removal : removals_) removal.waited_ms += ms;
}

// In the place of the old one at once: a process that dies meanwhile leaves one of both.
Result<void> Removals::save() {
  std::string text;
  for (const Removal& removal : removals_) {
    text += checked_line(described_removal(removal).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  const std::string next = path_ + ".next";
  {
    CAIRN_ASSIGN(const auto file, files_.open(next, OpenMode::write));
    CAIRN_TRY(file->truncate(0));
    CAIRN_TRY(file->write_at(0, as_bytes(text)));
  }
  return files_.rename(next, path_);
}

}  // namespace cairn::replicate
