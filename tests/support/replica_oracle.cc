#include "support/replica_oracle.h"

#include <zstd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

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

std::string apply_wal(ByteView wal, Bytes& image) {
  constexpr std::size_t kHeader = 32, kFrameHeader = 24;
  if (wal.size() < kHeader) return "no WAL header";
  const std::size_t page_size = big_endian(wal, 8);
  if (page_size < 512 || page_size > 65536) return "no page size";
  const std::size_t frame_size = kFrameHeader + page_size;
  if (wal.size() == kHeader || (wal.size() - kHeader) % frame_size != 0) return "not a whole number of frames";
  if (page_size_in(image) != page_size) image.clear();  // another page size: everything is stated anew
  std::uint32_t pages = 0;
  for (std::size_t at = kHeader; at < wal.size(); at += frame_size) {
    const std::size_t page = big_endian(wal, at);
    if (page == 0) return "page 0";
    pages = big_endian(wal, at + 4);
    if (image.size() < page * page_size) image.resize(page * page_size);
    std::memcpy(&image[(page - 1) * page_size], &wal[at + kFrameHeader], page_size);
  }
  if (pages == 0) return "the last frame is not a commit";
  image.resize(pages * page_size);
  return "";
}

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
    if (now == seen.end()) return key + " has vanished";
    if (now->second != digest) return key + " has changed";
  }
  for (const auto& [key, digest] : seen) {
    if (digests_.contains(key)) continue;
    const std::string_view name = std::string_view(key).substr(prefix_.size());
    if (name.starts_with("wal/")) {
      const auto sequence = number_before(name, ".wal.zst");
      if (!sequence) return key + " is no segment's name";
      // Listed in order: numbers have a fixed width.
      if (*sequence != segments_ + 1) return fmt::format("{} follows segment {}", key, segments_);
      segments_ = *sequence;
    } else if (name.starts_with("snapshots/")) {
      const auto sequence = number_before(name, ".sqlite.zst");
      if (!sequence) return key + " is no snapshot's name";
      snapshots_.emplace(*sequence, key);
      unchecked_snapshots_.push_back(key);
    } else {
      return "what is " + key + "?";
    }
  }
  digests_ = std::move(seen);
  return "";
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
    auto data = data_of(fmt::format("{}wal/{:020}.wal.zst", prefix_, sequence));
    if (!data) return data.error().message();
    if (std::string problem = apply_wal(*data, image_); !problem.empty()) {
      return fmt::format("segment {}: {}", sequence, problem);
    }
    if (std::string problem = add_point(model); !problem.empty()) return problem;
  }
  return check_snapshots();
}

std::string ReplicaOracle::check(const PageModel& model) {
  if (std::string problem = read_objects(); !problem.empty()) return problem;
  return extend(model);
}

}  // namespace cairn::testing
