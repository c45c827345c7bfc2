#include "segment/keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/files.h"

namespace cairn::segment {
namespace {

constexpr std::string_view kSnapshotSuffix = ".sqlite.zst";
constexpr std::string_view kSegmentSuffix = ".wal.zst";
constexpr std::string_view kRecordSuffix = ".json";
constexpr std::size_t kSequenceDigits = 20;
constexpr std::size_t kTimeChars = 15;  // YYYYMMDD_HHMMSS
constexpr std::size_t kMaxLevelDigits = 3;

// A replica's path with exactly one slash after it; nothing for the store's root.
std::string joined(std::string_view replica, std::string_view rest) {
  while (!replica.empty() && replica.back() == '/') replica.remove_suffix(1);
  return join_path(replica, rest);
}

// As fmt::format("{:020}"), which showed in the profile of a commit: of one segment this is asked for many times.
std::array<char, kSequenceDigits> digits_of(std::uint64_t number) {
  std::array<char, kSequenceDigits> digits;
  for (std::size_t at = digits.size(); at-- > 0; number /= 10) digits[at] = static_cast<char>('0' + number % 10);
  return digits;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// Decimal digits and nothing else, without overflow: 20 digits can say more than 64 bits hold.
std::optional<std::uint64_t> parse_digits(std::string_view text) {
  std::uint64_t value = 0;
  if (text.empty()) return std::nullopt;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    if (__builtin_mul_overflow(value, 10u, &value)) return std::nullopt;
    if (__builtin_add_overflow(value, static_cast<unsigned>(c - '0'), &value)) return std::nullopt;
  }
  return value;
}

std::optional<Sequence> parse_sequence(std::string_view text) {
  if (text.size() != kSequenceDigits) return std::nullopt;
  std::optional<std::uint64_t> value = parse_digits(text);
  if (!value) return std::nullopt;
  return Sequence(*value);
}

std::optional<ObjectName> parse_snapshot(std::string_view name) {
  if (!take_suffix(name, kSnapshotSuffix)) return std::nullopt;
  if (name.size() != kTimeChars + 1 + kSequenceDigits || name[kTimeChars] != '-') return std::nullopt;
  Result<std::int64_t> time_ms = parse_compact_time(name.substr(0, kTimeChars));
  std::optional<Sequence> sequence = parse_sequence(name.substr(kTimeChars + 1));
  if (!time_ms || !sequence) return std::nullopt;
  return ObjectName{KeyKind::snapshot, 0, *sequence, *sequence, *time_ms, {}};
}

std::optional<ObjectName> parse_level0(std::string_view name) {
  if (!take_suffix(name, kSegmentSuffix)) return std::nullopt;
  std::optional<Sequence> sequence = parse_sequence(name);
  if (!sequence || sequence->value == 0) return std::nullopt;
  return ObjectName{KeyKind::segment, 0, *sequence, *sequence, 0, {}};
}

std::optional<ObjectName> parse_merged(std::string_view name) {
  std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::string_view digits = name.substr(0, slash);
  if (digits.empty() || digits.size() > kMaxLevelDigits || digits[0] == '0') return std::nullopt;
  std::optional<std::uint64_t> level = parse_digits(digits);
  name.remove_prefix(slash + 1);
  if (!level || !take_suffix(name, kSegmentSuffix)) return std::nullopt;
  if (name.size() != 2 * kSequenceDigits + 1 || name[kSequenceDigits] != '-') return std::nullopt;
  std::optional<Sequence> first = parse_sequence(name.substr(0, kSequenceDigits));
  std::optional<Sequence> last = parse_sequence(name.substr(kSequenceDigits + 1));
  if (!first || !last || first->value == 0 || *last < *first) return std::nullopt;
  return ObjectName{KeyKind::segment, static_cast<int>(*level), *first, *last, 0, {}};
}

}  // namespace

std::string metadata_key(std::string_view replica) { return joined(replica, "metadata.json"); }

std::string snapshot_key(std::string_view replica, std::int64_t time_ms, Sequence sequence) {
  return joined(replica, fmt::format("snapshots/{}-{:020}{}", format_compact_time(time_ms), sequence.value,
                                     kSnapshotSuffix));
}

std::string segment_name(Sequence sequence) {
  const auto digits = digits_of(sequence.value);
  return std::string(digits.begin(), digits.end()).append(kSegmentSuffix);
}

std::string segment_key(std::string_view replica, Sequence sequence) {
  return joined(replica, "wal/" + segment_name(sequence));
}

std::string merged_key(std::string_view replica, int level, Sequence first, Sequence last) {
  return joined(replica, fmt::format("levels/{}/{:020}-{:020}{}", level, first.value, last.value, kSegmentSuffix));
}

std::string pruned_key(std::string_view replica, std::uint64_t number) {
  return joined(replica, fmt::format("pruned/{:020}{}", number, kRecordSuffix));
}

std::optional<std::uint64_t> parse_pruned_key(std::string_view replica, std::string_view key) {
  if (!take_prefix(key, pruned_prefix(replica)) || !take_suffix(key, kRecordSuffix)) return std::nullopt;
  if (key.size() != kSequenceDigits) return std::nullopt;
  return parse_digits(key);
}

std::string damaged_key(std::string_view replica, std::string_view key, int number) {
  if (!replica.empty() && key.starts_with(replica)) key.remove_prefix(replica.size() + 1);
  std::string name(key);
  std::replace(name.begin(), name.end(), '/', '_');
  return joined(replica, fmt::format("damaged/{}.{}.damaged", name, number));
}

std::string replica_prefix(std::string_view replica) { return joined(replica, ""); }
std::string snapshot_prefix(std::string_view replica) { return joined(replica, "snapshots/"); }
std::string segment_prefix(std::string_view replica) { return joined(replica, "wal/"); }
std::string level_prefix(std::string_view replica) { return joined(replica, "levels/"); }
std::string pruned_prefix(std::string_view replica) { return joined(replica, "pruned/"); }

std::optional<ObjectName> parse_key(std::string_view replica, std::string_view key) {
  std::string_view rest = key;
  if (!take_prefix(rest, joined(replica, ""))) return std::nullopt;
  std::optional<ObjectName> name;
  if (take_prefix(rest, "snapshots/")) {
    name = parse_snapshot(rest);
  } else if (take_prefix(rest, "wal/")) {
    name = parse_level0(rest);
  } else if (take_prefix(rest, "levels/")) {
    name = parse_merged(rest);
  }
  if (name) name->key = key;
  return name;
}

std::optional<ObjectName> parse_any_key(std::string_view key) {
  // The object's name is its last two components, or three for a merged one; what is before them is the replica.
  std::size_t cut = key.size();
  for (int component = 1; component <= 3 && cut != 0; ++component) {
    std::size_t slash = key.substr(0, cut).rfind('/');
    cut = slash == std::string_view::npos ? 0 : slash;
    if (component == 1) continue;
    std::string_view replica = key.substr(0, cut);
    if (std::optional<ObjectName> name = parse_key(replica, key)) return name;
  }
  return std::nullopt;
}

}  // namespace cairn::segment
