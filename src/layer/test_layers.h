// Whole layers for tests, made the slow and obvious way: one thread, everything in memory.
#pragma once

#include <openssl/evp.h>

#include <string>
#include <vector>

#include "base/check.h"
#include "layer/manifest.h"
#include "layer/object.h"
#include "layer/test_entries.h"
#include "segment/zstd_block.h"

namespace cairn::layer::testing {

inline std::array<std::uint8_t, 32> sha256_of(ByteView bytes) {
  std::array<std::uint8_t, 32> digest{};
  CAIRN_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

inline std::string hex_of(const std::array<std::uint8_t, 32>& digest) {
  std::string text;
  for (const std::uint8_t byte : digest) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

// Files with contents of their own.
struct Item {
  Entry entry;
  std::string contents;  // of a file: its size follows from it
  Contents state = Contents::whole;
  // For objects that lie: what the index says of the contents.
  std::optional<std::uint64_t> claimed_hash = std::nullopt;
};

inline Item item_of(Entry entry, std::string contents = {}) {
  entry.size_bytes = contents.size();
  return {std::move(entry), std::move(contents)};
}

inline Item dir(std::string path, Mark mark = Mark::none, std::vector<std::string> forgotten = {}) {
  Item item = item_of(entry_of(EntryKind::directory, std::move(path)));
  item.entry.mark = mark;
  item.entry.forgotten = std::move(forgotten);
  return item;
}
inline Item file(std::string path, std::string contents) {
  return item_of(file_of(std::move(path), 0), std::move(contents));
}
inline Item symlink(std::string path, std::string target) {
  return item_of(link_of(EntryKind::symlink, std::move(path), std::move(target)));
}
inline Item hard_link(std::string path, std::string target) {
  return item_of(link_of(EntryKind::hard_link, std::move(path), std::move(target)));
}
inline Item gone(std::string path, Mark mark = Mark::none) {
  Item item = item_of(entry_of(EntryKind::whiteout, std::move(path)));
  item.entry.mark = mark;
  if (mark == Mark::device) item.entry.mode = 0;
  return item;
}
inline Item opaque(std::string path, Mark mark = Mark::xattr) {
  Item item = item_of(entry_of(EntryKind::opaque, std::move(path)));
  item.entry.mark = mark;
  return item;
}

struct MadeLayer {
  std::string digest;
  Bytes tar, object;
  LayerMeta meta;
};

// Frames as object.h says: small entries share one, a big file has its own.
class LayerMaker {
 public:
  explicit LayerMaker(std::uint32_t frame_target = kFrameTarget) : frame_target_(frame_target) {}

  LayerMaker& add(const Item& item) {
    const Bytes header = write_tar_header(item.entry).value();
    append(header);
    if (item.contents.size() >= kBigFileBytes) cut();
    const ByteView contents = as_bytes(item.contents);
    for (std::size_t at = 0; at < contents.size(); at += frame_target_) {
      append(contents.subspan(at, std::min<std::size_t>(frame_target_, contents.size() - at)));
      if (open_.size() >= frame_target_) cut();
    }
    if (item.contents.size() >= kBigFileBytes) cut();
    append(Bytes(tar_padding(contents.size())));
    index_.add_entry(header, item.claimed_hash.value_or(contents.empty() ? 0 : hash_of(contents)), item.state);
    if (open_.size() >= frame_target_) cut();
    return *this;
  }

  MadeLayer finish() {
    append(Bytes(kTarEndBytes));
    cut();
    MadeLayer made;
    const auto digest = sha256_of(tar_);
    const Bytes end = index_.finish(digest).value();
    object_.insert(object_.end(), end.begin(), end.end());
    made.digest = hex_of(digest);
    made.tar = std::move(tar_);
    made.object = std::move(object_);
    made.meta = {made.digest,         made.tar.size(),        made.object.size(), 1'700'000'000'000,
                 index_.entry_count(), layer_key(made.digest)};
    return made;
  }

  // As a sync does that was killed and goes on.
  void save_and_restore() { index_ = IndexBuilder::restore(index_.save()).value(); }

 private:
  void append(ByteView bytes) {
    open_.insert(open_.end(), bytes.begin(), bytes.end());
    tar_.insert(tar_.end(), bytes.begin(), bytes.end());
  }
  void cut() {
    if (open_.empty()) return;
    const Bytes frame = compressor_.compress(open_).value();
    index_.add_frame(static_cast<std::uint32_t>(frame.size()), static_cast<std::uint32_t>(open_.size()),
                     hash_of(open_));
    object_.insert(object_.end(), frame.begin(), frame.end());
    open_.clear();
  }

  const std::uint32_t frame_target_;
  segment::BlockCompressor compressor_{3};
  IndexBuilder index_;
  Bytes open_, tar_, object_;
};

inline MadeLayer make_layer(const std::vector<Item>& items, std::uint32_t frame_target = kFrameTarget) {
  LayerMaker maker(frame_target);
  for (const Item& item : items) maker.add(item);
  return maker.finish();
}

// Publishes layers as the syncs of a container, the first one full.
inline Manifest publish(Store& store, const std::string& name, const std::vector<MadeLayer>& layers) {
  Manifest manifest;
  manifest.name = name;
  manifest.lineage.bytes[0] = 1;
  manifest.writer.bytes[0] = 2;
  for (const MadeLayer& layer : layers) {
    const auto put = store.put_new(layer.meta.object, BytesSource(layer.object));
    CAIRN_CHECK(put || put.error().kind() == ErrorKind::conflict);
    const std::uint64_t sequence = manifest.syncs.size() + 1;
    manifest.syncs.push_back({sequence, 1'700'000'000'000 + static_cast<std::int64_t>(sequence) * 1000,
                              sequence == 1 ? SyncKind::full : SyncKind::increment, layer.meta, 0, 0});
  }
  CAIRN_CHECK(publish_manifest(store, manifest, ""));
  return manifest;
}

}  // namespace cairn::layer::testing
