// Everything that one process keeps replicated, at one moment, as told to whoever asks: the control socket, the
// metrics, the page for people.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cairn/error.h"
#include "cairn/replicator.h"
#include "cairn/store_status.h"
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
  // How old, at most, the oldest commit is that is not durable; 0: there is none. None: not known.
  std::optional<std::int64_t> lag_ms;
  std::optional<Failing> failing;
};

struct LayerView {
  std::string name, directory, replica;
  std::optional<Failing> failing;
};

struct FleetView {
  std::int64_t begun_ms = 0, now_ms = 0;  // wall clock: when the process began, when this was looked at
  std::string config;                     // its path
  bool is_stopping = false;
  std::uint64_t restored = 0;             // databases that were missing and are there again (restore_if_missing)
  std::optional<PriceList> prices;
  std::vector<DatabaseView> databases;  // by path
  std::vector<LayerView> layers;        // by name
};

class Fleet {
 public:
  virtual ~Fleet() = default;
  // Any thread; waits for no database and no store.
  virtual FleetView view() const = 0;
};

}  // namespace cairn::daemon
