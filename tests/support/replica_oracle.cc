#include "support/replica_oracle.h"

#include <zstd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "fmt/format.h"

namespace cairn::testing {
namespace {

std::uint32_t big_endian(ByteView bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i]);
  return value;
}

// As the header on page 1 says it; 0: there is none.
std::size_t page_size_in(ByteView image) {
  if (image.size() < 512) return 0;
  const std::size_t stored = std::to_integer<std::size_t>(image[16]) << 8 | std::to_integer<std::size_t>(image[17]);
  return stored == 1 ? 65536 : stored;
}

// The number in the last `digits` characters before `suffix`.
std::optional<std::uint64_t> number_before(std::string_view key, std::string_view suffix) {
  constexpr std::size_t kDigits = 20;
  if (!key.ends_with(suffix) || key.size() < suffix.size() + kDigits) return {};
  const std::string_view digits = key.substr(key.size() - suffix.size() - kDigits, kDigits);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + kDigits, number);
  if (error != std::errc() || end != digits.data() + kDigits) return {};
  return number;
}

}  // namespace

std::optional<Bytes> unzstd(ByteView object) {
  Bytes data;
  ZSTD_DStream* stream = ZSTD_createDStream();
  ZSTD_inBuffer input{object.data(), object.size(), 0};
  Bytes piece(ZSTD_DStreamOutSize());
  std::size_t left = 0;
  while (input.pos < input.size) {
    ZSTD_outBuffer output{piece.data(), piece.size(), 0};
    left = ZSTD_decompressStream(stream, &output, &input);
    if (ZSTD_isError(left)) break;
    data.insert(data.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(output.pos));
  }
  ZSTD_freeDStream(stream);
  if (left != 0) return {};  // an error, or cut short
  return data;
}

std::string apply_wal(ByteView wal, Bytes& image, std::size_t first, std::size_t end) {
  constexpr std::size_t kHeader = 32, kFrameHeader = 24;
  if (wal.size() < kHeader) return "no WAL header";
  const std::size_t page_size = big_endian(wal, 8);
  if (page_size < 512 || page_size > 65536) return "no page size";
  const std::size_t frame_size = kFrameHeader + page_size;
  if (wal.size() == kHeader || (wal.size() - kHeader) % frame_size != 0) return "not a whole number of frames";
  if (page_size_in(image) != page_size) image.clear();  // another page size: everything is stated anew
  std::uint32_t pages = 0;
  std::size_t run = 0;
  for (std::size_t at = kHeader; at < wal.size() && run < end; at += frame_size) {
    const std::size_t page = big_endian(wal, at);
    if (page == 0) return "page 0";
    pages = big_endian(wal, at + 4);
    if (run >= first) {
      if (image.size() < page * page_size) image.resize(page * page_size);
      std::memcpy(&image[(page - 1) * page_size], &wal[at + kFrameHeader], page_size);
      if (pages != 0) image.resize(pages * page_size);
    }
    run += pages != 0;
  }
  if (pages == 0) return "the last frame is not a commit";
  return run > first ? "" : "there are fewer runs";
}

namespace {

std::size_t runs_of(ByteView wal) {
  const std::size_t frame_size = 24 + big_endian(wal, 8);
  std::size_t runs = 0;
  for (std::size_t at = 32; at + frame_size <= wal.size(); at += frame_size) runs += big_endian(wal, at + 4) != 0;
  return runs;
}

}  // namespace

ReplicaOracle::ReplicaOracle(Store& store, std::string replica)
    : store_(store), prefix_(replica.empty() ? "" : replica + "/") {}

std::vector<std::string> ReplicaOracle::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, digest] : digests_) keys.push_back(key);
  return keys;
}

Result<Bytes> ReplicaOracle::data_of(const std::string& key) {
  CAIRN_ASSIGN(const Object object, store_.get(key));
  auto data = unzstd(object.bytes);
  if (!data) return Error(ErrorKind::corrupt, key + " is not zstd");
  return std::move(*data);
}

// Digests of all objects against those seen before; names of new ones.
std::string ReplicaOracle::read_objects() {
  std::map<std::string, ContentHash> seen;
  std::string start_after;
  for (bool more = true; more;) {
    auto page = store_.list(prefix_, start_after);
    if (!page) return "list: " + page.error().message();
    for (const ObjectInfo& info : page->objects) {
      start_after = info.key;
      if (info.key == prefix_ + "metadata.json") continue;
      auto object = store_.get(info.key);
      if (!object) return info.key + ": " + object.error().message();
      seen.emplace(info.key, content_hash(object->bytes));
    }
    more = page->more;
  }
  for (const auto& [key, digest] : digests_) {
    const auto now = seen.find(key);
    if (now == seen.end() && !prunes_ && !may_be_gone(key, seen)) return key + " has vanished";
    if (now != seen.end() && now->second != digest) return key + " has changed";
  }
  for (const auto& [key, digest] : seen) {
    if (digests_.contains(key)) continue;
    if (std::string problem = note_new(key); !problem.empty()) return problem;
  }
  for (const std::string& key : unchecked_merged_) segments_ = std::max(segments_, merged_[key].last);
  digests_ = std::move(seen);
  return "";
}

std::string ReplicaOracle::note_new(const std::string& key) {
  const std::string_view name = std::string_view(key).substr(prefix_.size());
  if (prunes_ && name.starts_with("pruned/")) return "";
  if (name.starts_with("levels/")) return note_merged(key);
  const bool is_segment = name.starts_with("wal/");
  if (!is_segment && !name.starts_with("snapshots/")) return "what is " + key + "?";
  const auto sequence = number_before(name, is_segment ? ".wal.zst" : ".sqlite.zst");
  if (!sequence) return key + " has no sequence";
  if (is_segment) {
    if (*sequence <= segments_) return fmt::format("{} follows segment {}", key, segments_);
    segments_ = *sequence;  // one that is not there is missed when it is needed
    return "";
  }
  snapshots_.emplace(*sequence, key);
  unchecked_snapshots_.push_back(key);
  return "";
}

std::string ReplicaOracle::note_merged(const std::string& key) {
  const auto last = number_before(key, ".wal.zst");
  const auto first = number_before(key.substr(0, key.rfind('-')), "");
  if (!first || !last || *last < *first) return key + " is no merged segment's name";
  const auto data = data_of(key);
  if (!data) return data.error().message();
  merged_[key] = {*first, *last, runs_of(*data) == *last - *first + 1};
  unchecked_merged_.push_back(key);
  ++merged_seen_;
  return "";
}

bool ReplicaOracle::may_be_gone(const std::string& key, const std::map<std::string, ContentHash>& there) const {
  const auto merged = merged_.find(key);
  const auto sequence = number_before(key, ".wal.zst");
  if (!sequence || (merged != merged_.end() && !merged->second.has_every_state)) return false;
  const std::uint64_t first = merged == merged_.end() ? *sequence : merged->second.first;
  return std::ranges::any_of(there, [&](const auto& object) {
    if (object.first == key || object.first.find("/levels/") == std::string::npos) return false;
    const auto known = merged_.find(object.first);
    if (known != merged_.end()) return known->second.holds(first, *sequence);
    ReplicaOracle look(store_, std::string(prefix_.substr(0, prefix_.size() - 1)));  // one that is new as well
    return look.note_merged(object.first).empty() && look.merged_[object.first].holds(first, *sequence);
  });
}

std::string ReplicaOracle::add_point(const PageModel& model) {
  Point point;
  point.sequence = points_.empty() ? snapshots_.begin()->first : points_.back().sequence + 1;
  point.hash = content_hash(image_);
  point.size_bytes = image_.size();
  const std::size_t from = points_.empty() ? 0 : points_.back().state;
  const auto state = model.find_from(from, point.hash);
  if (!state) {
    return fmt::format("restore point {} is no committed state at or after {}{} (newest: {}; {})", point.sequence,
                       from, model.has_from(0, point.hash) ? ", but an older one" : "", model.newest(),
                       model.explain(image_));
  }
  point.state = *state;
  points_.push_back(point);
  return "";
}

std::string ReplicaOracle::check_snapshots() {
  for (const std::string& key : unchecked_snapshots_) {
    const std::uint64_t sequence = *number_before(key, ".sqlite.zst");
    const auto point = std::ranges::find(points_, sequence, &Point::sequence);
    if (point == points_.end()) return key + " reaches further than the segments, or is older than the first snapshot";
    auto data = data_of(key);
    if (!data) return data.error().message();
    if (content_hash(*data) != point->hash) return key + " differs from the segments up to it";
  }
  unchecked_snapshots_.clear();
  return "";
}

std::string ReplicaOracle::extend(const PageModel& model) {
  if (snapshots_.empty()) return "";
  if (points_.empty()) {
    auto data = data_of(snapshots_.begin()->second);
    if (!data) return data.error().message();
    image_ = std::move(*data);
    if (std::string problem = add_point(model); !problem.empty()) return problem;
  }
  while (points_.back().sequence < segments_) {
    const std::uint64_t sequence = points_.back().sequence + 1;
    if (std::string problem = apply_segment(sequence); !problem.empty()) {
      return fmt::format("segment {}: {}", sequence, problem);
    }
    if (std::string problem = add_point(model); !problem.empty()) return problem;
  }
  if (std::string problem = check_merged(model); !problem.empty()) return problem;
  return check_snapshots();
}

// From its own object, or from a bundle that has taken its place before it was looked at.
std::string ReplicaOracle::apply_segment(std::uint64_t sequence) {
  const std::string key = fmt::format("{}wal/{:020}.wal.zst", prefix_, sequence);
  if (digests_.contains(key)) {
    const auto data = data_of(key);
    return data ? apply_wal(*data, image_) : data.error().message();
  }
  for (const auto& [bundle, range] : merged_) {
    if (!digests_.contains(bundle) || !range.holds(sequence, sequence)) continue;
    const auto data = data_of(bundle);
    if (!data) return data.error().message();
    return apply_wal(*data, image_, sequence - range.first, sequence - range.first + 1);
  }
  return "it is missing";
}

// Of those whose beginning the model still knows: every run is the state that its segment was.
std::string ReplicaOracle::check_merged(const PageModel& model) {
  for (const std::string& key : std::exchange(unchecked_merged_, {})) {
    const Merged& merged = merged_[key];
    const std::uint64_t first_point = points_.front().sequence;
    if (merged.first <= first_point || !digests_.contains(key)) continue;
    const Bytes* before = model.image(points_[merged.first - 1 - first_point].state);
    if (before == nullptr) continue;
    const auto data = data_of(key);
    if (!data) return data.error().message();
    Bytes image = *before;
    const std::uint64_t runs = merged.has_every_state ? merged.last - merged.first + 1 : 1;
    for (std::uint64_t run = 0; run < runs; ++run) {
      if (std::string problem = apply_wal(*data, image, run, run + 1); !problem.empty()) return key + ": " + problem;
      const std::uint64_t at = merged.has_every_state ? merged.first + run : merged.last;
      if (content_hash(image) != points_[at - first_point].hash) {
        return fmt::format("{} differs from segment {}", key, at);
      }
    }
  }
  return "";
}

std::string ReplicaOracle::check(const PageModel& model) {
  if (std::string problem = read_objects(); !problem.empty()) return problem;
  return extend(model);
}

}  // namespace cairn::testing
