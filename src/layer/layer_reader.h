// What LayerReader::open makes, and what a cursor needs of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layer/object_format.h"
#include "segment/object_input.h"

namespace cairn::layer {

class LayerReaderImpl final : public LayerReader {
 public:
  static Result<std::unique_ptr<LayerReader>> open(Store& store, std::string key);

  const std::string& key() const override { return key_; }
  std::string digest() const override;
  std::uint64_t tar_size_bytes() const override { return tail_.tar_bytes; }
  std::uint64_t object_size_bytes() const override { return input_->size_bytes(); }
  const std::vector<FrameInfo>& frames() const override { return frames_; }
  std::uint64_t entry_count() const override { return tail_.entries; }
  std::uint64_t hard_link_count() const override { return tail_.hard_links; }
  std::uint64_t torn_count() const override { return tail_.torn; }
  std::unique_ptr<EntryCursor> entries() const override;
  std::uint64_t frame_at(std::uint64_t tar_offset) const override;
  Result<Bytes> fetch_frames(std::uint64_t first, std::uint64_t count) const override;
  Result<void> decode_frame(std::uint64_t frame, ByteView stored, std::span<std::byte> into) const override;
  Result<void> visit_frames(std::uint64_t first, std::uint64_t count, const Visit& visit) const override;

  const std::vector<Chunk>& chunks() const { return chunks_; }
  // The stored bytes of chunks [first, first + count).
  Result<Bytes> fetch_chunks(std::size_t first, std::size_t count) const;
  Error about(const Error& error) const { return about_object(key_, error); }

 private:
  LayerReaderImpl(Store& store, std::string key)
      : key_(std::move(key)), input_(segment::make_input(store, key_, segment::KeepEnd::yes)) {}

  Result<void> read_end();
  Result<void> read_tail(segment::EndWindow& end);
  Result<void> read_frames(const segment::EndWindow& end);

  const std::string key_;
  const std::unique_ptr<segment::ObjectInput> input_;
  IndexTail tail_;
  std::uint64_t index_begin_ = 0, seek_table_begin_ = 0;
  std::vector<FrameInfo> frames_;
  std::vector<Chunk> chunks_;
};

}  // namespace cairn::layer
