#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>
#include <system_error>

namespace cairn {

namespace {

struct Unit {
  std::string_view name;
  double times;
};
constexpr std::array kTimes{Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000}, Unit{"h", 3'600'000},
                            Unit{"d", 86'400'000}};
constexpr double kMostMs = 10.0 * 366 * 24 * 3'600'000;

constexpr double kKiB = 1024;
constexpr std::array kSizes{Unit{"B", 1},
                            Unit{"kB", 1e3},
                            Unit{"MB", 1e6},
                            Unit{"GB", 1e9},
                            Unit{"TB", 1e12},
                            Unit{"KiB", kKiB},
                            Unit{"MiB", kKiB * kKiB},
                            Unit{"GiB", kKiB * kKiB * kKiB},
                            Unit{"TiB", kKiB * kKiB * kKiB * kKiB}};
constexpr double kMostBytes = kKiB * kKiB * kKiB * kKiB * kKiB;

// A number and one of the units, with or without a space between them; "0" needs none.
std::optional<double> parse_quantity(std::string_view text, std::span<const Unit> units, double most) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [unit, status] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (status != std::errc() || !(number >= 0)) return std::nullopt;
  std::string_view name(unit, static_cast<std::size_t>(end - unit));
  if (name.empty() && number == 0) return 0;
  if (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& known : units) {
    if (name == known.name && number * known.times <= most) return number * known.times;
  }
  return std::nullopt;
}

}  // namespace

Result<std::int64_t> parse_duration_ms(std::string_view text) {
  if (const std::optional<double> ms = parse_quantity(text, kTimes, kMostMs)) return std::llround(*ms);
  return Error(ErrorKind::invalid,
               fmt::format("'{}' is not a length of time: write it like 250ms, 1s, 1.5s, 2m, 1h or 30d", text));
}

Result<std::uint64_t> parse_size_bytes(std::string_view text) {
  if (const std::optional<double> bytes = parse_quantity(text, kSizes, kMostBytes)) {
    return static_cast<std::uint64_t>(std::llround(*bytes));
  }
  return Error(ErrorKind::invalid,
               fmt::format("'{}' is not a size: write it like 512KiB, 100MiB, 1.5GiB or 10MB", text));
}

Result<std::optional<std::vector<std::int64_t>>> parse_windows(std::string_view text) {
  if (text == "auto") return std::optional<std::vector<std::int64_t>>();
  std::vector<std::int64_t> windows_ms;
  if (text == "none") return std::optional(windows_ms);
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view one = text.substr(0, comma);
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    CAIRN_ASSIGN(windows_ms.emplace_back(), parse_duration_ms(one));
    if (comma == text.size()) break;
    text.remove_prefix(comma + 1);
  }
  CAIRN_TRY(check_windows(windows_ms));
  return std::optional(std::move(windows_ms));
}

Result<void> check_windows(std::span<const std::int64_t> windows_ms) {
  constexpr std::size_t kMost = 9;
  if (windows_ms.size() > kMost) {
    return Error(ErrorKind::invalid,
                 fmt::format("{} windows are too many: up to {} are taken", windows_ms.size(), kMost));
  }
  std::int64_t before_ms = 0;
  for (const std::int64_t window_ms : windows_ms) {
    const bool is_multiple = before_ms == 0 || (window_ms > before_ms && window_ms % before_ms == 0);
    if (window_ms <= 0 || !is_multiple) {
      return Error(ErrorKind::invalid, "each window of time has to be a multiple of the one before it, and larger: "
                                       "write them like 30s,5m,1h");
    }
    before_ms = window_ms;
  }
  return {};
}

}  // namespace cairn
