// A snapshot's bytes into the store: in parts while it is being read out of the database, with no copy on local disk.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "replicate/patience.h"
#include "replicate/shared.h"
#include "replicate/upload_journal.h"
#include "store/part_uploads.h"

namespace cairn::replicate {

class SnapshotUpload {
 public:
  explicit SnapshotUpload(Shared& shared)
      : shared_(shared), journal_(shared.files, shared.options.state_directory) {}
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
  void begin(const std::shared_ptr<SnapshotJob>& job);
  void drop();
  Result<void> look_for_interrupted();
  Result<void> end_left_over();
  Result<Step> trouble(const Error& error, const Time& now);

  // Parts.
  std::uint64_t least_part_bytes() const;
  Result<void> choose_part_size(const SnapshotJob& job);
  void send_parts_of(const SnapshotJob& job);
  Result<void> send_part(SnapshotJob& job);
  Result<void> open_upload(const SnapshotJob& job);
  Result<bool> go_on_with(const JournaledUpload& upload, const SnapshotJob& job);
  Result<void> abort_left_over();
  Result<void> collect_parts(SnapshotJob& job);
  void give_up(SnapshotJob& job);

  Result<void> note_intent(const SnapshotJob& job);
  Result<bool> finish(SnapshotJob& job);
  Result<bool> is_ours(const SnapshotJob& job);
  Result<void> published(const SnapshotJob& job, const Time& now);

  Shared& shared_;
  Patience patience_;
  std::int64_t not_before_us_ = 0;
  UploadJournal journal_;
  bool looked_for_interrupted_ = false;
  int left_over_tries_ = 0;

  std::shared_ptr<SnapshotJob> job_;
  Buffer buffer_;
  std::uint64_t part_bytes_ = 0;  // of all but the last; the least, until it is chosen
  std::optional<int> most_parts_;  // once it is chosen: what it was chosen for
  std::string upload_id_;  // empty: none begun
  int parts_cut_ = 0;
  int highest_there_ = 0;  // number of a part that the store has; it may want each to be named
  std::map<int, JournaledPart> parts_;       // acknowledged
  std::map<int, JournaledPart> there_;       // acknowledged to an earlier process: not sent again if they are the same
  std::map<int, std::uint64_t> hashes_;      // of parts under way
  std::unique_ptr<PartUploads> uploads_;
  std::uint64_t sent_bytes_ = 0;
  bool drained_ = false;
};

}  // namespace cairn::replicate
