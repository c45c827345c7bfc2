#include "layer/sync_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/files.h"
#include "layer/archiver.h"
#include "layer/heads.h"
#include "layer/history.h"
#include "layer/layers.h"
#include "layer/look.h"
#include "layer/prune.h"
#include "layer/publisher.h"
#include "layer/stored.h"
#include "store/part_size.h"

namespace cairn::layer {
namespace {

constexpr int kMostRounds = 4;  // what was interrupted, and then what has changed since; begun anew now and then
constexpr std::uint64_t kMiB = 1u << 20;

std::uint64_t with_headers(const PlanHead& head) { return head.total_bytes + head.rows * 4096; }
std::uint64_t grown(std::uint64_t total_bytes) { return total_bytes + total_bytes / 8; }

}  // namespace

SyncRun::SyncRun(Needs needs, Container container)
    : n_(std::move(needs)),
      container_(std::move(container)),
      catalogue_(n_.state.database(), container_.id),
      spool_(n_.files, join_path(n_.options.staging_directory, std::to_string(container_.id))) {}

void SyncRun::notice(const std::string& text) const {
  if (n_.sync.on_notice) n_.sync.on_notice(text);
}

Result<void> SyncRun::open_tree() {
  if (tree_) return {};
  const TreeOptions options{.lower = n_.sync.lower,
                            .marks = n_.sync.marks,
                            .databases = n_.sync.databases,
                            .hidden_attributes = n_.sync.hidden_attributes};
  CAIRN_ASSIGN(auto tree, Tree::open(container_.directory, options, n_.clock));
  tree_ = std::move(tree);
  return {};
}

Result<ScanResult> SyncRun::look_for_changes(ScanGoal goal) {
  CAIRN_TRY(open_tree());
  CAIRN_TRY(catalogue_.doubt_other_boots());
  CAIRN_TRY(tree_->layers().sees_trusted() ? catalogue_.look_for_hidden() : catalogue_.note_hidden());
  return scan(*tree_, catalogue_, n_.clock,
              {.goal = goal, .on_notice = n_.sync.on_notice, .stop = n_.sync.stop, .ahead = &n_.executor});
}

Result<bool> SyncRun::look() {
  CAIRN_ASSIGN(const auto pending, n_.state.pending(container_.id));
  if (pending) return true;
  CAIRN_TRY(open_tree());  // a sync that would be refused publishes nothing
  if (!container_.head || container_.store_url != n_.store.url()) return true;
  CAIRN_ASSIGN(const ScanResult result, look_for_changes(ScanGoal::look));
  return result.changed;
}

Result<std::optional<LayerSnapshot>> SyncRun::run() {
  if (container_.store_url != n_.store.url()) {  // what is known is about another store
    container_.store_url = n_.store.url();
    container_.head.reset();
    CAIRN_TRY(n_.state.begin());
    CAIRN_TRY(catalogue_.clear());
    CAIRN_TRY(n_.state.drop_pending(container_.id));
    CAIRN_TRY(n_.state.put(container_));
    CAIRN_TRY(n_.state.commit());
  }
  (void)remove_leftovers();  // what stays is tried again next time
  auto outcome = Outcome::published;
  for (int round = 0; round < kMostRounds; ++round) {
    CAIRN_ASSIGN(pending_, n_.state.pending(container_.id));
    const bool is_left = pending_.has_value();
    if (!pending_) {
      (void)spool_.clear();  // of one that was killed at its very end
      CAIRN_ASSIGN(const bool changed, plan());
      if (!changed) {
        outcome = Outcome::published;
        break;
      }
    }
    CAIRN_ASSIGN(outcome, finish_pending());
    if (outcome == Outcome::published && !is_left) break;
  }
  if (outcome == Outcome::again) {
    return Error(ErrorKind::retry_later, container_.name + ": the store loses what is sent to it");
  }
  if (published_) published_->sent_bytes = sent_bytes_;
  return published_;
}

// An empty directory where another one was before: to publish that would be to remove everything.
Result<void> SyncRun::refuse_missing_mount() {
  if (n_.sync.adopt == LayerAdopt::local) return {};
  CAIRN_TRY(open_tree());
  CAIRN_ASSIGN(const auto known, catalogue_.find(""));
  const int root = tree_->layers().upper().fd();
  CAIRN_ASSIGN(const auto status, status_at(root, ""));
  if (!known || known->proof == Proof::none || !status || status->stx_ino == known->stamp.inode) return {};
  CAIRN_ASSIGN(const auto names, names_in(root));
  CAIRN_ASSIGN(const bool had_names, catalogue_.has_names());
  return names.empty() && had_names ? is_another_directory(container_) : Result<void>();
}

// False: nothing has changed. Else the plan is there, and its journal is begun.
Result<bool> SyncRun::plan() {
  CAIRN_ASSIGN(const bool is_empty, catalogue_.is_empty());
  const bool is_known = container_.head && !is_empty;
  ScanResult scanned;
  if (is_known) {
    CAIRN_TRY(refuse_missing_mount());
    CAIRN_ASSIGN(scanned, look_for_changes(ScanGoal::increment));
    if (!scanned.changed) return false;
  }
  CAIRN_ASSIGN(const Standing standing,
               stand(n_.store, n_.state, container_, n_.sync.adopt, n_.random, n_.sync.on_notice));
  const bool is_stale = !is_known || standing != Standing::goes_on;
  if (is_stale && standing != Standing::begins) {
    CAIRN_ASSIGN(scanned, look_for_changes(ScanGoal::increment));
    if (scanned.changed && standing == Standing::unproven && n_.sync.adopt != LayerAdopt::local) {
      return not_ours(container_.name, container_.head->sequence);
    }
    CAIRN_TRY(n_.state.put(container_));  // proven, or adopted
    if (!scanned.changed) return false;
  }
  const bool begins = standing == Standing::begins;
  const bool is_due = !begins && is_full_due(*container_.head);
  const bool is_hidden = scanned.hides_known;
  if (begins || (is_due && !is_hidden)) {
    CAIRN_ASSIGN(scanned, look_for_changes(ScanGoal::full));
  }
  if (is_due && scanned.hides_known) {
    notice(container_.name + ": a full layer is due: it is put off while something is mounted over what the store has");
    if (!is_hidden) {  // it was mounted between the two scans
      CAIRN_ASSIGN(scanned, look_for_changes(ScanGoal::increment));
    }
    if (!scanned.changed) return false;
  }
  CAIRN_TRY(begin(scanned));
  return true;
}

// How many parts of an upload the store takes. It is asked where that may matter, since some take fewer than they say:
// of a large layer, or one that copies may cut into small parts.
Result<int> SyncRun::most_parts_for(std::uint64_t total_bytes) {
  const StoreCapabilities can = n_.store.capabilities();
  const bool copies = container_.may_copy && can.copy_part;
  const std::uint64_t wanted = std::max({n_.options.part_size_bytes, can.min_part_bytes, std::uint64_t{1}});
  const std::uint64_t smallest = copies ? std::min(wanted, std::max(can.min_part_bytes, kMiB)) : wanted;
  if (!can.multipart || grown(total_bytes) / smallest < kPartsThatAllTake / 2) return can.max_parts;
  if (most_parts_ > 0) return most_parts_;
  const std::string key = temporary_layer_key(n_.random.id().hex());
  CAIRN_TRY(n_.state.add_leftover(key));  // for when this process is killed
  CAIRN_ASSIGN(most_parts_, most_parts(n_.store, key));
  CAIRN_TRY(n_.state.drop_leftover(key));
  return most_parts_;
}

// Never more parts than the store takes, even if nothing compresses, and half of them for copies.
std::uint64_t SyncRun::part_bytes_for(std::uint64_t total_bytes, int most_parts) const {
  const StoreCapabilities can = n_.store.capabilities();
  if (!can.multipart) return can.max_put_bytes;
  const std::uint64_t needed = grown(total_bytes) / (static_cast<std::uint64_t>(std::max(2, most_parts)) / 2) + 1;
  const std::uint64_t wanted = std::min<std::uint64_t>(n_.options.part_size_bytes, can.max_put_bytes);
  // A part in front of a copied one ends with a frame, and is not smaller than the smallest: there has to be room for
  // that between the two sizes.
  const bool copies = container_.may_copy && can.copy_part && can.min_part_bytes > 0;
  const std::uint64_t smallest = can.min_part_bytes + (copies ? 4 * kMiB : 0);
  const std::uint64_t least = std::max({smallest, wanted, std::uint64_t{1}});
  return needed <= least ? least : (needed + kMiB - 1) / kMiB * kMiB;
}

Result<void> SyncRun::begin(const ScanResult& scanned) {
  CAIRN_ASSIGN(const auto plan, Plan::load(catalogue_));
  const PlanHead& head = plan->head();
  const Id128 lineage = container_.head ? container_.head->lineage : n_.random.id();
  const std::uint64_t total_bytes = with_headers(head);
  CAIRN_ASSIGN(const int most_parts, most_parts_for(total_bytes));
  pending_ = PendingSync{
      .lineage = lineage,
      .sequence = container_.head ? container_.head->sequence + 1 : 1,
      .kind = head.kind,
      .time_ms = head.scan_began_ms,
      .temporary_key = temporary_layer_key(n_.random.id().hex()),
      .upload_id = {},
      .part_bytes = part_bytes_for(total_bytes, most_parts),
      .may_copy = container_.may_copy,
      .skipped_sockets = scanned.skipped_sockets,
      .digest = {},
      .object_key = {},
      .created_ms = n_.clock.now().wall_ms,
      .copy_id = {}};
  if (scanned.skipped_sockets > 0)
    notice(fmt::format("{}: sockets are left out, a layer cannot have them: {}", container_.name,
                       scanned.skipped_sockets));
  CAIRN_TRY(n_.state.begin());
  CAIRN_TRY(n_.state.put_pending(container_.id, *pending_));
  CAIRN_TRY(n_.state.put(container_));
  CAIRN_TRY(n_.state.commit());
  CAIRN_TRY(spool_.clear());
  return pass(n_.hook, "planned");
}

Result<SyncRun::Outcome> SyncRun::finish_pending() {
  CAIRN_ASSIGN(const auto plan, Plan::load(catalogue_));
  PartJournal parts({.store = n_.store,
                     .state = n_.state,
                     .spool = spool_,
                     .transfers = n_.transfers,
                     .container = container_.id,
                     .spool_limit_bytes = is_disk_full_ ? 0 : n_.options.spool_limit_bytes,
                     .pending = *pending_,
                     .hook = n_.hook,
                     .stop = n_.sync.stop});
  const auto record = plan ? archive_and_publish(parts, *plan)
                           : Result<SyncRecord>(Error(ErrorKind::not_found, "the plan of an interrupted sync is gone"));
  sent_bytes_ += parts.sent_bytes();
  if (record) {
    published_ = snapshot_of(*record);
    pending_.reset();
    return Outcome::published;
  }
  n_.state.roll_back();
  return recover(parts, record.error());
}

// From an error that ended a round: another one may do better.
Result<SyncRun::Outcome> SyncRun::recover(PartJournal& parts, const Error& error) {
  if (n_.hook.has_fired() || error.kind() == ErrorKind::cancelled) return error;
  if (make_room(parts, error)) return Outcome::again;
  const bool may_be_copies = error.kind() == ErrorKind::unsupported && parts.has_copies() && !is_tree_refused_;
  if (parts.copies_are_refused() || may_be_copies) {
    notice(container_.name + ": the store does not take the copies of a layer's ranges: all of it is sent");
    container_.may_copy = false;
    CAIRN_TRY(n_.state.put(container_));
  } else if (error.kind() == ErrorKind::conflict) {
    CAIRN_TRY(drop_pending());
    return error;
  } else if (parts.upload_is_gone()) {
    const auto started = start_over(parts);
    if (!started && make_room(parts, started.error())) return Outcome::again;
    if (!started) return started.error();
    if (*started) return Outcome::again;
  } else if (error.kind() != ErrorKind::not_found) {
    return error;
  }
  notice(fmt::format("{}: an interrupted sync begins anew ({})", container_.name, error.message()));
  CAIRN_TRY(drop_pending());
  return Outcome::again;
}

// The store has dropped the upload. False: so does this side, since the spool does not have all of it.
Result<bool> SyncRun::start_over(PartJournal& parts) {
  if (container_.head) {  // nothing is to be sent to where a store is not mounted
    const auto stored = read_manifest(n_.store, container_.name);
    if (!stored && stored.error().kind() != ErrorKind::not_found) return stored.error();
    if (!stored && n_.sync.adopt == LayerAdopt::local) return false;
    if (!stored) return history_is_gone(container_, n_.store.url());
  }
  CAIRN_ASSIGN(const int missing, parts.first_not_kept());
  if (missing > 0) {
    notice(fmt::format("{}: the store has dropped an upload that was not complete, and part {} of it is not whole in "
                       "the spool any more: the directory is read again. Parts stay there while they take no more than "
                       "the spool limit, {} MiB",
                       container_.name, missing, n_.options.spool_limit_bytes / kMiB));
    return false;
  }
  CAIRN_TRY(parts.start_over());
  notice(fmt::format("{}: the store has dropped an upload that was not complete: its parts are sent again from the "
                     "spool",
                     container_.name));
  return true;
}

// What the spool keeps only to be on the safe side must not be what fills the disk.
bool SyncRun::make_room(PartJournal& parts, const Error& error) {
  if (error.kind() != ErrorKind::io || is_disk_full_ || !parts.let_go()) return false;
  notice(fmt::format("{}: parts that the store has are let go of, in case it's them that the disk has no room for ({})",
                     container_.name, error.message()));
  is_disk_full_ = true;
  return true;
}

Result<SyncRecord> SyncRun::archive_and_publish(PartJournal& parts, Plan& plan) {
  if (pending_->stage <= Stage::archived) {
    auto last = parts.look();
    // It may be gone because it was completed, and the reply was lost.
    const bool gone = !last && last.error().kind() == ErrorKind::not_found;
    const bool completed = gone && pending_->stage == Stage::archived && !parts.has_open();
    if (gone && !completed) parts.lose_upload();
    if (!last && !completed) return last.error();
    if (!completed && *last < parts.last()) pending_->stage = Stage::archiving;  // what lay in the spool is damaged
    if (!completed) CAIRN_TRY(archive(parts, plan, *last));
  }
  Publisher publisher({.store = n_.store,
                       .state = n_.state,
                       .spool = spool_,
                       .parts = parts,
                       .plan = plan,
                       .container = container_,
                       .pending = *pending_,
                       .random = n_.random,
                       .hook = n_.hook,
                       .manifest_syncs = n_.options.manifest_syncs});
  auto record = publisher.run();
  sent_bytes_ += publisher.sent_bytes();
  return record;
}

Result<void> SyncRun::archive(PartJournal& parts, Plan& plan, int last) {
  const auto ended = [&]() -> Result<void> {
    if (pending_->stage == Stage::archived) {
      CAIRN_TRY(parts.go_on_behind(last));
    } else {
      const auto opened = open_tree();
      is_tree_refused_ = !opened;
      if (!opened) return opened.error();
      const std::uint64_t total_bytes = plan.head().total_bytes;
      StoreCapabilities can = n_.store.capabilities();
      CAIRN_ASSIGN(can.max_parts, most_parts_for(with_headers(plan.head())));
      Archiver archiver({.tree = *tree_,
                         .plan = plan,
                         .catalogue = catalogue_,
                         .state = n_.state,
                         .spool = spool_,
                         .parts = parts,
                         .executor = n_.executor,
                         .container = container_.id,
                         .pending = *pending_,
                         .compression_level = n_.options.compression_level,
                         .store = n_.store,
                         .can = can,
                         .progress = [&](std::uint64_t done) {
                           if (n_.sync.progress) n_.sync.progress(std::min(done, total_bytes), total_bytes);
                         },
                         .on_notice = [&](const std::string& text) { notice(text); },
                         .stop = n_.sync.stop});
      CAIRN_TRY(archiver.run(last));
    }
    return parts.is_one_put() ? Result<void>() : parts.settle();
  }();
  if (!ended && !n_.hook.has_fired()) parts.wind_up(ended.error());
  return ended;
}

Result<void> SyncRun::drop_pending() {
  if (!pending_->copy_id.empty()) {
    CAIRN_TRY(n_.store.abort_upload(layer_key(pending_->digest), pending_->copy_id));
  }
  CAIRN_TRY(n_.state.begin());
  CAIRN_TRY(n_.state.add_leftover(pending_->temporary_key));
  CAIRN_TRY(n_.state.drop_pending(container_.id));
  CAIRN_TRY(n_.state.commit());
  CAIRN_TRY(pass(n_.hook, "dropped"));
  pending_.reset();
  CAIRN_ASSIGN(const auto plan, Plan::load(catalogue_));
  if (plan) CAIRN_TRY(plan->drop());
  CAIRN_TRY(spool_.clear());
  return remove_leftovers();
}

// A layer may have kept the name under which it was sent, and have been published so by a life of this state that the
// state knows nothing of: it was put back from a copy.
Result<bool> SyncRun::is_named(const std::string& key) {
  if (key.starts_with(kWantPrefix)) return false;
  const auto there = n_.store.head(key);
  if (!there && there.error().kind() == ErrorKind::not_found) return false;
  if (!there) return there.error();
  CAIRN_ASSIGN(const auto containers, n_.state.containers());
  for (const Container& container : containers) {
    const auto history = read_history(n_.store, container.name);
    if (!history && history.error().kind() != ErrorKind::not_found) return history.error();
    if (!history) continue;
    const auto names_it = [&](const SyncRecord& sync) { return sync.layer.object == key; };
    if (std::ranges::any_of(history->whole.syncs, names_it)) return true;
  }
  return false;
}

// Uploads and objects that nothing names: no request, mostly.
Result<void> SyncRun::remove_leftovers() {
  CAIRN_ASSIGN(const auto keys, n_.state.leftovers());
  for (const std::string& key : keys) {
    if (n_.store.capabilities().multipart && !key.starts_with(kWantPrefix)) {
      CAIRN_ASSIGN(const auto uploads, n_.store.list_uploads(key));
      for (const UploadInfo& upload : uploads) CAIRN_TRY(n_.store.abort_upload(upload.key, upload.upload_id));
    }
    CAIRN_ASSIGN(const bool named, is_named(key));
    if (!named) CAIRN_TRY(n_.store.remove(key));
    CAIRN_TRY(n_.state.drop_leftover(key));
  }
  return {};
}

}  // namespace cairn::layer
