// Bringing a sync back: from a store and a name to a directory, or to an OCI image layout.
//
// The target appears whole or not at all. Everything is written into `.<name>.cairn-<token>` beside it, private to
// this user, each file checked against the hash of its contents; then it is synced and renamed. With `overwrite` the
// two are exchanged and what was there is removed afterwards. What a restore that was killed has left goes with the
// next one to the same target.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/executor.h"
#include "cairn/error.h"
#include "cairn/layer.h"
#include "layer/manifest.h"
#include "layer/merge.h"

struct statx;

namespace cairn::layer {

struct RestoreMachine {
  Executor& decode;     // as many threads as cores
  Executor& transfers;  // as many as requests at once
  Random& random;
  // What is not to be removed by overwriting it, beside the store itself: files and directories.
  std::vector<std::string> kept = {};
};

// Told of each name of a restored upper directory or merged tree once it is complete, in order; what statx says of it
// comes with it (of directories before the last of their attributes are set). An error ends the restore.
using OnRestored = std::function<Result<void>(const MergedEntry& entry, const LayerReader& reader,
                                              const struct ::statx& status)>;

struct RestoredSync {
  LayerRestoreResult result;
  StoredManifest stored;  // as it was read
  SyncRecord sync;        // which one was restored
  bool is_head = false;   // the newest sync
};

// not_found: no such container, no such sync, no such path. conflict: the target exists (an empty directory does not
// count); or it is to be overwritten, and holds the store or what is to be kept, or lies in it. denied:
// this user may not set what has to be set (owners, devices, trusted attributes): the message names it.
// corrupt: a layer is damaged. io: among others, that it would not fit on the disk; then nothing was touched.
// unsupported: among others, that a lower directory may have marks that this process is not shown, or that /proc is not
// there. invalid, cancelled; and what the store says.
Result<RestoredSync> restore_layer(Store& store, std::string_view name, const std::string& target,
                                   const LayerRestoreOptions& options, const RestoreMachine& machine,
                                   const OnRestored& on_restored = {});

}  // namespace cairn::layer
