#include "daemon/fleet.h"

#include <algorithm>

namespace cairn::daemon {

std::string_view name_of(DatabaseState state) {
  switch (state) {
    case DatabaseState::starting: return "starting";
    case DatabaseState::following: return "following";
    case DatabaseState::asleep: return "asleep";
    case DatabaseState::in_trouble: return "in_trouble";
    case DatabaseState::failing: return "failing";
  }
  return "";
}

DatabaseState state_of(const DatabaseView& database) {
  if (database.failing) return DatabaseState::failing;
  if (database.is_asleep) return DatabaseState::asleep;
  if (!database.is_open) return DatabaseState::starting;
  const ReplicatorStatus& status = database.status;
  if (!status.database_trouble.empty() || !status.store_trouble.empty()) return DatabaseState::in_trouble;
  return status.phase == Phase::following ? DatabaseState::following : DatabaseState::starting;
}

std::int64_t lag_ms(const DatabaseView& database, std::int64_t now_ms) {
  if (database.is_asleep && !database.failing) return 0;
  const std::int64_t since_ms =
      database.is_open ? database.status.unpublished_since_ms : database.closed_since_ms;
  return since_ms == 0 ? 0 : std::max<std::int64_t>(now_ms - since_ms, 0);
}

Totals totals_of(const DatabaseView& database) {
  Totals totals = database.before;
  if (database.is_open || database.is_asleep) totals.add(database.status, database.store_status);
  return totals;
}

std::optional<Cost> cost_of(const Totals& totals, const std::optional<PriceList>& prices) {
  if (totals.service.empty()) return std::nullopt;
  const std::optional<PriceList> known = prices ? prices : prices_of_service(totals.service);
  return known ? std::optional(cairn::cost_of(totals.usage, *known)) : std::nullopt;
}

}  // namespace cairn::daemon
