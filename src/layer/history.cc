#include "layer/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/bytes.h"
#include "layer/percent.h"

namespace cairn::layer {
namespace {

constexpr int kReadings = 3;  // a history is seldom pruned twice while it is read
constexpr std::size_t kSequenceDigits = 20, kPartTokenDigits = 32;
// Of another end than manifests: in a directory a folder and a file of one name would be in each other's way.
constexpr std::string_view kFolderSuffix = ".old", kSuffix = ".json";

std::string history_key(std::string_view name, std::uint64_t first, std::uint64_t last, const Id128& token) {
  return fmt::format("{}{}{}/{:020}-{:020}-{}{}", kManifestPrefix, percent_encoded(name), kFolderSuffix, first, last,
                     token.hex(), kSuffix);
}

Error damaged_part(const HistoryPart& part) {
  return Error(ErrorKind::corrupt, fmt::format("{} is not the history that the manifest means", part.object));
}

// Appends the syncs of a part that count.
Result<void> append_part(Store& store, const HistoryPart& part, Manifest& whole) {
  CAIRN_ASSIGN(const Object object, store.get(part.object));
  Result<Manifest> history = parse_history(object.bytes);
  if (!history) return history.error().with(part.object);
  std::vector<SyncRecord>& syncs = history->syncs;
  const bool is_ours = history->lineage == whole.lineage && history->name == whole.name;
  const bool has_all = syncs.front().sequence <= part.first && syncs.back().sequence >= part.last;
  if (!is_ours || !has_all) return damaged_part(part);
  const auto at = [&](std::uint64_t sequence) {  // they have no gap
    return syncs.begin() + static_cast<std::ptrdiff_t>(sequence - syncs.front().sequence);
  };
  if (at(part.first)->kind != SyncKind::full) return damaged_part(part);
  whole.syncs.insert(whole.syncs.end(), std::make_move_iterator(at(part.first)),
                     std::make_move_iterator(at(part.last) + 1));
  return {};
}

Result<Manifest> whole_of(Store& store, const Manifest& manifest) {
  Manifest whole = manifest;
  if (manifest.older.empty()) return whole;
  whole.older.clear();
  whole.syncs.clear();
  for (const HistoryPart& part : manifest.older) CAIRN_TRY(append_part(store, part, whole));
  whole.syncs.insert(whole.syncs.end(), manifest.syncs.begin(), manifest.syncs.end());
  return whole;
}

}  // namespace

bool is_history_key(std::string_view key) {
  if (!key.starts_with(kManifestPrefix) || !key.ends_with(kSuffix)) return false;
  key.remove_prefix(kManifestPrefix.size());
  key.remove_suffix(kSuffix.size());
  const std::size_t slash = key.find('/');
  const std::string_view folder = key.substr(0, slash);
  if (slash == std::string_view::npos || !folder.ends_with(kFolderSuffix) || !percent_decoded(folder)) return false;
  const std::string_view name = key.substr(slash + 1);
  constexpr std::size_t kLast = kSequenceDigits + 1, kToken = kLast + kSequenceDigits + 1;
  if (name.size() != kToken + kPartTokenDigits || name[kLast - 1] != '-' || name[kToken - 1] != '-') return false;
  const auto consists_of = [&](std::size_t begin, std::size_t length, std::string_view digits) {
    return name.substr(begin, length).find_first_not_of(digits) == std::string_view::npos;
  };
  return consists_of(0, kSequenceDigits, "0123456789") && consists_of(kLast, kSequenceDigits, "0123456789") &&
         consists_of(kToken, kPartTokenDigits, "0123456789abcdef");
}

Result<void> move_history_out(Store& store, Random& random, Manifest& manifest, std::size_t most) {
  std::vector<SyncRecord>& syncs = manifest.syncs;
  if (syncs.size() <= most) return {};
  const auto newest_full = std::find_if(syncs.rbegin(), syncs.rend(),
                                        [](const SyncRecord& sync) { return sync.kind == SyncKind::full; });
  if (newest_full == syncs.rend()) return {};
  const auto stays = newest_full.base() - 1;
  if (stays == syncs.begin()) return {};
  Manifest history;
  history.name = manifest.name;
  history.lineage = manifest.lineage;
  history.syncs.assign(syncs.begin(), stays);
  const std::uint64_t first = syncs.front().sequence, last = stays->sequence - 1;
  // A name of its own each time: what is found under a name may be about to be removed by a prune.
  HistoryPart part{history_key(manifest.name, first, last, random.id()), first, last};
  const Bytes bytes = write_history(history);
  const auto put = store.put_new(part.object, BytesSource(bytes));
  if (!put && (put.error().kind() != ErrorKind::maybe_done || !store.head(part.object))) {
    return put.error().with("store older history");
  }
  syncs.erase(syncs.begin(), stays);
  manifest.older.push_back(std::move(part));
  return {};
}

Result<void> drop_newest(Store& store, Manifest& manifest) {
  manifest.syncs.pop_back();
  if (!manifest.syncs.empty() || manifest.older.empty()) return {};
  const HistoryPart part = std::move(manifest.older.back());
  manifest.older.pop_back();
  return append_part(store, part, manifest);
}

void drop_before(Manifest& manifest, std::uint64_t sequence) {
  std::erase_if(manifest.older, [&](const HistoryPart& part) { return part.last < sequence; });
  if (!manifest.older.empty()) {
    manifest.older.front().first = std::max(manifest.older.front().first, sequence);
  } else {
    std::erase_if(manifest.syncs, [&](const SyncRecord& sync) { return sync.sequence < sequence; });
  }
}

Result<StoredHistory> read_history(Store& store, std::string_view name) {
  std::string etag;
  for (int attempt = 1;; ++attempt) {
    CAIRN_ASSIGN(StoredManifest stored, read_manifest(store, name));
    Result<Manifest> whole = whole_of(store, stored.manifest);
    if (whole) return StoredHistory{std::move(stored), std::move(*whole)};
    if (whole.error().kind() != ErrorKind::not_found) return whole.error();
    // A prune takes what the manifest has ceased to name: then the manifest is another one.
    if (stored.etag == etag || attempt == kReadings) {
      return Error(ErrorKind::corrupt, fmt::format("older history of '{}' is not there: {}", name,
                                                   whole.error().message()));
    }
    etag = stored.etag;
  }
}

}  // namespace cairn::layer
