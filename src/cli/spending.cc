#include "cli/spending.h"

#include <fmt/format.h>

namespace cairn::cli {

namespace {

// What a start costs says nothing of a day.
constexpr std::int64_t kLongEnoughMs = 60'000;
constexpr double kWorthTellingUsd = 0.001;  // a month

std::optional<double> day_usd(const Cost& cost, std::int64_t elapsed_ms) {
  if (elapsed_ms < kLongEnoughMs) return std::nullopt;
  return cost.usd() * static_cast<double>(kDayMs) / static_cast<double>(elapsed_ms);
}

}  // namespace

StoreUsage difference(const StoreUsage& now, const StoreUsage& before) {
  StoreUsage since;
  since.writes = now.writes - before.writes;
  since.lists = now.lists - before.lists;
  since.reads = now.reads - before.reads;
  since.deletes = now.deletes - before.deletes;
  since.unanswered = now.unanswered - before.unanswered;
  since.sent_bytes = now.sent_bytes - before.sent_bytes;
  since.received_bytes = now.received_bytes - before.received_bytes;
  return since;
}

std::int64_t Days::take(std::int64_t now_ms) {
  if (now_ms < end_ms_) return 0;
  const std::int64_t over = 1 + (now_ms - end_ms_) / day_ms_;
  end_ms_ += over * day_ms_;
  return over;
}

std::optional<PriceList> choose_prices(const std::optional<PriceList>& given, const std::string& service) {
  return given ? given : prices_of_service(service);
}

std::string spending_text(const Spending& spending, const std::optional<PriceList>& given) {
  const StoreUsage& usage = spending.usage;
  std::string text = fmt::format("{}, {}, {}", count_text(usage.writes, "write"), count_text(usage.lists, "list"),
                                 count_text(usage.reads, "read"));
  if (usage.deletes > 0) text += ", " + count_text(usage.deletes, "delete");
  if (usage.unanswered > 0) text += fmt::format(", {} without an answer", usage.unanswered);
  text += fmt::format(", {} sent, {} received", size_text(usage.sent_bytes), size_text(usage.received_bytes));
  const std::optional<PriceList> prices = choose_prices(given, spending.service);
  if (!prices) return text;
  const Cost cost = cost_of(usage, *prices);
  text += fmt::format("; {} at list prices ({})", usd_text(cost.usd()), prices->name);
  const std::optional<double> day = day_usd(cost, spending.elapsed_ms);
  if (day) text += fmt::format(", {} a day at this rate", usd_text(*day));
  if (cost.stored_month_usd >= kWorthTellingUsd) {
    text += fmt::format("; keeping what was sent: {} a month", usd_text(cost.stored_month_usd));
  }
  return text;
}

Json store_json(const StoreStatus& status, std::int64_t elapsed_ms, const std::optional<PriceList>& given) {
  if (status.service.empty()) return nullptr;
  const StoreUsage& usage = status.usage;
  Json json;
  json["service"] = status.service;
  json["breaker"] = name_of(status.breaker);
  json["retries"] = status.retries;
  Json& requests = json["requests"];
  requests["write"] = usage.writes;
  requests["list"] = usage.lists;
  requests["read"] = usage.reads;
  requests["delete"] = usage.deletes;
  requests["unanswered"] = usage.unanswered;
  json["sent_bytes"] = usage.sent_bytes;
  json["received_bytes"] = usage.received_bytes;
  json["elapsed_ms"] = elapsed_ms;
  const std::optional<PriceList> prices = choose_prices(given, status.service);
  const Cost cost = prices ? cost_of(usage, *prices) : Cost{};
  const std::optional<double> day = prices ? day_usd(cost, elapsed_ms) : std::nullopt;
  json["prices"] = prices ? Json(prices->name) : Json(nullptr);
  json["cost_usd"] = prices ? Json(cost.usd()) : Json(nullptr);
  json["day_usd"] = day ? Json(*day) : Json(nullptr);
  json["stored_month_usd"] = prices ? Json(cost.stored_month_usd) : Json(nullptr);
  return json;
}

}  // namespace cairn::cli
