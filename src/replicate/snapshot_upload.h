// A snapshot's bytes into the store: in parts while it is being read out of the database, with no copy on local disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "replicate/shared.h"

namespace cairn::replicate {

class SnapshotUpload {
 public:
  explicit SnapshotUpload(Shared& shared) : shared_(shared) {}
  Result<Step> step(const Time& now);

 private:
  // Collects bytes until a part is full.
  struct Buffer final : segment::Sink {
    Result<void> write(ByteView data) override {
      bytes.insert(bytes.end(), data.begin(), data.end());
      return {};
    }
    Bytes bytes;
  };

  Result<bool> advance(SnapshotJob& job);
  Result<void> send_part(SnapshotJob& job);
  Result<void> abort_left_over();
  Result<bool> finish(SnapshotJob& job);
  Result<bool> is_ours(const SnapshotJob& job);
  void begin(const std::shared_ptr<SnapshotJob>& job);
  void drop();
  Result<void> published(const SnapshotJob& job, const Time& now);

  Shared& shared_;
  Backoff backoff_;
  std::int64_t not_before_us_ = 0;
  std::shared_ptr<SnapshotJob> job_;
  Buffer buffer_;
  std::uint64_t part_bytes_ = 0;
  std::string upload_id_;  // empty: none begun
  std::vector<PartInfo> parts_;
  std::uint64_t sent_bytes_ = 0;
  bool drained_ = false;
};

}  // namespace cairn::replicate
