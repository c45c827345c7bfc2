// A snapshot's bytes into the store: in parts while it is being read out of the database, with no copy on local disk.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "replicate/patience.h"
#include "replicate/shared.h"
#include "replicate/snapshot_copies.h"
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
  Result<void> end_left_over(const Time& now);
  Result<Step> trouble(const Error& error, const Time& now);

  // Parts.
  std::uint64_t least_part_bytes() const;
  Result<void> choose_part_size(const SnapshotJob& job);
  Result<void> plan(SnapshotJob& job);
  bool may_copy(const SnapshotJob& job) const;
  bool is_at_run(const SnapshotJob& job);
  Result<void> copy_run(SnapshotJob& job);
  void note_no_copies(const std::string& why);
  std::uint64_t least_bytes() const;
  std::uint64_t cut_at_bytes() const;
  Error without_copies(SnapshotJob& job, const std::string& why);
  Result<void> check_copied_parts(SnapshotJob& job);
  void send_parts_of(const SnapshotJob& job);
  Result<void> send_part(SnapshotJob& job);
  Result<bool> resume(const SnapshotJob& job);
  Result<void> begin_upload(const SnapshotJob& job);
  Result<bool> go_on_with(const JournaledUpload& upload, const SnapshotJob& job);
  Result<void> abort_left_over();
  Result<void> collect_parts(SnapshotJob& job);
  void give_up(SnapshotJob& job);

  Result<void> note_intent(const SnapshotJob& job);
  Result<bool> finish(SnapshotJob& job);
  Result<bool> lies_there(SnapshotJob& job);
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
  std::uint64_t part_bytes_ = 0;  // of all but the last, where nothing is copied; the least, until it is chosen
  std::optional<int> most_parts_;  // once it is chosen: what it was chosen for
  std::string upload_id_;  // empty: none begun
  int newest_part_ = 0;        // its number
  std::set<int> there_numbers_;  // of parts that the store had when this process found the upload
  std::map<int, JournaledPart> parts_;       // acknowledged
  std::map<int, JournaledPart> there_;       // acknowledged to an earlier process: not sent again if they are the same
  std::map<int, std::uint64_t> hashes_;      // of parts under way
  std::unique_ptr<PartUploads> uploads_;
  std::unique_ptr<SnapshotCopies> copies_;   // where something is to be copied
  bool sends_whole_ = false;  // copies have failed: none until a snapshot has been sent whole
  std::uint64_t sent_bytes_ = 0;
  bool drained_ = false;
  std::string put_etag_;  // empty: it lay there already
  bool is_put_ = false;  // and is looked at until it is seen to lie where it should
};

}  // namespace cairn::replicate
