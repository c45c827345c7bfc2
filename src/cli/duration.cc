#include "cli/duration.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

namespace cairn::cli {

namespace {

struct Unit {
  std::string_view name;
  double ms;
};
constexpr std::array kUnits{Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000}, Unit{"h", 3'600'000},
                            Unit{"d", 86'400'000}};
constexpr double kMostMs = 10.0 * 366 * 24 * 3'600'000;

}  // namespace

Result<std::int64_t> parse_duration_ms(std::string_view text) {
  const auto refused = [&] {
    return Error(ErrorKind::invalid,
                 fmt::format("'{}' is not a length of time: write it like 250ms, 1s, 1.5s, 2m, 1h or 30d", text));
  };
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [unit, status] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (status != std::errc() || number < 0) return refused();
  const std::string_view name(unit, static_cast<std::size_t>(end - unit));
  if (name.empty() && number == 0) return 0;
  for (const Unit& known : kUnits) {
    if (name != known.name) continue;
    if (!(number * known.ms <= kMostMs)) return refused();
    return std::llround(number * known.ms);
  }
  return refused();
}

}  // namespace cairn::cli
