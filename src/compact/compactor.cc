// The compactor's calls: a catalogue, and one replica at a time.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/clock.h"
#include "base/files.h"
#include "compact/catalogue.h"
#include "compact/compact_run.h"
#include "compact/lines.h"
#include "compact/paths.h"
#include "compact/sync.h"

namespace cairn {
namespace compact {
namespace {

CatalogueSegment describe(const KnownObject& object) {
  const segment::ObjectName& name = object.read.object.name;
  const segment::Footer& footer = object.read.footer;
  CatalogueSegment segment;
  segment.key = name.key;
  segment.size_bytes = object.read.object.size_bytes;
  segment.is_snapshot = name.kind == segment::KeyKind::snapshot;
  segment.level = name.level;
  segment.first_sequence = name.first.value;
  segment.last_sequence = name.last.value;
  segment.problem = object.problem;
  if (!object.problem.empty()) return segment;
  segment.is_squashed = footer.kind == segment::ObjectKind::squashed;
  segment.restore_points = footer.points.size();
  segment.first_time_ms = footer.first_time_ms;
  segment.last_time_ms = footer.last_time_ms;
  return segment;
}

std::vector<restore::ReadObject> usable(const std::vector<KnownObject>& objects) {
  std::vector<restore::ReadObject> found;
  for (const KnownObject& object : objects) {
    if (object.problem.empty()) found.push_back(object.read);
  }
  return found;
}

MonitoredReplica summarize(const KnownReplica& replica, const std::vector<KnownObject>& objects) {
  MonitoredReplica summary{replica.url, replica.lineage.hex(), replica.added_ms, replica.synced_ms, 0, 0, 0, 0, 0};
  for (const KnownObject& object : objects) {
    const segment::ObjectName& name = object.read.object.name;
    ++(name.kind == segment::KeyKind::snapshot ? summary.snapshots : summary.segments);
    summary.size_bytes += object.read.object.size_bytes;
    summary.newest_sequence = std::max(summary.newest_sequence, name.last.value);
  }
  summary.restore_points = restore::reachable_points(usable(objects)).size();
  return summary;
}

std::optional<SegmentRange> range_of(const std::vector<KnownObject>& objects) {
  std::optional<SegmentRange> range;
  for (const KnownObject& object : objects) {
    const segment::ObjectName& name = object.read.object.name;
    if (name.kind != segment::KeyKind::segment) continue;
    if (!range) range = SegmentRange{name.first.value, name.last.value};
    range->first_sequence = std::min(range->first_sequence, name.first.value);
    range->last_sequence = std::max(range->last_sequence, name.last.value);
  }
  return range;
}

Result<void> check_options(const CompactOptions& options) {
  if (options.fan < 2 || options.fan > kMostInputs) {
    return Error(ErrorKind::invalid, fmt::format("{} neighbours cannot become one: 2 to {} can", options.fan,
                                                 kMostInputs));
  }
  if (options.grace_ms < 0 || options.squash_older_ms.value_or(0) < 0) {
    return Error(ErrorKind::invalid, "a length of time cannot be negative");
  }
  if (options.max_object_bytes == 0) return Error(ErrorKind::invalid, "an object cannot have 0 bytes at most");
  return {};
}

class CompactorImpl final : public Compactor {
 public:
  CompactorImpl(const CompactorOptions& options, std::unique_ptr<Catalogue> catalogue, Clock& clock, FileSystem& files,
                Executor& executor)
      : options_(options), catalogue_(std::move(catalogue)), clock_(clock), files_(files), executor_(executor) {}

  Result<SyncReport> monitor(const std::string& url) override;
  Result<void> unmonitor(const std::string& url) override;
  Result<std::vector<MonitoredReplica>> list_monitored() override;
  Result<SyncReport> sync_one(const std::string& url, SyncDepth depth) override;
  Result<std::vector<std::pair<std::string, Result<SyncReport>>>> sync_all(SyncDepth depth) override;
  Result<Analysis> analyse(const std::string& url) override;
  Result<std::optional<SegmentRange>> segment_range(const std::string& url) override;
  Result<std::vector<CatalogueSegment>> list_segments(const std::string& url) override;
  Result<RestorePath> shortest_restore_path(const std::string& url, const RestoreTarget& target) override;
  Result<CompactReport> compact(const std::string& url, const CompactOptions& options) override;
  Result<RestoreResult> restore(const std::string& url, const std::string& output,
                                const RestoreOptions& options) override;

 private:
  Result<KnownReplica> find(const std::string& url);
  Result<std::vector<KnownObject>> objects(const std::string& url);
  Result<SyncReport> sync_at(Store& store, KnownReplica& replica, SyncDepth depth, std::stop_token stop = {});

  const CompactorOptions options_;
  const std::unique_ptr<Catalogue> catalogue_;
  Clock& clock_;
  FileSystem& files_;
  Executor& executor_;
};

Result<KnownReplica> CompactorImpl::find(const std::string& url) {
  CAIRN_ASSIGN(std::optional<KnownReplica> known, catalogue_->find(url));
  if (known) return std::move(*known);
  return Error(ErrorKind::not_found, fmt::format("{} is not in the catalogue {}: 'cairn compact monitor' adds it", url,
                                                 options_.catalogue));
}

Result<std::vector<KnownObject>> CompactorImpl::objects(const std::string& url) {
  CAIRN_ASSIGN(const KnownReplica replica, find(url));
  return catalogue_->objects(replica);
}

Result<SyncReport> CompactorImpl::monitor(const std::string& url) {
  CAIRN_ASSIGN(const std::shared_ptr<Store> store, options_.open_store(url));
  CAIRN_ASSIGN(std::optional<KnownReplica> known, catalogue_->find(url));
  if (!known) {
    const auto lineage = identify(*store);
    if (!lineage) return lineage.error().with(store->url());
    CAIRN_ASSIGN(known, catalogue_->add(url, *lineage, clock_.now().wall_ms));
  }
  return sync_at(*store, *known, SyncDepth::full);
}

Result<void> CompactorImpl::unmonitor(const std::string& url) {
  CAIRN_ASSIGN(const KnownReplica replica, find(url));
  return catalogue_->remove(replica);
}

Result<std::vector<MonitoredReplica>> CompactorImpl::list_monitored() {
  CAIRN_ASSIGN(const std::vector<KnownReplica> replicas, catalogue_->replicas());
  std::vector<MonitoredReplica> all;
  for (const KnownReplica& replica : replicas) {
    CAIRN_ASSIGN(const std::vector<KnownObject> known, catalogue_->objects(replica));
    all.push_back(summarize(replica, known));
  }
  return all;
}

// Another history at the URL is believed when two readings say so: JSON has no checksum.
Result<SyncReport> CompactorImpl::sync_at(Store& store, KnownReplica& replica, SyncDepth depth, std::stop_token stop) {
  bool other_history = false;
  Result<Id128> lineage = identify(store);
  if (lineage && *lineage != replica.lineage) {
    const Id128 first = *lineage;
    lineage = identify(store);
    if (lineage && *lineage == first) {
      CAIRN_ASSIGN(replica, catalogue_->add(replica.url, first, clock_.now().wall_ms));
      other_history = true;
    }
  }
  if (!lineage) return lineage.error().with(store.url());
  auto report = compact::sync(store, *catalogue_, replica, depth, clock_.now().wall_ms, executor_, std::move(stop));
  if (!report) return report;
  report->other_history = other_history;
  return report;
}

Result<SyncReport> CompactorImpl::sync_one(const std::string& url, SyncDepth depth) {
  CAIRN_ASSIGN(KnownReplica replica, find(url));
  CAIRN_ASSIGN(const std::shared_ptr<Store> store, options_.open_store(url));
  return sync_at(*store, replica, depth);
}

Result<std::vector<std::pair<std::string, Result<SyncReport>>>> CompactorImpl::sync_all(SyncDepth depth) {
  CAIRN_ASSIGN(const std::vector<KnownReplica> replicas, catalogue_->replicas());
  std::vector<std::pair<std::string, Result<SyncReport>>> all;
  for (const KnownReplica& replica : replicas) all.emplace_back(replica.url, sync_one(replica.url, depth));
  return all;
}

Result<Analysis> CompactorImpl::analyse(const std::string& url) {
  CAIRN_ASSIGN(const KnownReplica replica, find(url));
  CAIRN_ASSIGN(const std::vector<KnownObject> known, catalogue_->objects(replica));
  const std::vector<restore::ReadObject> good = usable(known);
  Analysis analysis;
  analysis.replica = summarize(replica, known);
  std::map<int, LevelSum> levels;
  for (const KnownObject& object : known) {
    const restore::StoredObject& stored = object.read.object;
    if (!object.problem.empty()) analysis.problems.push_back(object.problem);
    if (stored.name.kind == segment::KeyKind::snapshot) {
      analysis.snapshot_bytes += stored.size_bytes;
      continue;
    }
    LevelSum& sum = levels[stored.name.level];
    sum.level = stored.name.level;
    ++sum.objects;
    sum.size_bytes += stored.size_bytes;
  }
  for (const auto& [level, sum] : levels) analysis.levels.push_back(sum);
  analysis.segments = range_of(known);
  analysis.lines = find_lines(good, Sequence(0)).size();
  auto path = path_to(good, {});
  if (path) analysis.newest = std::move(*path);
  else analysis.problems.push_back(path.error().message());
  return analysis;
}

Result<std::optional<SegmentRange>> CompactorImpl::segment_range(const std::string& url) {
  CAIRN_ASSIGN(const std::vector<KnownObject> known, objects(url));
  return range_of(known);
}

Result<std::vector<CatalogueSegment>> CompactorImpl::list_segments(const std::string& url) {
  CAIRN_ASSIGN(const std::vector<KnownObject> known, objects(url));
  std::vector<CatalogueSegment> all;
  for (const KnownObject& object : known) all.push_back(describe(object));
  std::sort(all.begin(), all.end(), [](const CatalogueSegment& a, const CatalogueSegment& b) {
    return std::tuple(!a.is_snapshot, a.first_sequence, a.last_sequence, a.level, std::string_view(a.key)) <
           std::tuple(!b.is_snapshot, b.first_sequence, b.last_sequence, b.level, std::string_view(b.key));
  });
  return all;
}

Result<RestorePath> CompactorImpl::shortest_restore_path(const std::string& url, const RestoreTarget& target) {
  CAIRN_ASSIGN(const std::vector<KnownObject> known, objects(url));
  auto path = path_to(usable(known), target);
  if (!path) return path.error().with(url);
  return path;
}

Result<CompactReport> CompactorImpl::compact(const std::string& url, const CompactOptions& options) {
  CAIRN_TRY(check_options(options));
  CAIRN_ASSIGN(KnownReplica replica, find(url));
  CAIRN_ASSIGN(const std::shared_ptr<Store> store, options_.open_store(url));
  CAIRN_ASSIGN(SyncReport synced, sync_at(*store, replica, SyncDepth::full, options.stop));
  CompactRun run({*store, *catalogue_, replica, options, options_.scratch_directory, clock_, files_, executor_});
  auto report = run.run();
  if (!report) return report.error().with(store->url());
  report->problems.insert(report->problems.begin(), synced.problems.begin(), synced.problems.end());
  return report;
}

Result<RestoreResult> CompactorImpl::restore(const std::string& url, const std::string& output,
                                             const RestoreOptions& options) {
  CAIRN_TRY(find(url));
  CAIRN_ASSIGN(const std::shared_ptr<Store> store, options_.open_store(url));
  return run_restore(*store, "", output, options, files_, executor_);
}

}  // namespace
}  // namespace compact

Result<std::unique_ptr<Compactor>> Compactor::open(const CompactorOptions& options, Clock& clock, FileSystem& files,
                                                   Executor& executor) {
  CAIRN_TRY(files.make_directories(parent_directory(options.catalogue)));
  CAIRN_ASSIGN(auto catalogue, compact::Catalogue::open(options.catalogue));
  return std::make_unique<compact::CompactorImpl>(options, std::move(catalogue), clock, files, executor);
}

}  // namespace cairn
