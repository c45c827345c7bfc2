#include "replicate/checked_line.h"

#include "base/bytes.h"
#include "fmt/format.h"
#include "segment/running_hash.h"

namespace cairn::replicate {
namespace {

constexpr std::size_t kSumDigits = 16;

std::string sum_of(std::string_view text) {
  segment::RunningHash hash;
  hash.add(as_bytes(text));
  return fmt::format("{:016x}", hash.value());
}

}  // namespace

std::string checked_line(std::string_view text) { return fmt::format("{} {}\n", sum_of(text), text); }

std::optional<std::string_view> take_checked_line(std::string_view& lines) {
  const std::size_t end = lines.find('\n');
  if (end == std::string_view::npos || end < kSumDigits + 1) return {};
  const std::string_view sum = lines.substr(0, kSumDigits);
  const std::string_view text = lines.substr(kSumDigits + 1, end - kSumDigits - 1);
  if (lines[kSumDigits] != ' ' || sum_of(text) != sum) return {};
  lines.remove_prefix(end + 1);
  return text;
}

}  // namespace cairn::replicate
