// What requests and bytes cost at somebody's list prices. An estimate for people: free tiers, discounts and taxes are
// left out, and so is what the store keeps for other reasons.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "cairn/store_status.h"

namespace cairn {

struct PriceList {
  std::string name;  // for people: "S3 Standard in us-east-1"
  // US dollars for a thousand requests of each kind, as StoreUsage has them.
  double write = 0, list = 0, read = 0, remove = 0;
  double received_gb = 0;     // a GB (10^9 bytes) out of the store; into it nobody takes anything
  double stored_gb_month = 0;
};

// Those that are known: "s3", "r2", "b2"; or prices of one's own, "write=0.005,list=0.005,read=0.0004,delete=0,
// received=0.09,stored=0.023", where what is not named is free. invalid: anything else.
Result<PriceList> parse_prices(std::string_view text);

// Of whom the host that answers belongs to. None: no prices of it are known.
std::optional<PriceList> prices_of_service(std::string_view host);

struct Cost {
  double requests_usd = 0;      // what was asked for
  double received_usd = 0;      // what came out
  double stored_month_usd = 0;  // keeping for a month what was sent
  double usd() const { return requests_usd + received_usd; }
};
Cost cost_of(const StoreUsage& usage, const PriceList& prices);

// "$0.0000123", "$1.23": two digits that mean something, never "$0.00" for something.
std::string usd_text(double usd);

}  // namespace cairn
