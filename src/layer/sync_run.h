// One call of LayerManager::sync_layer: goes on with what an interrupted one has left, then looks for changes, and
// publishes them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "cairn/layer.h"
#include "layer/hooks.h"
#include "layer/part_journal.h"
#include "layer/plan.h"
#include "layer/scan.h"
#include "layer/state.h"
#include "layer/tree.h"

namespace cairn::layer {

class SyncRun {
 public:
  struct Needs {
    Store& store;
    State& state;
    FileSystem& files;
    Clock& clock;
    Random& random;
    Executor& executor;   // for compression
    Executor& transfers;  // as wide as parts may be under way at once
    const LayerOptions& options;
    const LayerSyncOptions& sync;
    const Hook& hook;
  };
  SyncRun(Needs needs, Container container);

  Result<std::optional<LayerSnapshot>> run();
  // Whether it would publish something. Asks nothing of the store.
  Result<bool> look();

 private:
  enum class Outcome { published, again };
  Result<void> open_tree();
  Result<ScanResult> look_for_changes(ScanGoal goal);
  Result<void> refuse_missing_mount();
  Result<bool> plan();
  Result<void> begin(const ScanResult& scanned);
  Result<Outcome> finish_pending();
  Result<SyncRecord> archive_and_publish(PartJournal& parts, Plan& plan);
  Result<void> archive(PartJournal& parts, Plan& plan, int last);
  Result<Outcome> recover(PartJournal& parts, const Error& error);
  Result<bool> start_over(PartJournal& parts);
  bool make_room(PartJournal& parts, const Error& error);
  Result<void> drop_pending();
  Result<bool> is_named(const std::string& key);
  Result<void> remove_leftovers();
  void notice(const std::string& text) const;
  Result<int> most_parts_for(std::uint64_t total_bytes);
  std::uint64_t part_bytes_for(std::uint64_t total_bytes, int most_parts) const;

  Needs n_;
  Container container_;
  Catalogue catalogue_;
  Spool spool_;
  std::unique_ptr<Tree> tree_;
  std::optional<PendingSync> pending_;
  std::optional<LayerSnapshot> published_;
  std::uint64_t sent_bytes_ = 0;
  int most_parts_ = 0;         // of an upload, as the store was asked; 0: it was not
  bool is_tree_refused_ = false;  // and not the store: to read the directory on
  bool is_disk_full_ = false;  // the spool keeps nothing that it need not
};

}  // namespace cairn::layer
