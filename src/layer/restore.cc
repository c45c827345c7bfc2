// A restore in its steps: the manifest, the chain of the wanted sync, the ends of its layers, one walk over their
// merged entries that says which frames are needed, and a second one that writes. Names come in order, so their
// contents do, too; what is fetched and decoded runs ahead of the writing.

#include "layer/restore.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/parallel.h"
#include "layer/apart.h"
#include "layer/file_strand.h"
#include "layer/frame_supply.h"
#include "layer/history.h"
#include "layer/lower.h"
#include "layer/open_entry.h"
#include "layer/oci_layout.h"
#include "layer/restore_plan.h"
#include "layer/restore_target.h"
#include "layer/room.h"
#include "layer/stored.h"
#include "layer/tree_writer.h"
#include "store/counting.h"
#include "store/file_url.h"

namespace cairn::layer {
namespace {

Error cancelled() { return Error(ErrorKind::cancelled, "stopped on request"); }

// A path as entries have it: without "./" in front and slashes at the ends.
Result<std::optional<std::string>> wanted_path(const LayerRestoreOptions& options) {
  if (!options.path) return std::optional<std::string>();
  std::string_view path = *options.path;
  while (path.starts_with("./")) path.remove_prefix(2);
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path == ".") path = {};
  if (!is_valid_path(path)) {
    return Error(ErrorKind::invalid, fmt::format("'{}' is not a path inside a layer", *options.path));
  }
  return path.empty() ? std::optional<std::string>() : std::optional<std::string>(path);
}

Result<void> check_options(const LayerRestoreOptions& options) {
  if (options.sequence && options.at_ms)
    return Error(ErrorKind::invalid, "a time and a sequence were both given: give one of them");
  if (options.form == LayerForm::oci_layout && options.path)
    return Error(ErrorKind::invalid, "an OCI layout has whole layers: a single path cannot be had in that form");
  if (options.form != LayerForm::oci_layout && options.compression)
    return Error(ErrorKind::invalid, "only the layers of an OCI layout are compressed");
  if (options.form != LayerForm::merged && !options.lower.empty())
    return Error(ErrorKind::invalid, "lower directories are laid under a merged tree only");
  return {};
}

// Times come from the writer's clock, which may jump: of those at or before the one asked for the highest sequence, so
// that a time after the newest sync always means that one.
Result<std::uint64_t> wanted_sequence(const Manifest& manifest, const LayerRestoreOptions& options) {
  if (options.sequence) return *options.sequence;
  if (!options.at_ms) return manifest.head().sequence;
  for (auto sync = manifest.syncs.rbegin(); sync != manifest.syncs.rend(); ++sync) {
    if (sync->time_ms <= *options.at_ms) return sync->sequence;
  }
  return Error(ErrorKind::not_found,
               fmt::format("no sync of '{}' is as old as {}: the oldest is from {}", manifest.name,
                           format_time(*options.at_ms), format_time(manifest.syncs.front().time_ms)));
}

// Whether the wanted sync may be one of those that were moved out of the manifest.
bool reaches_back(const Manifest& manifest, const LayerRestoreOptions& options) {
  if (manifest.older.empty()) return false;
  if (options.sequence) return *options.sequence < manifest.syncs.front().sequence;
  return options.at_ms && std::ranges::none_of(manifest.syncs, [&](const SyncRecord& sync) {
           return sync.time_ms <= *options.at_ms;
         });
}

Result<StoredManifest> read_as_far_as_needed(Store& store, std::string_view name, const LayerRestoreOptions& options) {
  CAIRN_ASSIGN(StoredManifest stored, read_manifest(store, name));
  if (!reaches_back(stored.manifest, options)) return stored;
  CAIRN_ASSIGN(StoredHistory history, read_history(store, name));
  return StoredManifest{std::move(history.whole), std::move(history.stored.etag)};
}

constexpr int kPlans = 3;  // a history is seldom pruned twice during a restore

struct Chain {
  std::vector<SyncRecord> syncs;
  std::vector<std::unique_ptr<LayerReader>> readers;
  std::vector<const LayerReader*> layers;  // the same
  std::vector<std::unique_ptr<LowerDirectory>> lower;

  std::unique_ptr<MergedChain> merged(const std::optional<std::string>& path) const {
    if (lower.empty()) return merge_chain(layers, path);
    return merge_over(lower, [this] { return merge_chain(layers); }, path);
  }
};

Result<Chain> open_chain(Store& store, std::vector<SyncRecord> syncs, const LayerRestoreOptions& options,
                         const RestoreMachine& machine) {
  Chain chain;
  for (const std::string& path : options.lower) {
    CAIRN_ASSIGN(auto lower, LowerDirectory::open(path, options.hidden_attributes, syncs.size() + chain.lower.size()));
    chain.lower.push_back(std::move(lower));
  }
  chain.readers.resize(syncs.size());
  CAIRN_TRY(parallel_for(machine.transfers, syncs.size(), [&](std::uint64_t i) -> Result<void> {
    const LayerMeta& layer = syncs[i].layer;
    CAIRN_ASSIGN(chain.readers[i], LayerReader::open(store, layer.object));
    if (chain.readers[i]->digest() == layer.digest && chain.readers[i]->tar_size_bytes() == layer.size_bytes) return {};
    return Error(ErrorKind::corrupt, fmt::format("{} is not the layer that the manifest means", layer.object));
  }, options.stop));
  for (const auto& reader : chain.readers) chain.layers.push_back(reader.get());
  chain.syncs = std::move(syncs);
  return chain;
}

// Something was not there. If it is a layer: a prune takes what the manifest has ceased to name, and nothing else.
Error vanished_meanwhile(Store& store, const StoredManifest& before, const SyncRecord& sync, const Error& error) {
  const auto syncs = chain_of(before.manifest, sync.sequence);
  const bool is_layer = syncs && std::ranges::any_of(*syncs, [&](const SyncRecord& one) {
    const auto there = store.head(one.layer.object);
    return !there && there.error().kind() == ErrorKind::not_found;
  });
  if (!is_layer) return error;
  const std::string& name = before.manifest.name;
  const auto now = read_manifest(store, name);
  if (!now && now.error().kind() != ErrorKind::not_found) return now.error();
  if (now && now->etag == before.etag) {
    return Error(ErrorKind::corrupt, fmt::format("sync {} of '{}' is incomplete: {}", sync.sequence, name,
                                                 error.message()));
  }
  return Error(ErrorKind::retry_later, fmt::format("the history of '{}' was pruned while sync {} was restored: restore "
                                                   "again", name, sync.sequence));
}

// Reads the manifest, chooses the sync and opens its chain; once more when a prune comes between.
Result<Chain> choose_chain(Store& store, std::string_view name, const LayerRestoreOptions& options,
                           const RestoreMachine& machine, RestoredSync& restored) {
  for (int attempt = 1;; ++attempt) {
    CAIRN_ASSIGN(restored.stored, read_as_far_as_needed(store, name, options));
    const Manifest& manifest = restored.stored.manifest;
    CAIRN_ASSIGN(const std::uint64_t sequence, wanted_sequence(manifest, options));
    CAIRN_ASSIGN(std::vector<SyncRecord> syncs, chain_of(manifest, sequence));
    restored.sync = syncs.back();
    restored.is_head = sequence == manifest.head().sequence;
    restored.result.snapshot = snapshot_of(restored.sync);
    restored.result.layers = syncs.size();
    Result<Chain> chain = open_chain(store, std::move(syncs), options, machine);
    if (chain || chain.error().kind() != ErrorKind::not_found) return chain;
    const Error error = vanished_meanwhile(store, restored.stored, restored.sync, chain.error());
    if (error.kind() != ErrorKind::retry_later || attempt == kPlans) return error;
  }
}

// The second walk. Names are made in their order by this thread; what is in the files is written beside it, by all
// cores. A file's last attributes come when all of it is written, and what is told of each name keeps the order.
class Writing {
 public:
  Writing(const Chain& chain, const RestorePlan& plan, const LayerRestoreOptions& options, FrameSupply& supply,
          TreeWriter& writer, Executor& executor, const OnRestored& on_restored)
      : chain_(chain), plan_(plan), options_(options), supply_(supply), writer_(writer), executor_(executor),
        on_restored_(on_restored) {}

  // How many names there are.
  Result<std::uint64_t> run(const std::optional<std::string>& path) {
    const auto merged = chain_.merged(path);
    const std::string above = path ? *path : std::string();
    for (;;) {
      if (options_.stop.stop_requested()) return cancelled();
      CAIRN_ASSIGN(std::optional<MergedEntry> entry, merged->next());
      if (!entry) break;
      if (options_.form == LayerForm::merged && entry->indexed.entry.kind == EntryKind::whiteout) continue;
      Entry made = entry->indexed.entry;
      if (path) shorten(made, above);
      CAIRN_TRY(write(std::move(*entry), made));
      ++entries_;
    }
    CAIRN_TRY(finish_all());
    CAIRN_TRY(writer_.finish());
    return entries_;
  }

 private:
  // A name that is there, and, of a file, the contents that are still being written.
  struct Unfinished {
    MergedEntry merged;
    std::optional<FileStrand> file;
    std::uint64_t held_bytes = 0;  // of the frames that it needs and none before it
    struct ::statx status{};       // of what is no file
  };

  // What was wanted becomes the target itself.
  static void shorten(Entry& entry, std::string_view above) {
    const auto cut = [&](std::string& path) { path.erase(0, std::min(above.size() + 1, path.size())); };
    cut(entry.path);
    if (entry.kind == EntryKind::hard_link) cut(entry.link_target);
  }

  Result<void> write(MergedEntry merged, const Entry& made) {
    if (made.kind == EntryKind::file) {
      return merged.layer < chain_.layers.size() ? write_file(std::move(merged), made) : copy(merged, made);
    }
    // What is told of a link is what its file is, once that is whole.
    if (made.kind == EntryKind::hard_link) CAIRN_TRY(finish_all());
    CAIRN_TRY(writer_.add(made));
    if (!is_told(merged)) return {};
    CAIRN_TRY(finish_for(0));
    unfinished_.push_back({std::move(merged), std::nullopt});
    return writer_.status(unfinished_.back().status);
  }

  Result<void> write_file(MergedEntry merged, const Entry& made) {
    const std::uint64_t held_bytes = held_bytes_of(merged);
    CAIRN_TRY(finish_for(held_bytes));
    CAIRN_ASSIGN(NewFile file, writer_.begin_file(made));
    held_bytes_ += held_bytes;
    unfinished_.push_back({std::move(merged), FileStrand(executor_, std::move(file)), held_bytes});
    return made.size_bytes > 0 ? write_contents(unfinished_.back()) : Result<void>();
  }

  std::uint64_t held_bytes_of(const MergedEntry& merged) const {
    if (merged.indexed.entry.size_bytes == 0) return 0;
    const LayerReader& layer = *chain_.layers[merged.layer];
    const FrameRange range = frames_of(layer, merged.indexed);
    std::uint64_t sum = 0;
    for (std::uint64_t frame = range.first; frame <= range.last; ++frame) {
      if (!supply_.is_current(merged.layer, frame)) sum += layer.frames()[frame].size_bytes;
    }
    return sum;
  }

  Result<void> write_contents(Unfinished& unfinished) {
    const IndexedEntry& indexed = unfinished.merged.indexed;
    const std::size_t number = unfinished.merged.layer;
    const LayerReader& layer = *chain_.layers[number];
    const FrameRange range = frames_of(layer, indexed);
    std::uint64_t at = indexed.data_offset, left = indexed.entry.size_bytes;
    for (std::uint64_t frame = range.first; frame <= range.last; ++frame) {
      if (options_.stop.stop_requested()) return cancelled();
      CAIRN_ASSIGN(SharedBytes bytes, supply_.frame(number, frame));
      const std::uint64_t skip = at - layer.frames()[frame].tar_offset;
      const ByteView piece = bytes->subspan(skip, std::min<std::uint64_t>(bytes->size() - skip, left));
      if (!unfinished.file->add(std::move(bytes), piece)) return finish_all();  // which says why
      at += piece.size();
      left -= piece.size();
      progress(piece.size());
    }
    return {};
  }

  // In their order, until there is room for one that holds so much.
  Result<void> finish_for(std::uint64_t held_bytes) {
    while (!unfinished_.empty() && (unfinished_.size() == kUnfinished || held_bytes_ + held_bytes > kHeldBytes))
      CAIRN_TRY(finish_oldest());
    return {};
  }

  Result<void> finish_all() {
    while (!unfinished_.empty()) CAIRN_TRY(finish_oldest());
    return {};
  }

  Result<void> finish_oldest() {
    Unfinished oldest = std::move(unfinished_.front());
    unfinished_.pop_front();
    held_bytes_ -= oldest.held_bytes;
    return oldest.file ? finish_file(oldest) : tell(oldest.merged, oldest.status);
  }

  Result<void> finish_file(Unfinished& unfinished) {
    const IndexedEntry& indexed = unfinished.merged.indexed;
    CAIRN_ASSIGN(const NewFile* file, unfinished.file->finish());
    if (indexed.entry.size_bytes > 0 && file->content_hash() != indexed.content_hash) {
      return Error(ErrorKind::corrupt, fmt::format("{} is damaged: the contents of '{}' are not those that were read",
                                                   chain_.layers[unfinished.merged.layer]->key(), indexed.entry.path));
    }
    CAIRN_TRY(writer_.end_file(*file));
    if (!is_told(unfinished.merged)) return {};
    struct ::statx status{};
    CAIRN_TRY(file->status(status));
    return tell(unfinished.merged, status);
  }

  // A file of a lower directory.
  Result<void> copy(const MergedEntry& merged, Entry made) {
    const LowerDirectory& lower = *chain_.lower[merged.layer - chain_.layers.size()];
    const std::string& path = merged.indexed.entry.path;
    CAIRN_ASSIGN(const FileDescriptor from, lower.open_file(path));
    CAIRN_ASSIGN(made.holes, holes_of(from.get(), made.size_bytes));
    CAIRN_ASSIGN(NewFile file, writer_.begin_file(made));
    Bytes piece(kCopyBytes);
    for (std::uint64_t at = 0; at < made.size_bytes;) {
      if (options_.stop.stop_requested()) return cancelled();
      const auto wanted = std::span(piece).first(std::min<std::uint64_t>(kCopyBytes, made.size_bytes - at));
      CAIRN_ASSIGN(const std::size_t got, read_some_at(from.get(), at, wanted, path));
      if (got == 0)
        return Error(ErrorKind::io, fmt::format("{}/{} became shorter while it was copied", lower.path(), path));
      CAIRN_TRY(file.write(ByteView(piece).first(got)));
      at += got;
    }
    return writer_.end_file(file);
  }

  bool is_told(const MergedEntry& entry) const { return on_restored_ && entry.layer < chain_.layers.size(); }

  Result<void> tell(const MergedEntry& entry, const struct ::statx& status) const {
    return on_restored_(entry, *chain_.layers[entry.layer], status);
  }

  void progress(std::uint64_t bytes) {
    done_bytes_ += bytes;
    if (!options_.progress || (done_bytes_ - told_bytes_ < kProgressBytes && done_bytes_ < plan_.size_bytes)) return;
    told_bytes_ = done_bytes_;
    options_.progress(done_bytes_, plan_.size_bytes);
  }

  static constexpr std::uint64_t kProgressBytes = 1u << 20;
  static constexpr std::uint64_t kCopyBytes = 1u << 20;
  // Each has a descriptor, and frames that are not given back before it is written. A file that holds more by itself
  // begins when all before it are done.
  static constexpr std::size_t kUnfinished = 64;
  static constexpr std::uint64_t kHeldBytes = 8u << 20;

  const Chain& chain_;
  const RestorePlan& plan_;
  const LayerRestoreOptions& options_;
  FrameSupply& supply_;
  TreeWriter& writer_;
  Executor& executor_;
  const OnRestored& on_restored_;
  std::deque<Unfinished> unfinished_;
  std::uint64_t held_bytes_ = 0;
  std::uint64_t done_bytes_ = 0, told_bytes_ = 0, entries_ = 0;
};

TreeForm form_of(const LayerRestoreOptions& options) {
  if (options.form == LayerForm::merged) return TreeForm::plain;
  return options.user_marks ? TreeForm::upper_user_marks : TreeForm::upper;
}

Result<std::uint64_t> write_tree(const Chain& chain, const RestorePlan& plan, const std::optional<std::string>& path,
                        const std::string& target, const LayerRestoreOptions& options, const RestoreMachine& machine,
                        const OnRestored& on_restored) {
  const Overwrite overwrite = options.overwrite ? Overwrite::yes : Overwrite::no;
  CAIRN_ASSIGN(const auto place, RestoreTarget::open(target, overwrite, machine.random));
  FrameSupply supply(chain.layers, plan, machine.decode, machine.transfers, options.stop);
  TreeWriter writer(place->directory(), RestoreTarget::kName, form_of(options));
  Writing writing(chain, plan, options, supply, writer, machine.decode, on_restored);
  CAIRN_ASSIGN(const std::uint64_t entries, writing.run(path));
  if (path && entries == 0) return Error(ErrorKind::not_found, fmt::format("there is no '{}'", *path));
  if (options.stop.stop_requested()) return cancelled();
  CAIRN_TRY(place->commit());
  return entries;
}

std::uint64_t object_bytes(const Chain& chain) {
  std::uint64_t sum = 0;
  for (const LayerReader* layer : chain.layers) sum += layer->object_size_bytes();
  return sum;
}

Result<void> write_layout(Store& store, const Chain& chain, const std::string& target,
                          const LayerRestoreOptions& options, const RestoreMachine& machine) {
  const Overwrite overwrite = options.overwrite ? Overwrite::yes : Overwrite::no;
  CAIRN_ASSIGN(const auto place, RestoreTarget::open(target, overwrite, machine.random));
  const auto progress = [&](std::uint64_t done_bytes) {
    if (options.progress) options.progress(done_bytes, object_bytes(chain));
  };
  CAIRN_TRY(write_oci_layout(store, chain.syncs, chain.layers, place->directory(), RestoreTarget::kName,
                             options.compression.value_or(LayerCompression::gzip), machine.transfers, options.stop,
                             progress));
  return place->commit();
}

// The store that is read, if it is a directory, and what else must not be lost.
Result<void> check_overwrite(const Store& store, const std::string& target, const RestoreMachine& machine) {
  std::vector<std::string> kept = machine.kept;
  if (auto folder = path_of_file_url(store.url())) kept.push_back(std::move(*folder));
  for (const std::string& place : kept) CAIRN_TRY(check_apart(target, place));
  return {};
}

// In the form that is wanted.
Result<void> write(Store& store, const Chain& chain, const RestorePlan& plan, const std::optional<std::string>& path,
                   const std::string& target, const LayerRestoreOptions& options, const RestoreMachine& machine,
                   const OnRestored& on_restored, LayerRestoreResult& result) {
  if (options.form == LayerForm::oci_layout) return write_layout(store, chain, target, options, machine);
  CAIRN_ASSIGN(result.entries, write_tree(chain, plan, path, target, options, machine, on_restored));
  return {};
}

}  // namespace

Result<RestoredSync> restore_layer(Store& store, std::string_view name, const std::string& target,
                                   const LayerRestoreOptions& options, const RestoreMachine& machine,
                                   const OnRestored& on_restored) {
  CAIRN_TRY(check_options(options));
  CAIRN_ASSIGN(const std::optional<std::string> path, wanted_path(options));
  CountingStore counting(store);
  RestoredSync restored;
  CAIRN_ASSIGN(const Chain chain, choose_chain(counting, name, options, machine, restored));
  LayerRestoreResult& result = restored.result;
  CAIRN_ASSIGN(const RestorePlan plan, plan_restore(chain.layers, path, options.stop));
  if (plan.entries == 0 && path && chain.lower.empty()) {
    return Error(ErrorKind::not_found, fmt::format("sync {} of '{}' has no '{}'", restored.sync.sequence, name, *path));
  }
  result.entries = plan.entries;
  result.size_bytes = plan.size_bytes;
  if (!options.dry_run) {
    if (options.overwrite) CAIRN_TRY(check_overwrite(store, target, machine));
    const std::uint64_t needed = options.form == LayerForm::oci_layout ? object_bytes(chain) : plan.disk_bytes;
    CAIRN_ASSIGN(const std::uint64_t free, free_bytes_for(target));
    CAIRN_TRY(check_room(target, needed, free));
    const auto written = write(counting, chain, plan, path, target, options, machine, on_restored, result);
    if (!written && written.error().kind() != ErrorKind::not_found) return written.error();
    if (!written) return vanished_meanwhile(counting, restored.stored, restored.sync, written.error());
  }
  const OperationCount counts = counting.counts().total();
  result.requests = counts.calls + (options.dry_run ? plan.runs.size() : 0);
  result.fetched_bytes = counts.received_bytes + (options.dry_run ? plan.fetch_bytes : 0);
  return restored;
}

}  // namespace cairn::layer
