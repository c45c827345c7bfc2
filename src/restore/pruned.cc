#include "restore/pruned.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "base/bytes.h"
#include "restore/history.h"
#include "segment/keys.h"

namespace cairn::restore {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kFormat = 1;
constexpr std::uint64_t kMaxRecordBytes = 64u << 20;  // some million ranges: what is larger is not ours
constexpr int kRecordReadings = 4;

Error damaged_record(std::string_view what) {
  return Error(ErrorKind::corrupt, fmt::format("it is not the record of a prune: {}", what));
}

Result<std::pair<Sequence, Sequence>> range_of(const Json& json) {
  const bool two = json.is_array() && json.size() == 2 && json[0].is_number_unsigned() && json[1].is_number_unsigned();
  if (!two) return damaged_record("a range is no pair of sequences");
  return std::pair(Sequence(json[0].get<std::uint64_t>()), Sequence(json[1].get<std::uint64_t>()));
}

}  // namespace

bool Pruned::covers(Sequence first, Sequence last) const {
  auto range = std::upper_bound(ranges.begin(), ranges.end(), first,
                                [](Sequence at, const auto& other) { return at < other.first; });
  return range != ranges.begin() && last <= (range - 1)->second;
}

void Pruned::add(const Pruned& other) {
  std::vector<std::pair<Sequence, Sequence>> all = std::move(ranges);
  all.insert(all.end(), other.ranges.begin(), other.ranges.end());
  std::sort(all.begin(), all.end());
  ranges.clear();
  for (const auto& range : all) {
    const bool touches = !ranges.empty() && range.first <= ranges.back().second.next();
    if (touches) ranges.back().second = std::max(ranges.back().second, range.second);
    else ranges.push_back(range);
  }
}

std::string pruned_json(const Pruned& pruned) {
  Json json;
  json["format"] = kFormat;
  json["pruned"] = Json::array();
  for (const auto& [first, last] : pruned.ranges) json["pruned"].push_back({first.value, last.value});
  return json.dump() + "\n";
}

Result<Pruned> parse_pruned(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return damaged_record("not a JSON object");
  const auto format = json.find("format"), ranges = json.find("pruned");
  if (format == json.end() || !format->is_number_unsigned()) return damaged_record("no format number");
  if (format->get<std::uint64_t>() > kFormat) {
    return Error(ErrorKind::unsupported, fmt::format("it was written by a newer Cairn (format {}); this one reads up "
                                                     "to {}: update Cairn", format->get<std::uint64_t>(), kFormat));
  }
  if (ranges == json.end() || !ranges->is_array()) return damaged_record("no ranges");
  Pruned pruned;
  for (const Json& each : *ranges) {
    CAIRN_ASSIGN(const auto range, range_of(each));
    const bool ascends = pruned.ranges.empty() || pruned.ranges.back().second < range.first;
    if (range.second < range.first || !ascends) return damaged_record("its ranges do not ascend");
    pruned.ranges.push_back(range);
  }
  return pruned;
}

Result<std::vector<std::uint64_t>> list_pruned(Store& store, std::string_view replica) {
  std::vector<std::uint64_t> numbers;
  CAIRN_TRY(list_objects(store, segment::pruned_prefix(replica), {}, [&](const ObjectInfo& object) {
    if (auto number = segment::parse_pruned_key(replica, object.key)) numbers.push_back(*number);
    return true;
  }));
  return numbers;
}

Result<Pruned> read_pruned(Store& store, std::string_view replica) {
  const auto read = [&](std::uint64_t number) -> Result<Pruned> {
    const std::string key = segment::pruned_key(replica, number);
    const auto object = store.get(key, 0, kMaxRecordBytes);
    if (!object) return object.error().with(key);
    auto record = parse_pruned(as_text(object->bytes));
    return record ? std::move(record) : record.error().with(key);
  };
  for (int reading = 1;; ++reading) {
    CAIRN_ASSIGN(const std::vector<std::uint64_t> numbers, list_pruned(store, replica));
    if (numbers.empty()) return Pruned{};
    auto pruned = read(numbers.back());
    if (!pruned) {
      // It may have been garbled on its way, or a newer one has taken its place.
      const ErrorKind kind = pruned.error().kind();
      const bool again = kind == ErrorKind::corrupt || kind == ErrorKind::not_found;
      if (!again || reading == kRecordReadings) return pruned;
      continue;
    }
    pruned->number = numbers.back();
    pruned->read = {numbers.back()};
    bool some_have_gone = false;  // a newer record that was not listed yet may repeat them
    for (const std::uint64_t number : std::span(numbers).first(numbers.size() - 1)) {
      const auto other = read(number);
      if (other) {
        pruned->add(*other);
        pruned->read.push_back(number);
      } else if (other.error().kind() == ErrorKind::not_found) {
        some_have_gone = true;
      } else if (other.error().kind() != ErrorKind::corrupt) {
        return other;
      }
    }
    if (!some_have_gone || reading == kRecordReadings) return pruned;
  }
}

}  // namespace cairn::restore
