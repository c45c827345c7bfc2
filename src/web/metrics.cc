// prometheus-cpp's own registry would have to be told of everything twice: what there is to tell lies in a view
// already. So families are made of that, one after the other, and only its serializer is used.
#include "web/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <functional>
#include <map>
#include <sstream>
#include <utility>

#include "web/text.h"

namespace cairn::web {

namespace {

using daemon::DatabaseView;
using daemon::FleetView;
using daemon::Totals;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

constexpr double kMsPerSecond = 1000, kUsPerSecond = 1'000'000;

double seconds(std::int64_t ms) { return static_cast<double>(ms) / kMsPerSecond; }

ClientMetric metric_of(MetricType type, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

class Writer {
 public:
  void gauge(const char* name, const char* help, double value) { one(MetricType::Gauge, name, help, value); }
  void counter(const char* name, const char* help, std::uint64_t value) {
    counter(name, help, static_cast<double>(value));
  }
  void counter(const char* name, const char* help, double value) { one(MetricType::Counter, name, help, value); }
  // `add` puts its series into it.
  using Add = std::function<void(Labels, double)>;
  void family(MetricType type, const char* name, const char* help, const std::function<void(const Add&)>& each) {
    MetricFamily family{name, help, type, {}};
    each([&](Labels labels, double value) { family.metric.push_back(metric_of(type, std::move(labels), value)); });
    if (!family.metric.empty()) write(std::move(family));
  }
  void write(MetricFamily family) { serializer_.Serialize(out_, {std::move(family)}); }
  std::string text() { return std::move(out_).str(); }

 private:
  void one(MetricType type, const char* name, const char* help, double value) {
    family(type, name, help, [&](const Add& add) { add({}, value); });
  }

  std::ostringstream out_;
  const prometheus::TextSerializer serializer_;
};

// Everything that is summed up, in one walk over the databases.
struct Sums {
  std::map<std::string, Totals> stores;  // of those that a host answers for
  std::map<std::string, std::map<BreakerState, int>> breakers;
  std::map<daemon::DatabaseState, int> states;
  Totals all;
  std::int64_t lag_ms = 0, durable_age_ms = 0;
  std::uint64_t lag_commits = 0, lagging = 0, spool_bytes = 0, wal_bytes = 0, database_bytes = 0, kept_bytes = 0;
};

Sums sums_of(const FleetView& view) {
  Sums sums;
  const auto count = [&](const std::string& store, const Totals& totals) {
    sums.all.add(totals);
    if (!totals.service.empty()) sums.stores[store].add(totals);
  };
  for (const auto& [store, totals] : view.gone) count(store, totals);
  for (const DatabaseView& database : view.databases) {
    const ReplicatorStatus& status = database.status;
    count(database.store, totals_of(database));
    if (database.is_open && !database.store_status.service.empty()) {
      ++sums.breakers[database.store][database.store_status.breaker];
    }
    ++sums.states[state_of(database)];
    const std::int64_t lag_ms = daemon::lag_ms(database, view.now_ms);
    sums.lag_ms = std::max(sums.lag_ms, lag_ms);
    sums.lagging += lag_ms > 0;
    if (lag_ms > 0 && status.published_time_ms > 0) {
      sums.durable_age_ms = std::max(sums.durable_age_ms, view.now_ms - status.published_time_ms);
    }
    sums.lag_commits += status.unpublished_commits;
    sums.spool_bytes += status.spool_bytes;
    sums.wal_bytes += status.wal_bytes;
    sums.database_bytes += status.page_count * status.page_size;
    sums.kept_bytes += status.kept_bytes;
  }
  return sums;
}

void write_layers(Writer& out, const FleetView& view) {
  const auto of_each = [&](MetricType type, const char* name, const char* help, auto value) {
    out.family(type, name, help, [&](const Writer::Add& add) {
      for (const daemon::LayerView& layer : view.layers) {
        add({{"layer", readable(layer.name)}}, static_cast<double>(value(layer)));
      }
    });
  };
  using daemon::LayerView;
  of_each(MetricType::Gauge, "cairn_layer_failing", "1: the layer is not watched now, and will be tried again.",
          [](const LayerView& layer) { return layer.failing ? 1 : 0; });
  of_each(MetricType::Gauge, "cairn_layer_last_sync_timestamp_seconds",
          "When this process published the layer's newest sync, in seconds since 1970; 0: it has published none.",
          [](const LayerView& layer) { return seconds(layer.counts.last_ms); });
  of_each(MetricType::Gauge, "cairn_layer_sequence", "The layer's newest sync that this process published; 0: none.",
          [](const LayerView& layer) { return layer.counts.sequence; });
  of_each(MetricType::Counter, "cairn_layer_syncs_total", "Syncs of the layer published.",
          [](const LayerView& layer) { return layer.counts.syncs; });
  of_each(MetricType::Counter, "cairn_layer_sent_bytes_total", "Bytes of the layer sent to the store.",
          [](const LayerView& layer) { return layer.counts.sent_bytes; });
  of_each(MetricType::Counter, "cairn_layer_torn_files_total",
          "Files that changed each time while they were read, and are marked as torn in their sync.",
          [](const LayerView& layer) { return layer.counts.torn_files; });
}

void write_state(Writer& out, const FleetView& view, const Sums& sums, const std::string& version, bool each) {
  out.family(MetricType::Gauge, "cairn_build_info", "The version that runs; always 1.",
             [&](const Writer::Add& add) { add({{"version", version}}, 1); });
  out.gauge("cairn_start_time_seconds", "When the process began to replicate, in seconds since 1970.",
            seconds(view.begun_ms));
  out.gauge("cairn_database_series", "1: each database has series of its own; 0: too many, sums alone.", each);
  out.family(MetricType::Gauge, "cairn_databases", "Databases by how they are.", [&](const Writer::Add& add) {
    for (const daemon::DatabaseState state : daemon::kDatabaseStates) {
      const auto count = sums.states.find(state);
      add({{"state", std::string(name_of(state))}}, count == sums.states.end() ? 0 : count->second);
    }
  });
  write_layers(out, view);
  out.gauge("cairn_max_lag_seconds", "The largest lag of all databases.", seconds(sums.lag_ms));
  out.gauge("cairn_max_last_durable_commit_age_seconds",
            "Age of the newest commit in the store, the largest of all databases that have a lag; 0: none has.",
            seconds(sums.durable_age_ms));
  out.gauge("cairn_lagging_databases", "Databases that have something a restore cannot reach yet.",
            static_cast<double>(sums.lagging));
  out.gauge("cairn_lag_commits", "Commits captured and not published, of all databases.",
            static_cast<double>(sums.lag_commits));
  out.gauge("cairn_spool_bytes", "Captured and not published, on the local disk.",
            static_cast<double>(sums.spool_bytes));
  out.gauge("cairn_wal_bytes", "Size of all databases' WAL files.", static_cast<double>(sums.wal_bytes));
  out.gauge("cairn_database_bytes", "Size of all databases.", static_cast<double>(sums.database_bytes));
  out.gauge("cairn_kept_bytes", "Published, and on the local disk until it is merged.",
            static_cast<double>(sums.kept_bytes));
}

void write_work(Writer& out, const FleetView& view, const Totals& all) {
  out.counter("cairn_commits_total", "Commits captured.", all.commits);
  out.counter("cairn_published_segments_total", "Segments published: each is a restore point.",
              all.published_segments);
  out.counter("cairn_published_bytes_total", "Bytes of segments and snapshots published.", all.published_bytes);
  out.counter("cairn_snapshots_total", "Snapshots published.", all.snapshots);
  out.counter("cairn_merged_objects_total", "Objects made by merging others.", all.merged_objects);
  out.counter("cairn_merged_bytes_total", "Bytes of the objects made by merging others.", all.merged_bytes);
  out.counter("cairn_replaced_objects_total", "Objects removed because a merged one has what they had.",
              all.replaced_objects);
  out.counter("cairn_restores_total", "Databases restored by this process.", view.restores);
  out.counter("cairn_compression_cpu_seconds_total", "Time of processors that compressing took.",
              static_cast<double>(view.compression_cpu_us) / kUsPerSecond);
  out.counter("cairn_reconciles_total", "Comparisons of a whole database with its published state.", all.reconciles);
  out.counter("cairn_rollovers_total", "Checkpoints by Cairn that let a WAL begin anew.", all.rollovers);
  out.counter("cairn_wal_restarts_total", "Times that a WAL began anew.", all.wal_restarts);

  MetricFamily holds{"cairn_write_lock_hold_seconds", "How long Cairn held a database's write lock.",
                     MetricType::Histogram, {}};
  ClientMetric::Histogram& histogram = holds.metric.emplace_back().histogram;
  for (std::size_t i = 0; i < kWriteLockBounds_us.size(); ++i) {
    histogram.sample_count += all.write_lock_counts[i];
    histogram.bucket.push_back({histogram.sample_count, static_cast<double>(kWriteLockBounds_us[i]) / kUsPerSecond});
  }
  histogram.sample_count += all.write_lock_counts.back();
  histogram.sample_sum = static_cast<double>(all.write_lock_us) / kUsPerSecond;
  out.write(std::move(holds));

  out.family(MetricType::Counter, "cairn_errors_total", "Times that something was in the way, by what and how.",
             [&](const Writer::Add& add) {
               for (const auto& [origin, counts] : {std::pair("database", &all.database_errors),
                                                    std::pair("store", &all.store_errors),
                                                    std::pair("upkeep", &all.upkeep_errors)}) {
                 for (std::size_t kind = 0; kind < kErrorKinds; ++kind) {
                   add({{"origin", origin}, {"kind", std::string(name_of(static_cast<ErrorKind>(kind)))}},
                       static_cast<double>((*counts)[kind]));
                 }
               }
             });
}

void write_stores(Writer& out, const FleetView& view, const Sums& sums) {
  const auto each_store = [&](const char* name, const char* help, const auto& value) {
    out.family(MetricType::Counter, name, help, [&](const Writer::Add& add) {
      for (const auto& [store, totals] : sums.stores) {
        if (const auto number = value(totals)) add({{"store", readable(store)}}, static_cast<double>(*number));
      }
    });
  };
  using Count = std::optional<std::uint64_t>;
  out.family(MetricType::Counter, "cairn_store_requests_total",
             "Requests by store and by what providers bill; unanswered: no answer, or one of 5xx.",
             [&](const Writer::Add& add) {
               for (const auto& [store, totals] : sums.stores) {
                 const StoreUsage& usage = totals.usage;
                 for (const auto& [kind, count] :
                      {std::pair("write", usage.writes), std::pair("list", usage.lists), std::pair("read", usage.reads),
                       std::pair("delete", usage.deletes), std::pair("unanswered", usage.unanswered)}) {
                   add({{"store", readable(store)}, {"kind", kind}}, static_cast<double>(count));
                 }
               }
             });
  each_store("cairn_store_sent_bytes_total", "Bodies of requests.",
             [](const Totals& totals) { return Count(totals.usage.sent_bytes); });
  each_store("cairn_store_received_bytes_total", "Bodies of answers.",
             [](const Totals& totals) { return Count(totals.usage.received_bytes); });
  each_store("cairn_store_retries_total", "Calls that were made once more after a failure.",
             [](const Totals& totals) { return Count(totals.retries); });
  each_store("cairn_store_cost_dollars_total", "Requests and received bytes at list prices, where these are known.",
             [&](const Totals& totals) -> std::optional<double> {
               const std::optional<Cost> cost = daemon::cost_of(totals, view.prices);
               return cost ? std::optional(cost->usd()) : std::nullopt;
             });
  out.family(MetricType::Gauge, "cairn_store_circuit_breakers",
             "Databases by the state of their circuit breaker of a store; open: it is left alone for a while.",
             [&](const Writer::Add& add) {
               for (const auto& [store, counts] : sums.breakers) {
                 for (const BreakerState state : {BreakerState::closed, BreakerState::open, BreakerState::half_open}) {
                   const auto count = counts.find(state);
                   add({{"store", readable(store)}, {"state", name_of(state)}},
                       count == counts.end() ? 0 : count->second);
                 }
               }
             });
}

void write_databases(Writer& out, const FleetView& view) {
  std::vector<std::pair<std::string, const DatabaseView*>> named;
  for (const DatabaseView& database : view.databases) named.emplace_back(readable(database.path), &database);
  const auto each = [&](MetricType type, const char* name, const char* help, const auto& value) {
    out.family(type, name, help, [&](const Writer::Add& add) {
      for (const auto& [path, database] : named) {
        if (const std::optional<double> number = value(*database)) add({{"database", path}}, *number);
      }
    });
  };
  const auto of_status = [&](const char* name, const char* help, const auto& value) {
    each(MetricType::Gauge, name, help, [&](const DatabaseView& database) -> std::optional<double> {
      if (!database.is_open && !database.is_asleep) return std::nullopt;
      return static_cast<double>(value(database.status));
    });
  };
  const auto counted = [&](const char* name, const char* help, const auto& value) {
    each(MetricType::Counter, name, help, [&](const DatabaseView& database) {
      return std::optional(static_cast<double>(value(totals_of(database))));
    });
  };
  const auto time = [](std::int64_t ms) { return ms == 0 ? std::nullopt : std::optional(seconds(ms)); };
  each(MetricType::Gauge, "cairn_database_healthy", "1: it is followed, and nothing is in the way.",
       [](const DatabaseView& database) {
         const daemon::DatabaseState state = state_of(database);
         const bool well = state == daemon::DatabaseState::following || state == daemon::DatabaseState::asleep;
         return std::optional(well ? 1.0 : 0.0);
       });
  each(MetricType::Gauge, "cairn_database_lag_seconds", "Age of the oldest commit that a restore cannot reach yet.",
       [&](const DatabaseView& database) { return std::optional(seconds(daemon::lag_ms(database, view.now_ms))); });
  of_status("cairn_database_lag_commits", "Commits captured and not published.",
            [](const ReplicatorStatus& status) { return status.unpublished_commits; });
  each(MetricType::Gauge, "cairn_database_last_durable_commit_timestamp_seconds",
       "When the newest commit was seen that is in the store, in seconds since 1970.",
       [&](const DatabaseView& database) { return time(database.status.published_time_ms); });
  each(MetricType::Gauge, "cairn_database_last_snapshot_timestamp_seconds",
       "When the newest snapshot in the store was made, in seconds since 1970.",
       [&](const DatabaseView& database) { return time(database.status.newest_snapshot_time_ms); });
  of_status("cairn_database_spool_bytes", "Captured and not published, on the local disk.",
            [](const ReplicatorStatus& status) { return status.spool_bytes; });
  of_status("cairn_database_wal_bytes", "Size of its WAL file.",
            [](const ReplicatorStatus& status) { return status.wal_bytes; });
  of_status("cairn_database_size_bytes", "Its size.",
            [](const ReplicatorStatus& status) { return status.page_count * status.page_size; });
  counted("cairn_database_commits_total", "Commits captured.", [](const Totals& totals) { return totals.commits; });
  counted("cairn_database_published_bytes_total", "Bytes of segments and snapshots published.",
          [](const Totals& totals) { return totals.published_bytes; });
  counted("cairn_database_errors_total", "Times that something was in the way.",
          [](const Totals& totals) { return totals.errors(); });
}

}  // namespace

std::string metrics_text(const FleetView& view, const std::string& version, int most_databases) {
  Writer out;
  const Sums sums = sums_of(view);
  const bool each = view.databases.size() <= static_cast<std::size_t>(std::max(most_databases, 0));
  write_state(out, view, sums, version, each);
  write_work(out, view, sums.all);
  write_stores(out, view, sums);
  if (each) write_databases(out, view);
  return out.text();
}

}  // namespace cairn::web
