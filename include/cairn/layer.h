// Keeping containers' writable directories in a store, sync by sync, and bringing any of the syncs back.
//
//   auto store = cairn::open_layer_store({.bucket = "backups", .region = "eu-central-1"});
//   auto manager = cairn::LayerManager::open(**store, *machine, {.state_directory = "/var/lib/cairn/layers"});
//   (*manager)->register_container("web_1", "/var/lib/containers/web_1/upper");
//   auto snapshot = (*manager)->sync_layer("web_1");  // nothing: nothing had changed
//   (*manager)->restore_layer("web_1", "/srv/copy", {});
//
// docs/layers.md says what is kept, and how. The restored state of a sync is the directory as it was read during it:
// files that changed meanwhile are read again, or flagged.
//
// Errors, beside those of the store: conflict (another machine publishes this container, or the directory is not the
// one that the store holds; the message says what to choose), unsupported (the directory has marks that can only be
// read with LayerSyncOptions::lower, or may have some that the kernel hides; /proc is not mounted), corrupt (an object,
// or local state, is damaged), not_found (no such container, no such sync, no such path), busy (another process has the
// state directory), invalid, denied, io, cancelled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/machine.h"
#include "cairn/store.h"

namespace cairn {

enum class LayerMarks {
  automatic,       // fuse-overlayfs' marks where its attributes are found on the directory itself, else the kernel's
  kernel,          // overlayfs: devices and attributes; a file named `.wh.x` is just a file
  fuse_overlayfs,  // also `.wh.x` and `.wh..wh..opq` files, and the owners that it keeps in attributes
};
// What a sync does that would be refused (conflict), because it is not sure that the directory goes on from the
// newest sync in the store: another machine (or a copy of this one's state) has published, the store has none of the
// syncs that were published from here, or the directory is empty and not the one that was synced. local: it is
// published all the same.
enum class LayerAdopt { none, local };
enum class LayerDatabases { through_sqlite, as_files };
// Overlayfs' marks are trusted.* attributes unless the mount has userxattr: which names are deleted or replaced, and
// which contents lie elsewhere. The kernel shows these to nobody but who has CAP_SYS_ADMIN outside of any user
// namespace; for whoever else they are not there. refuse: a directory that an overlay mount of root's may have written
// to is unsupported then; only one that belongs to a user without such rights, who is this process' own, is not.
// accept: the caller knows that no such mount wrote there, or does without trusted.* attributes.
enum class LayerHiddenAttributes { refuse, accept };

// Where layers lie: a URL or a bucket, not both.
struct LayerStorage {
  std::string url = {};            // as open_store takes it; it names the place as a whole
  std::string bucket = {};         // of S3; the layers lie below `prefix` in it
  std::string prefix = "layers/";  // of a bucket. Empty: its top
  std::string region = {}, endpoint = {};  // as in S3Options, which they win over; a URL's own win over them
};
// invalid: both of url and bucket, or none, or one of them is none. Nothing is read or written yet.
Result<std::unique_ptr<Store>> open_layer_store(const LayerStorage& storage, S3Options s3 = {});

// What is local is used by one process at a time; all of it is made when absent.
struct LayerOptions {
  std::string state_directory = {};    // what is named below lies in it. May be empty when both are
  std::string staging_directory = {};  // of parts on their way to the store. Empty: "spool"
  std::string state_database = {};     // a file, the catalogue and the journal. Empty: "state.db"
  std::uint64_t part_size_bytes = 64ull << 20;  // of uploads; at least the store's smallest part
  int concurrent_uploads = 4;
  // Parts that the store has acknowledged stay in the staging directory until their layer is complete, as long as no
  // more than this lies there: a sync whose upload the store drops meanwhile sends them again and reads nothing twice.
  std::uint64_t spool_limit_bytes = 256ull << 20;
  int compression_level = 3;                    // zstd
  std::int64_t sync_interval_ms = 30'000;       // of watching: watch_options_of() takes it from here
  std::size_t manifest_syncs = 256;             // when a manifest has more of them, older ones move out of it
};

// Whether a directory can be synced to a store at all: it may hold neither the store, if that is a directory, nor the
// state database and the staging directory (what is mounted in it is not looked into, and may be any of them), and lie
// in none of them. invalid: it does, and the message says which one. Makes nothing, and asks the store nothing.
Result<void> check_layer_places(const std::string& directory, const std::string& store_url,
                                const LayerOptions& options);

struct LayerSyncOptions {
  std::vector<std::string> lower;               // directories below the upper one, the topmost first
  LayerMarks marks = LayerMarks::automatic;
  LayerAdopt adopt = LayerAdopt::none;
  LayerDatabases databases = LayerDatabases::through_sqlite;
  LayerHiddenAttributes hidden_attributes = LayerHiddenAttributes::refuse;
  std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)> progress;  // from any thread; may be empty
  std::function<void(std::string_view)> on_notice;  // what a person should know and is no error; may be empty
  std::stop_token stop;
};

// One sync, as published.
struct LayerSnapshot {
  std::string digest;  // SHA-256 of the uncompressed tar, in hexadecimal
  std::uint64_t size_bytes = 0, compressed_size_bytes = 0;
  std::int64_t created_at_ms = 0;
  std::uint64_t file_count = 0;  // entries of the layer
  std::uint64_t sequence = 0;    // of the sync, from 1
  bool is_full = false;
  std::uint64_t torn_files = 0, skipped_sockets = 0;
  std::uint64_t sent_bytes = 0;  // of the layer's bytes, those that went over the wire in this call
};

struct LayerSyncState {
  std::string name, directory, lineage;
  std::uint64_t sequence = 0;           // of the last sync that is published; 0: none
  std::string digest;                   // of its layer
  std::int64_t last_sync_ms = 0;
  bool upload_pending = false;          // a sync was interrupted; the next one goes on with it
  std::uint64_t pending_parts_done = 0, pending_bytes = 0;
};

enum class LayerForm { upper, merged, oci_layout };
enum class LayerCompression {
  gzip,  // compressed anew: every tool knows it
  zstd,  // the layers as they lie in the store
};

struct LayerRestoreOptions {
  std::optional<std::uint64_t> sequence = {};  // which sync; none: the newest
  std::optional<std::int64_t> at_ms = {};      // the newest at or before this time; not both
  LayerForm form = LayerForm::upper;
  std::vector<std::string> lower = {};         // with merged: the directories that it is laid over, the topmost first
  LayerHiddenAttributes hidden_attributes = LayerHiddenAttributes::refuse;  // of those directories
  std::optional<std::string> path = {};        // only this path, and what is below it
  bool overwrite = false;                 // the target may exist: it is replaced as a whole
  bool dry_run = false;                   // says what would be fetched
  bool user_marks = false;                // whiteouts and opaque marks as user.overlay.*, whatever they were (rootless)
  std::optional<LayerCompression> compression = {};  // with oci_layout: of its blobs; none: gzip
  std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)> progress = {};
  std::function<void(std::string_view)> on_notice = {};
  std::stop_token stop = {};
};

struct LayerRestoreResult {
  LayerSnapshot snapshot;           // what was restored
  std::uint64_t layers = 0;         // of the chain
  std::uint64_t entries = 0, size_bytes = 0;
  std::uint64_t fetched_bytes = 0, requests = 0;
};

class LayerManager {
 public:
  // Locks the state directory. `store` and `machine` outlive the manager.
  static Result<std::unique_ptr<LayerManager>> open(Store& store, Machine& machine, LayerOptions options);
  virtual ~LayerManager() = default;

  // Names a container's directory; again: the directory may have moved. invalid: no name, no directory, or one that
  // holds what check_layer_places() names; syncs look at that again.
  virtual Result<void> register_container(std::string_view name, const std::string& directory) = 0;
  // Whether a sync would publish something. Reads no more than it has to, and asks nothing of the store.
  virtual Result<bool> check_for_changes(std::string_view name, const LayerSyncOptions& options = {}) = 0;
  // Publishes what has changed; nothing when nothing has. Goes on with what an interrupted call has left.
  virtual Result<std::optional<LayerSnapshot>> sync_layer(std::string_view name,
                                                          const LayerSyncOptions& options = {}) = 0;
  // Needs no local state. With LayerForm::upper and the whole of the newest sync, a later sync of the target (once it
  // is registered under this name) goes on from there.
  virtual Result<LayerRestoreResult> restore_layer(std::string_view name, const std::string& target,
                                                   const LayerRestoreOptions& options = {}) = 0;
  virtual Result<std::vector<LayerSyncState>> list_containers() = 0;  // those registered here
  virtual Result<LayerSyncState> sync_state(std::string_view name) = 0;
  // As it was opened.
  virtual LayerOptions options() const { return {}; }
};

// What a store holds, from any machine, without local state.
struct StoredContainer {
  std::string name, lineage;
  std::uint64_t syncs = 0, newest_sequence = 0;
  std::int64_t newest_time_ms = 0;
  std::uint64_t size_bytes = 0;  // compressed, of the layers that its manifest names
};
Result<std::vector<StoredContainer>> list_stored_containers(Store& store);
// Their names alone: one listing, no manifest is read.
Result<std::vector<std::string>> stored_container_names(Store& store);
// Ascending by sequence. not_found: no such container.
Result<std::vector<LayerSnapshot>> layer_history(Store& store, std::string_view name);

struct LayerVerifyReport {
  std::uint64_t layers = 0, entries = 0, size_bytes = 0;
  std::vector<std::string> problems, notes;  // one sentence each
};
// Reads every layer that the manifest names: frames, hashes, the digest of the tar, that index and tar agree, meta.
Result<LayerVerifyReport> verify_layers(Store& store, std::string_view name, Machine& machine,
                                        std::function<void(std::uint64_t done, std::uint64_t total)> progress = {});

struct LayerPruneOptions {
  std::int64_t grace_ms = 24ll * 3600 * 1000;
  std::optional<std::int64_t> keep_ms;  // history older than this may go, in whole chains; none: all is kept
  bool dry_run = false;
};
struct LayerPruneReport {
  std::vector<std::string> removed;      // keys (dry_run: that would be)
  std::uint64_t removed_bytes = 0, kept_objects = 0, kept_bytes = 0, aborted_uploads = 0, dropped_syncs = 0;
};
Result<LayerPruneReport> prune_layers(Store& store, std::int64_t now_ms, const LayerPruneOptions& options);

}  // namespace cairn
