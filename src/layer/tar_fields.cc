#include "layer/tar_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "layer/tar.h"

namespace cairn::layer {
namespace {

constexpr std::uint32_t kNanoseconds = 1'000'000'000;
constexpr std::size_t kFractionDigits = 9;

bool needs_escape(std::string_view name) { return name.starts_with(kWhiteoutPrefix) || name.starts_with(kNameEscape); }

std::string escaped_name(std::string_view name) {
  return needs_escape(name) ? std::string(kNameEscape).append(name) : std::string(name);
}

// Every component through `change`.
template <class Change>
std::string each_component(std::string_view path, Change change) {
  std::string result;
  for (;;) {
    const std::size_t end = std::min(path.find('/'), path.size());
    result.append(change(path.substr(0, end)));
    if (end == path.size()) return result;
    result.push_back('/');
    path.remove_prefix(end + 1);
  }
}

std::string inside(std::string_view directory, std::string_view name) {
  return directory.empty() ? std::string(name) : std::string(directory).append("/").append(name);
}

}  // namespace

std::string escaped_path(std::string_view path) { return each_component(path, escaped_name); }

std::string unescaped_path(std::string_view name) {
  return each_component(name, [](std::string_view component) {
    return component.starts_with(kNameEscape) ? component.substr(kNameEscape.size()) : component;
  });
}

std::string tar_name(const Entry& entry) {
  switch (entry.kind) {
    case EntryKind::directory: return entry.path.empty() ? "./" : escaped_path(entry.path) + "/";
    case EntryKind::opaque: return inside(escaped_path(entry.path), kOpaqueName);
    case EntryKind::whiteout:
      return inside(escaped_path(parent_of(entry.path)),
                    std::string(kWhiteoutPrefix).append(escaped_name(name_of(entry.path))));
    case EntryKind::file:
    case EntryKind::symlink:
    case EntryKind::hard_link:
    case EntryKind::char_device:
    case EntryKind::block_device:
    case EntryKind::fifo: break;
  }
  return escaped_path(entry.path);
}

std::string xattr_keyword(std::string_view name) {
  std::string keyword(kXattrKeyword);
  for (const char c : name) {
    if (c == '%') keyword.append("%25");
    else if (c == '=') keyword.append("%3D");
    else keyword.push_back(c);
  }
  return keyword;
}

std::string xattr_name(std::string_view keyword) {
  std::string name;
  keyword.remove_prefix(kXattrKeyword.size());
  while (!keyword.empty()) {
    const bool percent = keyword.starts_with("%25");
    const bool equals = keyword.starts_with("%3D");
    name.push_back(percent ? '%' : equals ? '=' : keyword.front());
    keyword.remove_prefix(percent || equals ? 3 : 1);
  }
  return name;
}

std::string pax_time(std::int64_t seconds, std::uint32_t nanoseconds) {
  const bool negative = seconds < 0;
  auto whole = static_cast<std::uint64_t>(seconds);
  if (negative) whole = 0 - whole;
  if (negative && nanoseconds > 0) {  // towards zero: -2 s and 0.75 s are -1.25
    --whole;
    nanoseconds = kNanoseconds - nanoseconds;
  }
  std::string text = fmt::format("{}{}", negative ? "-" : "", whole);
  if (nanoseconds == 0) return text;
  text += fmt::format(".{:09}", nanoseconds);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

std::optional<PaxTime> parse_pax_time(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  std::uint64_t whole = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  if (error != std::errc() || whole > std::uint64_t{1} << 63) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
  std::uint32_t fraction = 0;
  if (!text.empty()) {
    if (text.front() != '.' || text.size() < 2 || text.size() > kFractionDigits + 1) return std::nullopt;
    const std::string digits = std::string(text.substr(1)).append(kFractionDigits + 1 - text.size(), '0');
    const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), fraction);
    if (wrong != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  }
  if (negative && fraction > 0) {
    ++whole;
    fraction = kNanoseconds - fraction;
  }
  const std::uint64_t limit = (std::uint64_t{1} << 63) - (negative ? 0 : 1);
  if (whole > limit) return std::nullopt;
  return PaxTime{static_cast<std::int64_t>(negative ? 0 - whole : whole), fraction};
}

}  // namespace cairn::layer
