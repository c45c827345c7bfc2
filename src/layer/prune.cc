// Pruning, without a lock. The order of its requests is what makes it safe beside syncs, restores and other prunes:
//
//   1. put the notice              its time is the store's own "now"; a sync that wants an old object sees it; it holds
//                                  for an hour, and is followed by another one in time
//   2. list objects, twice         what could be removed: only what is older than the grace, and looks so both times
//   3. read the manifests          after the listing, so that whatever they name was published before; --keep swaps
//                                  thinner ones in, by compare-and-swap
//   4. remove, metas before layers what neither a manifest nor a want names; then history that no manifest names
//   5. remove the notice
//
// Any failure before 4 leaves everything as it was, and one in 4 only leaves some of the garbage. A listing or a
// manifest that cannot be read is never taken for "nothing there".
//
// Why twice: over plain http a bit of a listing may come flipped, and nobody notices. A young object whose time came
// garbled looks old; a manifest whose name did would not be read, and its layers would look like garbage.
#include "layer/prune.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <set>

#include "cairn/layer.h"
#include "layer/history.h"
#include "layer/manifest.h"
#include "layer/stored.h"

namespace cairn {
namespace layer {
namespace {

constexpr std::int64_t kNoticeRenewed_ms = kNoticeLasts_ms / 6;
constexpr std::int64_t kNoticeTrusted_ms = kNoticeLasts_ms * 3 / 4;  // the rest is for a removal and its retries
constexpr std::size_t kNotices = 2;  // the one before stays, for a listing that is late
constexpr int kSwapAttempts = 3;  // then a busy container keeps its history until the next prune

// An empty object, and what the store says of it.
Result<ObjectInfo> place(Store& store, const std::string& key) {
  const Result<std::string> put = store.put_new(key, BytesSource({}));
  if (!put && put.error().kind() != ErrorKind::maybe_done) return put.error();
  Result<ObjectInfo> placed = store.head(key);
  // One that arrives late after all harms nobody.
  if (!put && !placed && placed.error().kind() == ErrorKind::not_found) return put.error();
  return placed;
}

// What a want keeps from being removed: a digest, and the key under which the layer may lie instead.
struct Wanted {
  std::string digest, temporary_key;
};
Wanted wanted_by(std::string_view key) {
  key.remove_prefix(kWantPrefix.size());
  const std::size_t first = std::min(key.find('-'), key.size());
  const std::string_view tokens = key.substr(std::min(first + 1, key.size()));
  return {std::string(key.substr(0, first)), temporary_layer_key(tokens.substr(0, tokens.find('-')))};
}

// Whole chains whose successor began before `keep_from_ms`: no state at or after that time needs them.
std::size_t droppable_syncs(const Manifest& manifest, std::int64_t keep_from_ms) {
  std::size_t droppable = 0;
  for (std::size_t i = 1; i < manifest.syncs.size(); ++i) {
    const SyncRecord& sync = manifest.syncs[i];
    if (sync.kind == SyncKind::full && sync.time_ms <= keep_from_ms) droppable = i;
  }
  return droppable;
}

// What lies in the store, as it was listed once.
struct Inventory {
  std::map<std::string, std::vector<ObjectInfo>> layers;  // and metas, by digest
  std::vector<ObjectInfo> temporary, histories;
  std::set<std::string> containers;  // by name
};

Result<Inventory> take_inventory(Store& store) {
  Inventory inventory;
  CAIRN_ASSIGN(inventory.layers, list_layer_objects(store));
  CAIRN_ASSIGN(inventory.temporary, list_all(store, kTemporaryPrefix));
  CAIRN_ASSIGN(const std::vector<ObjectInfo> manifests, list_all(store, kManifestPrefix));
  for (const ObjectInfo& object : manifests) {
    if (is_history_key(object.key)) inventory.histories.push_back(object);
    if (auto name = name_of_manifest_key(object.key)) inventory.containers.insert(std::move(*name));
  }
  return inventory;
}

class Prune {
 public:
  Prune(Store& store, const LayerPruneOptions& options, const std::function<std::int64_t()>& boot_ms)
      : store_(store), options_(options), boot_ms_(boot_ms) {}

  Result<LayerPruneReport> run(std::int64_t now_ms);

 private:
  Result<void> announce(std::int64_t now_ms);
  Result<void> keep_announced();
  Result<void> decide_and_remove();
  void believe(const Inventory& inventory);
  void heed_wants(const Inventory& inventory);
  Result<void> read_needed(const std::vector<std::string>& containers);
  Result<void> thin(StoredHistory history);
  void need(const StoredHistory& history);
  Result<void> remove_layers(const Inventory& first, const Inventory& second);
  Result<void> remove_unneeded(const std::vector<ObjectInfo>& objects);
  Result<void> abort_uploads(const std::vector<UploadInfo>& uploads);
  Result<void> remove(const ObjectInfo& object);
  bool is_old(std::int64_t time_ms) const { return time_ms + options_.grace_ms <= now_ms_; }
  // Both listings say so.
  bool is_old(const ObjectInfo& object) const {
    return is_old(object.modified_ms) && believed_.contains({object.key, object.modified_ms});
  }

  Store& store_;
  const LayerPruneOptions& options_;
  const std::function<std::int64_t()>& boot_ms_;
  std::string first_notice_;
  std::deque<std::string> notices_;
  int renewals_ = 0;
  std::int64_t announced_ms_ = 0;  // by boot_ms_, before the newest notice was placed
  std::int64_t now_ms_ = 0;
  std::set<std::pair<std::string, std::int64_t>> believed_;  // keys and times of the second listing
  std::set<std::string, std::less<>> needed_;  // digests, and keys: a layer may have kept the name it was sent under
  LayerPruneReport report_;
};

Result<LayerPruneReport> Prune::run(std::int64_t now_ms) {
  now_ms_ = now_ms;
  if (options_.grace_ms < 0) return Error(ErrorKind::invalid, "a grace period cannot be negative");
  if (!options_.dry_run) CAIRN_TRY(announce(now_ms));
  const Result<void> done = decide_and_remove();
  // One that stays behind costs a sync a wait at most, and the next prune removes it.
  for (const std::string& notice : notices_) (void)store_.remove(notice);
  if (!done) return done.error();
  return report_;
}

// The earlier of the two clocks counts: one that is ahead makes everything look old.
Result<void> Prune::announce(std::int64_t now_ms) {
  const std::string key = fmt::format("{}{}", kNoticePrefix, now_ms);
  announced_ms_ = boot_ms_();
  const Result<ObjectInfo> notice = place(store_, key);
  if (!notice && notice.error().kind() == ErrorKind::conflict) {
    return Error(ErrorKind::busy, fmt::format("another prune is at work in {}: try again in a moment", store_.url()));
  }
  if (!notice) return notice.error();
  first_notice_ = key;
  notices_.push_back(key);
  now_ms_ = std::min(now_ms, notice->modified_ms);
  return {};
}

// Before each step that relies on no sync having come to rely on what is old.
Result<void> Prune::keep_announced() {
  if (notices_.empty()) return {};
  const std::int64_t now_ms = boot_ms_(), age_ms = now_ms - announced_ms_;
  if (age_ms < kNoticeRenewed_ms) return {};
  if (age_ms > kNoticeTrusted_ms) {
    return Error(ErrorKind::retry_later,
                 fmt::format("this prune stood still for {} minutes, and a sync may use by now what it was about to "
                             "remove from {}: nothing more is removed; run it again",
                             age_ms / 60'000, store_.url()));
  }
  // Later in a listing than those before: one is always seen.
  const std::string key = fmt::format("{}-{:06}", first_notice_, ++renewals_);
  CAIRN_TRY(place(store_, key));
  announced_ms_ = now_ms;
  notices_.push_back(key);
  if (notices_.size() <= kNotices) return {};
  (void)store_.remove(notices_.front());
  notices_.pop_front();
  return {};
}

Result<void> Prune::decide_and_remove() {
  CAIRN_ASSIGN(const Inventory first, take_inventory(store_));
  std::vector<UploadInfo> uploads;
  if (store_.capabilities().multipart) {
    CAIRN_ASSIGN(uploads, store_.list_uploads(""));
  }
  CAIRN_TRY(keep_announced());
  CAIRN_ASSIGN(const Inventory second, take_inventory(store_));
  believe(second);
  heed_wants(first);
  heed_wants(second);
  std::set<std::string> containers = first.containers;
  containers.insert(second.containers.begin(), second.containers.end());
  CAIRN_TRY(read_needed({containers.begin(), containers.end()}));
  CAIRN_TRY(remove_layers(first, second));
  CAIRN_TRY(remove_unneeded(first.temporary));
  CAIRN_TRY(remove_unneeded(first.histories));
  return abort_uploads(uploads);
}

void Prune::believe(const Inventory& inventory) {
  const auto add = [&](const std::vector<ObjectInfo>& objects) {
    for (const ObjectInfo& object : objects) believed_.emplace(object.key, object.modified_ms);
  };
  add(inventory.temporary);
  add(inventory.histories);
  for (const auto& [digest, objects] : inventory.layers) add(objects);
}

void Prune::heed_wants(const Inventory& inventory) {
  for (const ObjectInfo& object : inventory.temporary) {
    if (!object.key.starts_with(kWantPrefix) || is_old(object)) continue;
    Wanted wanted = wanted_by(object.key);
    needed_.insert(std::move(wanted.digest));
    needed_.insert(std::move(wanted.temporary_key));
  }
}

Result<void> Prune::read_needed(const std::vector<std::string>& containers) {
  CAIRN_ASSIGN(std::vector<StoredHistory> histories, read_histories(store_, containers));
  // Layers without any manifest: somebody has removed what names them, or this is not the place it was thought to be.
  if (histories.empty()) {
    return Error(ErrorKind::not_found, fmt::format("there is no container in {}: nothing was removed", store_.url()));
  }
  for (StoredHistory& history : histories) CAIRN_TRY(thin(std::move(history)));
  return {};
}

// Notes what is needed of one container, after its history was made shorter as far as it may be.
Result<void> Prune::thin(StoredHistory history) {
  CAIRN_TRY(keep_announced());
  for (int attempt = 0; options_.keep_ms && attempt < kSwapAttempts; ++attempt) {
    const std::size_t dropped = droppable_syncs(history.whole, now_ms_ - *options_.keep_ms);
    if (dropped == 0) break;
    const std::uint64_t first = history.whole.syncs[dropped].sequence;
    Manifest thinner = history.stored.manifest;
    drop_before(thinner, first);
    if (!options_.dry_run) {
      const Result<std::string> swapped = publish_manifest(store_, thinner, history.stored.etag);
      if (!swapped && swapped.error().kind() != ErrorKind::conflict) return swapped.error();
      if (!swapped) {
        CAIRN_ASSIGN(history, read_history(store_, thinner.name));
        continue;
      }
    }
    report_.dropped_syncs += dropped;
    history.stored.manifest = std::move(thinner);
    drop_before(history.whole, first);
    break;
  }
  need(history);
  return {};
}

void Prune::need(const StoredHistory& history) {
  for (const SyncRecord& sync : history.whole.syncs) {
    needed_.insert(sync.layer.digest);
    needed_.insert(sync.layer.object);
  }
  for (const HistoryPart& part : history.stored.manifest.older) needed_.insert(part.object);
}

// Layer and meta go together or stay together: a young meta beside an old layer is a sync at work.
Result<void> Prune::remove_layers(const Inventory& first, const Inventory& second) {
  const auto any_young = [&](const Inventory& inventory, const std::string& digest) {
    const auto found = inventory.layers.find(digest);
    return found == inventory.layers.end() ||
           !std::ranges::all_of(found->second, [&](const ObjectInfo& object) { return is_old(object); });
  };
  for (const auto& [digest, objects] : first.layers) {
    const bool young = any_young(first, digest) || any_young(second, digest);
    for (const ObjectInfo& object : objects) {  // by key, as listed: the meta comes first
      if (young || needed_.contains(digest)) {
        ++report_.kept_objects;
        report_.kept_bytes += object.size_bytes;
      } else {
        CAIRN_TRY(remove(object));
      }
    }
  }
  return {};
}

Result<void> Prune::remove_unneeded(const std::vector<ObjectInfo>& objects) {
  for (const ObjectInfo& object : objects) {
    const bool is_needed = object.key == first_notice_ || needed_.contains(object.key);
    if (is_old(object) && !is_needed) CAIRN_TRY(remove(object));
  }
  return {};
}

Result<void> Prune::abort_uploads(const std::vector<UploadInfo>& uploads) {
  for (const UploadInfo& upload : uploads) {
    const bool ours = !digest_of_key(upload.key).empty() || upload.key.starts_with(kTemporaryPrefix);
    if (!ours || !is_old(upload.begun_ms)) continue;
    CAIRN_TRY(keep_announced());
    if (!options_.dry_run) CAIRN_TRY(store_.abort_upload(upload.key, upload.upload_id));
    ++report_.aborted_uploads;
  }
  return {};
}

Result<void> Prune::remove(const ObjectInfo& object) {
  CAIRN_TRY(keep_announced());
  if (!options_.dry_run) CAIRN_TRY(store_.remove(object.key));
  report_.removed.push_back(object.key);
  report_.removed_bytes += object.size_bytes;
  return {};
}

}  // namespace

std::string want_key_of(std::string_view digest, std::string_view temporary_key, Random& random) {
  std::string_view token = temporary_key;
  if (token.starts_with(kTemporaryPrefix)) token.remove_prefix(kTemporaryPrefix.size());
  return fmt::format("{}{}-{}-{}", kWantPrefix, digest, token.substr(0, token.find('.')), random.id().hex());
}

Result<void> want_layer(Store& store, const std::string& want_key) {
  CAIRN_ASSIGN(const ObjectInfo placed, place(store, want_key));
  CAIRN_ASSIGN(const std::vector<ObjectInfo> notices, list_all(store, kNoticePrefix));
  const auto at_work = std::ranges::find_if(notices, [&](const ObjectInfo& notice) {
    // From an hour ahead it is as old: the clock was wrong, then or now.
    return std::abs(notice.modified_ms - placed.modified_ms) < kNoticeLasts_ms;
  });
  if (at_work == notices.end()) return {};
  (void)store.remove(want_key);
  return Error(ErrorKind::retry_later,
               fmt::format("a prune is at work in {} since {}, and may be removing a layer that this sync would use: "
                           "sync again when it has ended. If it was killed, {} tells of it for an hour: wait, or "
                           "remove that object",
                           store.url(), format_time(at_work->modified_ms), at_work->key));
}

Result<void> withdraw_want(Store& store, const std::string& want_key) { return store.remove(want_key); }

Result<LayerPruneReport> prune(Store& store, std::int64_t now_ms, const LayerPruneOptions& options,
                               const std::function<std::int64_t()>& boot_ms) {
  return Prune(store, options, boot_ms).run(now_ms);
}

}  // namespace layer

Result<LayerPruneReport> prune_layers(Store& store, std::int64_t now_ms, const LayerPruneOptions& options) {
  return layer::prune(store, now_ms, options, boot_ms);
}

}  // namespace cairn
