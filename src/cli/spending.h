// What was asked of a store, and what it costs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cairn/store_status.h"
#include "cli/output.h"
#include "store/cost.h"

namespace cairn::cli {

// What a store was asked for in a time.
struct Spending {
  StoreUsage usage;
  std::string service;
  std::int64_t elapsed_ms = 0;
};
StoreUsage difference(const StoreUsage& now, const StoreUsage& before);

inline constexpr std::int64_t kDayMs = 86'400'000;

// When what a day cost is to be told: as soon as the day is over, counted from a beginning.
class Days {
 public:
  explicit Days(std::int64_t begun_ms, std::int64_t day_ms = kDayMs) : day_ms_(day_ms), end_ms_(begun_ms + day_ms) {}
  // When the present one is over.
  std::int64_t end_ms() const { return end_ms_; }
  // How many are over that were not told of yet: from now on they are.
  std::int64_t take(std::int64_t now_ms);

 private:
  const std::int64_t day_ms_;
  std::int64_t end_ms_;
};

// `given`: prices that the user named; else those of the service, where they are known.
std::optional<PriceList> choose_prices(const std::optional<PriceList>& given, const std::string& service);

// "12 writes, 1 list, 3 reads, 4.2 MiB sent, 1.1 KiB received; $0.000066 at list prices (S3 Standard in us-east-1),
// $0.57 a day at this rate". Without known prices it ends before the dollars; the day is told of what ran for a minute
// or more.
std::string spending_text(const Spending& spending, const std::optional<PriceList>& given);

// As docs/operations.md describes it; null for a store that has no service: a folder costs nothing.
Json store_json(const StoreStatus& status, std::int64_t elapsed_ms, const std::optional<PriceList>& given);

}  // namespace cairn::cli
