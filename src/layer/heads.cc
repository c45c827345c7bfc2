#include "layer/heads.h"

#include <fmt/format.h>

#include "layer/refill.h"

namespace cairn::layer {
namespace {

constexpr std::uint64_t kMostIncrements = 64;

void say(const std::function<void(std::string_view)>& on_notice, const std::string& text) {
  if (on_notice) on_notice(text);
}

Result<void> forget(State& state, Catalogue& catalogue, Container& container) {
  container.head.reset();
  CAIRN_TRY(state.begin());
  CAIRN_TRY(catalogue.clear());
  CAIRN_TRY(state.put(container));
  return state.commit();
}

}  // namespace

KnownHead head_of(const Manifest& manifest) {
  const SyncRecord& newest = manifest.head();
  KnownHead head{.lineage = manifest.lineage,
                 .sequence = newest.sequence,
                 .digest = newest.layer.digest,
                 .time_ms = newest.time_ms};
  for (const SyncRecord& sync : manifest.syncs) {
    if (sync.kind == SyncKind::full) {
      head.full_bytes = sync.layer.compressed_size_bytes;
      head.increment_bytes = head.increments = 0;
    } else {
      head.increment_bytes += sync.layer.compressed_size_bytes;
      ++head.increments;
    }
  }
  return head;
}

bool is_full_due(const KnownHead& head) {
  return head.increments > kMostIncrements || head.increment_bytes > head.full_bytes;
}

Error not_ours(std::string_view name, std::uint64_t sequence) {
  return Error(ErrorKind::conflict,
               fmt::format("{}: the store has sync {} of this container, published from elsewhere, and this "
                           "directory is not what that holds. If the directory here is the right one, sync again with "
                           "--adopt local: the difference is published, and the other machine is refused from then "
                           "on. If the store's is, restore it to a new directory and sync that",
                           name, sequence));
}

// Mostly a mount that is missing: a second history beside the first would be found only when a restore is needed.
Error history_is_gone(const Container& container, const std::string& url) {
  return Error(ErrorKind::conflict,
               fmt::format("{}: {} has nothing of this container, although sync {} was published there from here. If a "
                           "mount is missing or the URL is another one, mend that. If the history is really gone and "
                           "is to begin anew, sync again with --adopt local",
                           container.name, url, container.head->sequence));
}

Error is_another_directory(const Container& container) {
  return Error(ErrorKind::conflict,
               fmt::format("{}: {} is empty, and is not the directory that sync {} was made of. If a mount is missing, "
                           "mend that: nothing was published. If it is right that all is gone, sync again with --adopt "
                           "local",
                           container.name, container.directory, container.head->sequence));
}

Result<Standing> stand(Store& store, State& state, Container& container, LayerAdopt adopt, Random& random,
                       const std::function<void(std::string_view)>& on_notice) {
  Catalogue catalogue(state.database(), container.id);
  const auto stored = read_manifest(store, container.name);
  if (!stored && stored.error().kind() != ErrorKind::not_found) return stored.error();
  CAIRN_ASSIGN(const bool is_empty, catalogue.is_empty());
  if (!stored) {
    if (container.head && adopt != LayerAdopt::local) return history_is_gone(container, store.url());
    if (container.head) {
      say(on_notice, fmt::format("{}: the store has nothing of this container any more: a new history begins with a "
                                 "full layer", container.name));
    }
    if (container.head || !is_empty) CAIRN_TRY(forget(state, catalogue, container));
    return Standing::begins;
  }
  const Manifest& manifest = stored->manifest;
  const KnownHead head = head_of(manifest);
  const bool is_at_head = container.head && container.head->lineage == head.lineage &&
                          container.head->sequence == head.sequence && container.head->digest == head.digest;
  // What this state publishes it knows (state.db is synced): so a copy of it has published, or this is the copy. From
  // now on they are two, and one of them is refused.
  if (container.head && !is_at_head && manifest.writer == state.writer()) CAIRN_TRY(state.become_another(random));
  const bool is_ours = manifest.writer == state.writer();
  const bool fits = is_at_head && !is_empty;
  if (!fits) {
    if (container.head && !is_ours) {
      say(on_notice, fmt::format("{}: the store's newest sync is {}, and not the one that this directory was synced "
                                 "to last ({}): every file is compared with it", container.name, head.sequence,
                                 container.head->sequence));
    } else {
      say(on_notice, fmt::format("{}: the catalogue is read anew from sync {} in the store, and every file is compared "
                                 "with it", container.name, head.sequence));
    }
    // Without a head the catalogue counts for nothing: not before it is proven that this directory goes on from there.
    container.head.reset();
    CAIRN_TRY(state.begin());
    CAIRN_TRY(state.put(container));
    CAIRN_TRY(refill_catalogue(store, manifest, catalogue));
    CAIRN_TRY(state.commit());
  }
  container.head = head;
  if (fits) return Standing::goes_on;
  return is_ours ? Standing::refilled : Standing::unproven;
}

}  // namespace cairn::layer
