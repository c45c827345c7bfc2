// A layer may lie in the store already, put there by another container or by ourselves before a crash: objects are
// named by what they hold, so it is used as it is, once its end has been looked at. What a prune has to know of that is
// in prune.h.
#include "layer/publisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "layer/history.h"
#include "layer/object.h"
#include "layer/prune.h"
#include "layer/refill.h"

namespace cairn::layer {
namespace {

constexpr std::uint64_t kCopyBytes = 1ull << 30;  // of one part of a copy on the server
// From a layer, or the want of it, to the manifest: after more than that it is worth asking what has become of it.
constexpr std::int64_t kSoon_ms = 60'000;
constexpr int kCasAttempts = 4;                   // against others who change the manifest at the same moment

Error gone(const std::string& what) { return Error(ErrorKind::not_found, what + ": the sync begins anew"); }

}  // namespace

Result<SyncRecord> Publisher::run() {
  auto record = publish_from_here();
  // The sync ends here, for now or for good: nobody is to wait for it.
  if (!record && !n_.hook.has_fired()) withdraw();
  return record;
}

Result<SyncRecord> Publisher::publish_from_here() {
  const bool resumed = n_.pending.stage >= Stage::completed;
  if (n_.pending.stage == Stage::archived) {
    if (n_.parts.is_one_put()) CAIRN_TRY(put_whole());
    else CAIRN_TRY(complete());
  }
  if (n_.pending.stage == Stage::completed) CAIRN_TRY(name_by_copy());
  if (resumed) {
    CAIRN_TRY(look_again());
    n_.pending.stage = Stage::named;  // its meta may have gone, too
  }
  if (n_.pending.stage == Stage::named) CAIRN_TRY(describe());
  CAIRN_ASSIGN(SyncRecord record, publish());
  CAIRN_TRY(look_back(record));
  CAIRN_TRY(tidy());
  return record;
}

Result<void> Publisher::reach(Stage stage, std::string_view point) {
  n_.pending.stage = stage;
  CAIRN_TRY(n_.state.begin());
  CAIRN_TRY(n_.state.put_pending(n_.container.id, n_.pending));
  CAIRN_TRY(n_.state.commit());
  return pass(n_.hook, point);
}

Result<void> Publisher::want() {
  if (!want_key_.empty()) return {};
  const std::string key = want_key_of(n_.pending.digest, n_.pending.temporary_key, n_.random);
  CAIRN_TRY(n_.state.add_leftover(key));  // for when this process is killed
  CAIRN_TRY(want_layer(n_.store, key));
  want_key_ = key;
  return pass(n_.hook, "wanted");
}

void Publisher::withdraw() {
  if (!want_key_.empty() && withdraw_want(n_.store, want_key_)) (void)n_.state.drop_leftover(want_key_);
}

Result<void> Publisher::named(const std::string& key) {
  n_.pending.object_key = key;
  return reach(Stage::named, "named");
}

// False: it is not there, or not usable.
Result<bool> Publisher::use_existing(const std::string& key) {
  const auto reader = LayerReader::open(n_.store, key);
  if (!reader) {
    const ErrorKind kind = reader.error().kind();
    if (kind == ErrorKind::not_found || kind == ErrorKind::corrupt || kind == ErrorKind::unsupported) return false;
    return reader.error();
  }
  if ((*reader)->digest() != n_.pending.digest || (*reader)->tar_size_bytes() != n_.pending.size_bytes) return false;
  CAIRN_TRY(forget_other_blocks(**reader));
  n_.pending.compressed_bytes = (*reader)->object_size_bytes();
  return true;
}

// Equal tars may have been compressed differently. Then the blocks are not where the plan says.
Result<void> Publisher::forget_other_blocks(const LayerReader& reader) {
  CAIRN_ASSIGN(auto rows, n_.plan.rows());
  for (;;) {
    CAIRN_ASSIGN(const auto row, rows->next());
    if (!row) return {};
    if (row->size_bytes < kBigFileBytes) continue;
    CAIRN_ASSIGN(const auto blocks, n_.plan.recorded_blocks(*row));
    if (!lie_in(blocks, reader.frames())) CAIRN_TRY(n_.plan.record_blocks(*row, 0, {}));
  }
}

// A small layer: its only part is its object.
Result<void> Publisher::put_whole() {
  const JournaledPart& part = n_.parts.parts().begin()->second;
  const std::string key = layer_key(n_.pending.digest);
  CAIRN_ASSIGN(const auto source, n_.spool.find(part));
  if (!source) return gone("the layer in the spool is damaged");
  CAIRN_TRY(pass(n_.hook, "layer-put-begins"));
  auto put = n_.store.put_new(key, *source);
  if (put) {
    sent_bytes_ += part.size_bytes;
    CAIRN_TRY(pass(n_.hook, "layer-put"));
    return named(key);
  }
  const ErrorKind kind = put.error().kind();
  if (kind != ErrorKind::conflict && kind != ErrorKind::maybe_done) return put.error().with("store a layer");
  CAIRN_TRY(want());
  CAIRN_ASSIGN(const bool usable, use_existing(key));
  if (usable) return named(key);
  if (kind == ErrorKind::maybe_done) return put.error().with("store a layer");
  // What is there under our name is damaged, and objects are never replaced: ours gets another name.
  put = n_.store.put_new(n_.pending.temporary_key, *source);
  if (!put && put.error().kind() == ErrorKind::conflict) {
    CAIRN_ASSIGN(const bool ours, use_existing(n_.pending.temporary_key));
    if (!ours) return put.error().with("store a layer");
  } else if (!put) {
    return put.error().with("store a layer");
  }
  return named(n_.pending.temporary_key);
}

Result<void> Publisher::complete() {
  if (n_.parts.has_too_many() && !n_.store.capabilities().leaves_out_parts) {
    n_.parts.lose_upload();
    return gone("the store has more parts of the layer than it needs");
  }
  CAIRN_TRY(want());
  const std::string key = layer_key(n_.pending.digest);
  if (!n_.store.capabilities().late_names) {
    CAIRN_TRY(complete_upload(n_.pending.temporary_key));
    return reach(Stage::completed, "completed");
  }
  auto completed = complete_upload(key);
  if (completed) return named(key);
  if (completed.error().kind() != ErrorKind::conflict) return completed;
  // As above: what lies there is no layer.
  CAIRN_TRY(complete_upload(n_.pending.temporary_key));
  return named(n_.pending.temporary_key);
}

// conflict: something else lies there.
Result<void> Publisher::complete_upload(const std::string& key) {
  CAIRN_TRY(pass(n_.hook, "completing"));
  const auto completed = n_.store.complete_new(key, n_.pending.upload_id, n_.parts.infos());
  CAIRN_TRY(pass(n_.hook, "upload-completed"));
  if (completed) return {};
  const Error error = completed.error().with("complete the upload of a layer");
  switch (error.kind()) {
    case ErrorKind::conflict:
    case ErrorKind::not_found:
    case ErrorKind::maybe_done: {
      CAIRN_ASSIGN(const bool there, use_existing(key));
      if (!there && error.kind() == ErrorKind::not_found) n_.parts.lose_upload();
      if (!there) return error;
      return n_.store.abort_upload(n_.pending.temporary_key, n_.pending.upload_id);
    }
    case ErrorKind::invalid: return n_.parts.has_copies() ? error.as(ErrorKind::unsupported) : error;
    default: return error;
  }
}

// The object lies under its temporary name.
Result<void> Publisher::name_by_copy() {
  CAIRN_TRY(want());
  const std::string key = layer_key(n_.pending.digest);
  CAIRN_ASSIGN(const bool there, use_existing(key));
  if (there) return named(key);
  if (!n_.store.capabilities().copy_part) return named(n_.pending.temporary_key);

  const std::string& from = n_.pending.temporary_key;
  if (!n_.pending.copy_id.empty()) CAIRN_TRY(n_.store.abort_upload(key, n_.pending.copy_id));  // of an earlier try
  CAIRN_ASSIGN(const std::string id, n_.store.begin_upload(key));
  // Killed here it is left to a prune: an upload of that name may as well be another machine's, with the same layer.
  CAIRN_TRY(pass(n_.hook, "copy-not-journaled"));
  n_.pending.copy_id = id;
  CAIRN_TRY(reach(Stage::completed, "copy-begun"));
  std::vector<PartInfo> parts;
  const std::uint64_t size = n_.pending.compressed_bytes;
  const auto copied = [&]() -> Result<std::string> {
    for (std::uint64_t offset = 0; offset < size; offset += kCopyBytes) {
      const int number = static_cast<int>(parts.size()) + 1;
      const std::uint64_t length = std::min(kCopyBytes, size - offset);
      CAIRN_ASSIGN(PartInfo part, n_.store.copy_part(key, id, number, from, offset, length));
      parts.push_back(std::move(part));
    }
    return n_.store.complete_new(key, id, parts);
  }();
  CAIRN_TRY(pass(n_.hook, "copied"));
  if (copied) return named(key);
  (void)n_.store.abort_upload(key, id);
  switch (copied.error().kind()) {
    case ErrorKind::conflict:
    case ErrorKind::maybe_done: {
      CAIRN_ASSIGN(const bool usable, use_existing(key));
      if (usable) return named(key);
      if (copied.error().kind() == ErrorKind::maybe_done) return copied.error().with("name a layer");
      return named(from);
    }
    case ErrorKind::unsupported:
    case ErrorKind::invalid: return named(from);
    default: return copied.error().with("name a layer");
  }
}

// The object was made before an interruption, maybe long ago: it may have been taken for garbage meanwhile.
Result<void> Publisher::look_again() {
  CAIRN_TRY(want());
  const auto there = n_.store.head(n_.pending.object_key);
  if (there) return {};
  if (there.error().kind() != ErrorKind::not_found) return there.error();
  CAIRN_TRY(take_back());
  return gone("a layer that was sent before is not there any more");
}

// What keeps a prune from taking a layer before its manifest is there is that it is young, or that the want of it is.
// By the store's clock; and when that was put right meanwhile, by more than a prune's grace, both looked old. It was so
// only if much time seems to have passed. Then a new want comes first: it finds out whether a prune is still at work.
Result<void> Publisher::look_back(const SyncRecord& record) {
  const auto modified_ms = [&](const std::string& key) -> Result<std::optional<std::int64_t>> {
    const auto there = n_.store.head(key);
    if (there) return std::optional(there->modified_ms);
    if (there.error().kind() != ErrorKind::not_found) return there.error();
    return std::optional<std::int64_t>();
  };
  CAIRN_ASSIGN(const auto begun_ms, modified_ms(want_key_.empty() ? record.layer.object : want_key_));
  CAIRN_ASSIGN(const auto published_ms, modified_ms(manifest_key(n_.container.name)));
  if (begun_ms && published_ms && *published_ms - *begun_ms < kSoon_ms) return {};
  withdraw();
  want_key_.clear();
  CAIRN_TRY(look_again());
  return describe();
}

// The manifest may name the layer already, which is not there. Nobody can have gone on from it.
Result<void> Publisher::take_back() {
  auto stored = read_manifest(n_.store, n_.container.name);
  if (!stored && stored.error().kind() == ErrorKind::not_found) return {};
  if (!stored) return stored.error();
  Manifest& manifest = stored->manifest;
  const SyncRecord& head = manifest.head();
  const bool is_ours = manifest.lineage == n_.pending.lineage && manifest.writer == n_.state.writer() &&
                       head.sequence == n_.pending.sequence && head.layer.object == n_.pending.object_key;
  if (!is_ours) return {};
  CAIRN_TRY(drop_newest(n_.store, manifest));
  if (manifest.syncs.empty()) return n_.store.remove(manifest_key(n_.container.name));
  CAIRN_TRY(publish_manifest(n_.store, manifest, stored->etag));
  return {};
}

Result<void> Publisher::describe() {
  const LayerMeta meta{.digest = n_.pending.digest,
                       .size_bytes = n_.pending.size_bytes,
                       .compressed_size_bytes = n_.pending.compressed_bytes,
                       .created_at_ms = n_.pending.created_ms,
                       .file_count = n_.pending.entries,
                       .object = n_.pending.object_key};
  const Bytes bytes = write_meta(meta);
  const std::string key = meta_key(n_.pending.digest);
  auto put = n_.store.put_new(key, BytesSource(bytes));
  CAIRN_TRY(pass(n_.hook, "meta-put"));
  if (!put && put.error().kind() == ErrorKind::conflict && want_key_.empty()) {
    // One that was left alone, and that a prune may be about to remove.
    CAIRN_TRY(want());
    put = n_.store.put_new(key, BytesSource(bytes));
  }
  // There already: of the same bytes, whoever put them there.
  if (!put && put.error().kind() == ErrorKind::maybe_done) {
    if (!n_.store.head(key)) return put.error().with("describe a layer");
  } else if (!put && put.error().kind() != ErrorKind::conflict) {
    return put.error().with("describe a layer");
  }
  return reach(Stage::described, "described");
}

// The reply to an earlier attempt was lost. Somebody may have gone on from there since: then it is known to be ours by
// the random name that the layer has kept. (Under a name of its digest it may as well be theirs, and stays.)
Result<std::optional<SyncRecord>> Publisher::published_before(const StoredManifest& stored) {
  const Manifest* manifest = &stored.manifest;
  StoredHistory history;
  if (n_.pending.sequence < manifest->syncs.front().sequence && !manifest->older.empty()) {
    CAIRN_ASSIGN(history, read_history(n_.store, n_.container.name));
    manifest = &history.whole;
  }
  const auto ours = std::ranges::find(manifest->syncs, n_.pending.sequence, &SyncRecord::sequence);
  if (ours == manifest->syncs.end() || ours->layer.digest != n_.pending.digest) return std::optional<SyncRecord>();
  const bool is_newest = ours->sequence == stored.manifest.head().sequence;
  const bool is_ours = ours->layer.object == n_.pending.temporary_key ||
                       (is_newest && stored.manifest.writer == n_.state.writer());
  if (!is_ours) return std::optional<SyncRecord>();
  n_.pending.object_key = ours->layer.object;
  return std::optional(*ours);
}

Result<SyncRecord> Publisher::publish() {
  const PendingSync& p = n_.pending;
  const SyncRecord record{.sequence = p.sequence,
                          .time_ms = p.time_ms,
                          .kind = p.kind,
                          .layer = {.digest = p.digest,
                                    .size_bytes = p.size_bytes,
                                    .compressed_size_bytes = p.compressed_bytes,
                                    .created_at_ms = p.created_ms,
                                    .file_count = p.entries,
                                    .object = p.object_key},
                          .torn_files = p.torn_files,
                          .skipped_sockets = p.skipped_sockets};
  for (int attempt = 1;; ++attempt) {
    auto stored = read_manifest(n_.store, n_.container.name);
    if (!stored && stored.error().kind() != ErrorKind::not_found) return stored.error();
    if (!stored) stored = StoredManifest();
    Manifest& manifest = stored->manifest;
    if (stored->etag.empty()) {
      manifest.name = n_.container.name;
      manifest.lineage = p.lineage;
    }
    const std::uint64_t newest = manifest.syncs.empty() ? 0 : manifest.head().sequence;
    const bool same_history = manifest.lineage == p.lineage;
    if (same_history && newest >= p.sequence) {
      CAIRN_ASSIGN(const auto before, published_before(*stored));
      if (before) return *before;
    }
    if (!same_history || newest + 1 != p.sequence) {
      return Error(ErrorKind::conflict,
                   fmt::format("{}: another machine has published sync {} of this container while this one was at "
                               "work, and nothing of this one's. If the directory here is the right one, sync again "
                               "with --adopt local; else stop syncing it",
                               n_.container.name, newest));
    }
    manifest.writer = n_.state.writer();
    manifest.syncs.push_back(record);
    CAIRN_TRY(move_history_out(n_.store, n_.random, manifest, n_.manifest_syncs));
    CAIRN_TRY(pass(n_.hook, "publishing"));
    const auto published = publish_manifest(n_.store, manifest, stored->etag);
    CAIRN_TRY(pass(n_.hook, "published"));
    if (published) return record;
    if (published.error().kind() != ErrorKind::conflict || attempt == kCasAttempts) return published.error();
  }
}

Result<void> Publisher::tidy() {
  const PendingSync p = n_.pending;
  KnownHead head = n_.container.head.value_or(KnownHead());
  head.lineage = p.lineage;
  head.sequence = p.sequence;
  head.digest = p.digest;
  head.time_ms = p.time_ms;
  if (p.kind == SyncKind::full) {
    head.full_bytes = p.compressed_bytes;
    head.increment_bytes = head.increments = 0;
  } else {
    head.increment_bytes += p.compressed_bytes;
    ++head.increments;
  }
  n_.container.head = head;
  CAIRN_TRY(n_.state.begin());
  CAIRN_TRY(n_.plan.take_over_within(p.object_key));
  CAIRN_TRY(n_.state.put(n_.container));
  CAIRN_TRY(n_.state.drop_pending(n_.container.id));
  if (p.object_key != p.temporary_key) CAIRN_TRY(n_.state.add_leftover(p.temporary_key));
  CAIRN_TRY(n_.state.commit());
  CAIRN_TRY(pass(n_.hook, "taken-over"));
  // What is left is garbage: when it stays, it is found as such by the next sync, or by a prune.
  (void)n_.spool.clear();
  withdraw();
  if (p.object_key != p.temporary_key) {
    // Without an upload there can be nothing under the temporary name.
    if (p.upload_id.empty() || n_.store.remove(p.temporary_key)) (void)n_.state.drop_leftover(p.temporary_key);
  }
  return pass(n_.hook, "tidied");
}

}  // namespace cairn::layer
