#include "store/cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace cairn {

namespace {

constexpr double kThousand = 1e3, kBytesPerGb = 1e9;

// Public list prices, as published by the providers: Amazon's (pay as you go, transfer to the internet) of March 2026,
// Cloudflare's of August 2026, Backblaze's pay as you go of 2025 (its uploads are "class A", free; get and head "class
// B"; lists "class C"; copies of parts, which are C too, are counted among what is free).
struct Known {
  std::string_view short_name;
  std::string_view host_ends_with;
  PriceList prices;
};
const std::array<Known, 4>& known_prices() {
  static const PriceList kS3{"S3 Standard in us-east-1", 0.005, 0.005, 0.0004, 0, 0.09, 0.023};
  static const PriceList kR2{"Cloudflare R2", 0.0045, 0.0045, 0.00036, 0, 0, 0.015};
  static const PriceList kB2{"Backblaze B2", 0, 0.004, 0.0004, 0, 0.01, 0.006};
  static const std::array<Known, 4> kKnown{{{"s3", ".amazonaws.com", kS3},
                                            {"s3", ".amazonaws.com.cn", kS3},
                                            {"r2", ".r2.cloudflarestorage.com", kR2},
                                            {"b2", ".backblazeb2.com", kB2}}};
  return kKnown;
}

double* field_of(PriceList& prices, std::string_view name) {
  if (name == "write") return &prices.write;
  if (name == "list") return &prices.list;
  if (name == "read") return &prices.read;
  if (name == "delete") return &prices.remove;
  if (name == "received") return &prices.received_gb;
  if (name == "stored") return &prices.stored_gb_month;
  return nullptr;
}

Error bad_prices(std::string_view text) {
  return Error(ErrorKind::invalid,
               fmt::format("'{}' is no list of prices: write s3, r2, b2, or dollars like write=0.005,list=0.005,"
                           "read=0.0004,delete=0,received=0.09,stored=0.023 (a thousand requests, a GB, a GB a month)",
                           text));
}

}  // namespace

Result<PriceList> parse_prices(std::string_view text) {
  for (const Known& known : known_prices()) {
    if (text == known.short_name) return known.prices;
  }
  PriceList prices;
  prices.name = "the prices that were given";
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
    const std::size_t equals = item.find('=');
    double* field = field_of(prices, item.substr(0, equals));
    if (equals == std::string_view::npos || field == nullptr) return bad_prices(text);
    const std::string_view number = item.substr(equals + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), *field);
    if (error != std::errc() || end != number.data() + number.size() || !std::isfinite(*field) || *field < 0) {
      return bad_prices(text);
    }
  }
  if (text.empty()) return bad_prices(text);
  return prices;
}

std::optional<PriceList> prices_of_service(std::string_view host) {
  for (const Known& known : known_prices()) {
    if (host.ends_with(known.host_ends_with)) return known.prices;
  }
  return std::nullopt;
}

Cost cost_of(const StoreUsage& usage, const PriceList& prices) {
  const auto some = [](std::uint64_t count, double price) { return static_cast<double>(count) * price; };
  Cost cost;
  cost.requests_usd = (some(usage.writes, prices.write) + some(usage.lists, prices.list) +
                       some(usage.reads, prices.read) + some(usage.deletes, prices.remove)) /
                      kThousand;
  cost.received_usd = some(usage.received_bytes, prices.received_gb) / kBytesPerGb;
  cost.stored_month_usd = some(usage.sent_bytes, prices.stored_gb_month) / kBytesPerGb;
  return cost;
}

std::string usd_text(double usd) {
  if (usd <= 0) return "$0";
  // As many decimals as two digits need: 0.000123 has four zeros before the first one.
  const int first_digit = usd >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(usd)));
  return fmt::format("${:.{}f}", usd, std::clamp(first_digit + 1, 2, 12));
}

}  // namespace cairn
