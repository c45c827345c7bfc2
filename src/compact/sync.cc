// Snapshots and merged segments are few and are listed whole each time: whoever merges puts keys anywhere among them.
// Level 0 is long and grows at its end only. What others have removed from its beginning stays in the catalogue until a
// full sync; who uses it finds it gone.

#include "compact/sync.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/parallel.h"
#include "restore/replica.h"
#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::compact {
namespace {

constexpr std::size_t kAtOnce = 1000;
constexpr std::int64_t kSettled_ms = 24ll * 3600 * 1000;  // no store lists later than that

class Sync {
 public:
  Sync(Store& store, Catalogue& catalogue, const KnownReplica& replica, Executor& executor, std::stop_token stop)
      : store_(store), catalogue_(catalogue), replica_(replica), executor_(executor), stop_(std::move(stop)) {
    report_.url = replica.url;
  }

  Result<SyncReport> run(SyncDepth depth, std::int64_t now_ms) {
    CAIRN_ASSIGN(std::vector<KnownObject> known, catalogue_.objects(replica_));
    const bool whole = depth == SyncDepth::full || replica_.synced_ms == 0;
    const Sequence behind = whole ? Sequence(0) : list_level0_behind(known);
    for (KnownObject& object : known) {
      std::string key = object.read.object.name.key;
      known_.emplace(std::move(key), std::move(object));
    }
    const std::string level0_behind = behind.value > 0 ? segment::segment_key("", behind) : std::string();
    CAIRN_TRY(list(segment::snapshot_prefix(""), {}));
    CAIRN_TRY(list(segment::level_prefix(""), {}));
    CAIRN_TRY(list(segment::segment_prefix(""), level0_behind));
    CAIRN_TRY(forget_what_is_gone(level0_behind));
    CAIRN_TRY(catalogue_.set_synced(replica_, now_ms));
    return std::move(report_);
  }

 private:
  Result<void> list(const std::string& prefix, const std::string& start_after) {
    std::vector<KnownObject> fresh;
    Result<void> written;
    CAIRN_TRY(restore::list_objects(store_, prefix, start_after, [&](const ObjectInfo& info) {
      if (auto object = look_at(info)) fresh.push_back(std::move(*object));
      if (fresh.size() >= kAtOnce) written = learn(fresh);
      return written.has_value();
    }));
    CAIRN_TRY(std::move(written));
    return learn(fresh);
  }

  // Nothing: it is none of a replica's, or known as it is.
  std::optional<KnownObject> look_at(const ObjectInfo& info) {
    auto name = segment::parse_key("", info.key);
    if (!name) return std::nullopt;
    seen_.insert(info.key);
    ++report_.objects;
    const auto known = known_.find(info.key);
    const bool same = known != known_.end() && known->second.etag == info.etag &&
                      known->second.read.object.size_bytes == info.size_bytes && known->second.modified_ms != 0;
    if (same && known->second.problem.empty()) return std::nullopt;  // what was damaged may have been garbled
    KnownObject object;
    object.read.object = {std::move(*name), info.size_bytes, {}};
    object.etag = info.etag;
    object.modified_ms = info.modified_ms;
    if (known == known_.end()) ++report_.added;
    return object;
  }

  // Reads the footers and writes all of it down.
  Result<void> learn(std::vector<KnownObject>& fresh) {
    std::vector<char> vanished(fresh.size());
    CAIRN_TRY(parallel_for(executor_, fresh.size(), [&](std::uint64_t i) -> Result<void> {
      CAIRN_ASSIGN(vanished[i], read_footer(fresh[i]));
      return {};
    }, stop_));
    std::vector<KnownObject> put;
    for (std::size_t i = 0; i < fresh.size(); ++i) {
      if (vanished[i]) {
        seen_.erase(fresh[i].read.object.name.key);
        --report_.objects;
        continue;
      }
      if (!fresh[i].problem.empty()) report_.problems.push_back(fresh[i].problem);
      put.push_back(std::move(fresh[i]));
    }
    fresh.clear();
    if (put.empty()) return {};
    return catalogue_.update(replica_, put, {});
  }

  // True: it has vanished since it was listed.
  Result<char> read_footer(KnownObject& object) {
    const std::string& key = object.read.object.name.key;
    const auto reader = segment::ObjectReader::open(store_, key);
    if (reader) {
      object.read.footer = (*reader)->footer();
      if (object.read.footer.lineage == replica_.lineage) return false;
      object.problem = fmt::format("{} belongs to another history (lineage {}) than this replica ({}): it is left "
                                   "alone", key, object.read.footer.lineage.hex(), replica_.lineage.hex());
      return false;
    }
    const ErrorKind kind = reader.error().kind();
    if (kind == ErrorKind::not_found) return true;
    if (kind != ErrorKind::corrupt) return reader.error();
    object.problem = reader.error().message();
    return false;
  }

  // What was put from here, and is in no list yet, is asked about by name.
  Result<void> forget_what_is_gone(const std::string& level0_behind) {
    const std::string level0 = segment::segment_prefix("");
    std::vector<std::string> gone;
    for (const auto& [key, object] : known_) {
      const bool was_listed = !key.starts_with(level0) || key > level0_behind;
      if (!was_listed) {
        ++report_.objects;
      } else if (!seen_.contains(key)) {
        CAIRN_ASSIGN(const bool there, is_there(object));
        if (!there) gone.push_back(key);
        report_.objects += there;
      }
    }
    report_.gone = gone.size();
    return catalogue_.update(replica_, {}, gone);
  }

  Result<bool> is_there(const KnownObject& object) {
    if (object.modified_ms != 0) return false;
    const auto info = store_.head(object.read.object.name.key);
    if (info) return true;
    if (info.error().kind() == ErrorKind::not_found) return false;
    return info.error();
  }

  Store& store_;
  Catalogue& catalogue_;
  const KnownReplica& replica_;
  Executor& executor_;
  const std::stop_token stop_;
  std::map<std::string, KnownObject> known_;
  std::set<std::string> seen_;
  SyncReport report_;
};

}  // namespace

Result<Id128> identify(Store& store) {
  CAIRN_ASSIGN(const std::optional<Id128> claimed, restore::claimed_lineage(store, ""));
  if (claimed) return *claimed;
  CAIRN_ASSIGN(const auto snapshots, restore::list_snapshots(store, ""));
  for (const restore::StoredObject& snapshot : snapshots) {
    const auto reader = segment::ObjectReader::open(store, snapshot.name.key);
    if (reader) return (*reader)->footer().lineage;
    if (reader.error().kind() != ErrorKind::corrupt) return reader.error();
  }
  return Error(ErrorKind::not_found, "there is no metadata.json and no snapshot: no replica lies there");
}

Sequence list_level0_behind(const std::vector<KnownObject>& known) {
  std::int64_t youngest_ms = 0;
  for (const KnownObject& object : known) youngest_ms = std::max(youngest_ms, object.modified_ms);
  std::vector<std::pair<Sequence, Sequence>> ranges;
  std::optional<Sequence> begin;  // of the young level-0 segments
  Sequence newest_level0;
  for (const KnownObject& object : known) {
    const segment::ObjectName& name = object.read.object.name;
    if (name.kind != segment::KeyKind::segment) continue;
    ranges.emplace_back(name.first, name.last);
    if (name.level != 0) continue;
    newest_level0 = std::max(newest_level0, name.last);
    const bool young = object.modified_ms + kSettled_ms >= youngest_ms;
    if (young) begin = std::min(begin.value_or(name.first), name.first);
  }
  if (!begin) return newest_level0;
  std::sort(ranges.begin(), ranges.end());
  Sequence reached(begin->value - 1);
  for (const auto& [first, last] : ranges) {
    if (first > reached.next()) break;
    reached = std::max(reached, last);
  }
  return std::min(reached, newest_level0);
}

Result<SyncReport> sync(Store& store, Catalogue& catalogue, const KnownReplica& replica, SyncDepth depth,
                        std::int64_t now_ms, Executor& executor, std::stop_token stop) {
  return Sync(store, catalogue, replica, executor, std::move(stop)).run(depth, now_ms);
}

}  // namespace cairn::compact
