// What the store knows of a container: the small JSON objects beside the layers. docs/format.md has every field.
//
//   <prefix><digest>.tar.zst            one layer (an OCI changeset)
//   <prefix><digest>.meta.json          about that layer, whoever uses it
//   <prefix>containers/<name>.json      the manifest: the head and the newest history of a container
//   <prefix>containers/<name>.old/<first>-<last>-<token>.json   older history that was moved out of it (history.h)
//   <prefix>tmp/<token>.tar.zst         a layer whose digest is not known yet
//
// The manifest is the commit: a sync is restorable from the moment on when it names it. It is made create-only and
// changed by compare-and-swap only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::layer {

struct LayerMeta {
  std::string digest;  // SHA-256 of the uncompressed tar, 64 hexadecimal digits: OCI's DiffID without "sha256:"
  std::uint64_t size_bytes = 0;             // of the tar
  std::uint64_t compressed_size_bytes = 0;  // of the object
  std::int64_t created_at_ms = 0;
  std::uint64_t file_count = 0;             // entries of the tar, directories included
  std::string object;                       // its key
  bool operator==(const LayerMeta&) const = default;
};

enum class SyncKind { full, increment };

struct SyncRecord {
  std::uint64_t sequence = 0;  // dense from 1
  std::int64_t time_ms = 0;    // when its scan began
  SyncKind kind = SyncKind::full;
  LayerMeta layer;
  std::uint64_t torn_files = 0, skipped_sockets = 0;
  bool operator==(const SyncRecord&) const = default;
};

// Whole chains that were moved out of the manifest into an object that never changes.
struct HistoryPart {
  std::string object;                 // its key
  std::uint64_t first = 0, last = 0;  // which of its syncs count (still): the first one is full
  bool operator==(const HistoryPart&) const = default;
};

struct Manifest {
  std::string name;                 // the container's, as the user wrote it
  Id128 lineage;                    // of its one history
  Id128 writer;                     // the state that published last: another one has taken over, or is refused
  std::vector<HistoryPart> older;   // ascending, up to the first of `syncs`
  std::vector<SyncRecord> syncs;    // ascending; the first one kept is full; never empty in the store
  const SyncRecord& head() const { return syncs.back(); }
  bool operator==(const Manifest&) const = default;
};

std::string layer_key(std::string_view digest);
std::string temporary_layer_key(std::string_view token);
std::string meta_key(std::string_view digest);
std::string manifest_key(std::string_view name);  // any name: bytes other than A-Z a-z 0-9 . _ - become %XX
std::optional<std::string> name_of_manifest_key(std::string_view key);
// invalid: empty, not UTF-8, or too long for a key (250 bytes, those that become %XX counting three).
Result<void> check_container_name(std::string_view name);
inline constexpr std::string_view kManifestPrefix = "containers/";
inline constexpr std::string_view kTemporaryPrefix = "tmp/";

Bytes write_meta(const LayerMeta& meta);
Result<LayerMeta> parse_meta(ByteView json);       // corrupt, unsupported (a newer format)
Bytes write_manifest(const Manifest& manifest);
Result<Manifest> parse_manifest(ByteView json);    // corrupt, unsupported (a newer format)
// What a HistoryPart's object holds: a manifest's syncs without a writer. Only name, lineage and syncs are there.
Bytes write_history(const Manifest& history);
Result<Manifest> parse_history(ByteView json);     // corrupt, unsupported (a newer format)

struct StoredManifest {
  Manifest manifest;
  std::string etag;
};
// not_found: there is no such container. Older history stays where it is: see read_history.
Result<StoredManifest> read_manifest(Store& store, std::string_view name);
// Creates it (etag empty) or swaps it. conflict: somebody else changed it meanwhile. Returns the new etag. An unclear
// outcome (maybe_done) is looked at: done is done, and retry_later when it was not applied.
Result<std::string> publish_manifest(Store& store, const Manifest& manifest, std::string_view etag);

// The syncs that have to be applied in order to reach `sequence`: from the newest full one at or before it on.
// not_found: no such sync (any more). corrupt: a gap.
Result<std::vector<SyncRecord>> chain_of(const Manifest& manifest, std::uint64_t sequence);

}  // namespace cairn::layer
