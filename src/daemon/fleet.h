// Everything that one process keeps replicated, at one moment, as told to whoever asks: the control socket, the
// metrics, the page for people.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/replicator.h"
#include "cairn/store_status.h"
#include "daemon/time_line.h"
#include "daemon/totals.h"
#include "store/cost.h"

namespace cairn::daemon {

// Why something does not run, in words.
struct Failing {
  ErrorKind kind = ErrorKind::retry_later;
  std::string message;
  std::optional<std::int64_t> again_ms;  // how long after it failed it is tried again; none: it is not
};

struct DatabaseView {
  std::string path;     // its real path
  std::string replica;  // URL, without anything secret
  std::string store;    // what databases of one server and bucket, or of one folder, have in common
  bool is_open = false;
  // Closed, because nothing is to be done for it: `status` is as it was then. Neither open nor asleep: it is all zero.
  bool is_asleep = false;
  ReplicatorStatus status;
  StoreStatus store_status;
  // Since it was opened first: what `status` and `store_status` count was counted in that time.
  std::int64_t open_ms = 0;
  std::optional<Failing> failing;
  std::int64_t closed_since_ms = 0;  // wall clock: since when it is neither open nor asleep; 0: it is
  Totals before;                     // counted before it was begun this time
  std::shared_ptr<const TimeSlots> restore_points;  // made by this process; null: none
};

// Of the syncs that this process has published.
struct LayerCounts {
  std::uint64_t syncs = 0, sent_bytes = 0, torn_files = 0;
  std::int64_t last_ms = 0;    // wall clock, of the newest; 0: none
  std::uint64_t sequence = 0;  // of that
};

struct LayerView {
  std::string name, directory, replica;
  std::optional<Failing> failing;
  std::optional<StoreStatus> store_status;  // none: it is not being watched
  LayerCounts counts;
};

struct FleetView {
  std::int64_t begun_ms = 0, now_ms = 0;  // wall clock: when the process began, when this was looked at
  std::int64_t still_ms = 0;              // how long ago the loop of the main thread came round
  std::string config;                     // its path
  bool is_stopping = false;
  std::optional<PriceList> prices;
  std::vector<DatabaseView> databases;  // by path
  std::vector<LayerView> layers;        // by name
  std::map<std::string, Totals> gone;   // by store: counted of databases that are not there any more
  std::int64_t compression_cpu_us = 0;    // of this process, on segments, snapshots and what is merged
  std::uint64_t restores = 0;           // databases that were missing and are there again (restore_if_missing)
};

class Fleet {
 public:
  virtual ~Fleet() = default;
  // Any thread; waits for no database and no store.
  virtual FleetView view() const = 0;
};

enum class DatabaseState {
  starting,    // not open yet, or not followed yet: phase of its status
  following,
  asleep,      // closed, because nothing is to be done for it
  in_trouble,  // followed, and the database or its store is in the way now
  failing,     // not open, and not only for the moment
};
inline constexpr DatabaseState kDatabaseStates[] = {DatabaseState::starting, DatabaseState::following,
                                                    DatabaseState::asleep, DatabaseState::in_trouble,
                                                    DatabaseState::failing};
std::string_view name_of(DatabaseState state);
DatabaseState state_of(const DatabaseView& database);

// How old the oldest commit is that a restore cannot reach yet; 0: there is none. While that is not known, for how long
// it is not.
std::int64_t lag_ms(const DatabaseView& database, std::int64_t now_ms);

// Over all of its Replicators.
Totals totals_of(const DatabaseView& database);

// What was asked of a store of this name, at these prices or, without any, at those of whoever it belongs to; none: no
// prices are known.
std::optional<Cost> cost_of(const Totals& totals, const std::optional<PriceList>& prices);

}  // namespace cairn::daemon
