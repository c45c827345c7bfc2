// From the last part to the manifest: the object gets its name, its meta, and its place in the history. Each step is
// noted when it is done, and does no harm when it is done again.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cairn/store.h"
#include "layer/catalogue.h"
#include "layer/hooks.h"
#include "layer/part_journal.h"
#include "layer/plan.h"
#include "layer/spool.h"
#include "layer/state.h"
#include "layer/stored.h"

namespace cairn::layer {

class LayerReader;

class Publisher {
 public:
  struct Needs {
    Store& store;
    State& state;
    Spool& spool;
    PartJournal& parts;
    Plan& plan;
    Container& container;  // gets the new head
    PendingSync& pending;
    Random& random;
    const Hook& hook;
    std::size_t manifest_syncs = 0;  // LayerOptions
  };
  explicit Publisher(Needs needs) : n_(needs) {}

  // From wherever the last one has come to. not_found: what was sent is not there any more, begin anew. conflict:
  // somebody else has published meanwhile. unsupported: the store does not take copied parts of any size.
  Result<SyncRecord> run();
  std::uint64_t sent_bytes() const { return sent_bytes_; }

 private:
  Result<SyncRecord> publish_from_here();
  Result<void> put_whole();
  Result<void> complete();
  Result<void> complete_upload(const std::string& key);
  Result<void> name_by_copy();
  Result<bool> use_existing(const std::string& key);
  Result<void> named(const std::string& key);
  Result<void> forget_other_blocks(const LayerReader& reader);
  Result<void> want();
  void withdraw();
  Result<void> look_again();
  Result<void> describe();
  Result<std::optional<SyncRecord>> published_before(const StoredManifest& stored);
  Result<SyncRecord> publish();
  Result<void> look_back(const SyncRecord& record);
  Result<void> take_back();
  Result<void> tidy();
  Result<void> reach(Stage stage, std::string_view point);

  Needs n_;
  std::string want_key_;
  std::uint64_t sent_bytes_ = 0;
};

}  // namespace cairn::layer
