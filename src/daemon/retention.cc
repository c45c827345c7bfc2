#include "daemon/retention.h"

#include <fmt/format.h>

#include "base/units.h"

namespace cairn::daemon {

namespace {

Result<void> read_policy_word(std::string_view name, std::string_view value, PrunePolicy& policy) {
  const auto length_of = [&](std::int64_t& into) -> Result<void> {
    CAIRN_ASSIGN(into, parse_duration_ms(value));
    return {};
  };
  const auto places_of = [&](std::uint32_t& into) -> Result<void> {
    CAIRN_ASSIGN(into, parse_places(value));
    return {};
  };
  if (name == "keep-all") return length_of(policy.keep_all_ms);
  if (name == "grace") return length_of(policy.grace_ms);
  if (name == "hourly") return places_of(policy.hourly);
  if (name == "daily") return places_of(policy.daily);
  if (name == "weekly") return places_of(policy.weekly);
  if (name == "monthly") return places_of(policy.monthly);
  return Error(ErrorKind::invalid, fmt::format("'{}' is not one of keep-all, hourly, daily, weekly, monthly, grace",
                                               name));
}

std::string places_text(std::uint32_t places) {
  return places == PrunePolicy::kAll ? "all" : std::to_string(places);
}

}  // namespace

Result<std::uint32_t> parse_places(std::string_view text) {
  if (text == "all") return PrunePolicy::kAll;
  const bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
  if (digits) return static_cast<std::uint32_t>(std::stoul(std::string(text)));
  return Error(ErrorKind::invalid, fmt::format("'{}' is neither a number nor 'all'", text));
}

Result<std::optional<PrunePolicy>> parse_retention(std::string_view text) {
  if (text == "all") return std::optional<PrunePolicy>();
  const auto bad = [&](std::string_view why) {
    return Error(ErrorKind::invalid, fmt::format("'{}' says not how dense the past stays: {}; write all, or words like "
                                                 "keep-all=24h,hourly=720,daily=365,monthly=all", text, why));
  };
  if (text.empty()) return bad("it is empty");
  PrunePolicy policy;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t comma = rest.find(',');
    std::string_view word = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) return bad(fmt::format("'{}' has no '='", word));
    const auto read = read_policy_word(word.substr(0, equals), word.substr(equals + 1), policy);
    if (!read) return bad(read.error().message());
  }
  return std::optional(policy);
}

std::string retention_text(const std::optional<PrunePolicy>& policy) {
  if (!policy) return "all";
  const PrunePolicy& p = *policy;
  return fmt::format("keep-all={}ms,hourly={},daily={},weekly={},monthly={},grace={}ms", p.keep_all_ms,
                     places_text(p.hourly), places_text(p.daily), places_text(p.weekly), places_text(p.monthly),
                     p.grace_ms);
}

}  // namespace cairn::daemon
