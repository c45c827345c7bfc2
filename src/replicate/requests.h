// What other processes ask of the one that replicates: a snapshot, now. By files in the folder `requests` of its state
// directory, since the same user owns both; a control socket may take its place.
//
//   <id>.wanted   put there by who asks
//   <id>.taken    its name once it was seen; says how far it is
//   <id>.done     the answer, which who asks removes
//
// A request outlives the process that it was put to: the next one takes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "replicate/shared.h"

namespace cairn::replicate {

// The side of who replicates. One thread: that of capture_step, which begins snapshots.
class Requests {
 public:
  explicit Requests(Shared& shared);
  void open();
  void look(const Time& now);
  // Nothing is asked, as far as its files tell now.
  bool is_empty() const;

 private:
  struct Request {
    std::string id;
    std::uint64_t wanted = 0;  // number of the first snapshot that is begun after it was seen
  };
  bool may_have_new(const Time& now);
  void take_new();
  void answer();

  Shared& shared_;
  const std::string directory_;
  std::vector<Request> requests_;
  std::string told_;
  std::int64_t next_look_us_ = 0;
  std::optional<std::int64_t> listed_ms_;  // the time that its directory had when all in it was taken last
  std::int64_t list_again_us_ = 0;
};

// The side of who asks.
class SnapshotRequest {
 public:
  // not_found: no process replicates with this state directory.
  static Result<SnapshotRequest> put(FileSystem& files, const std::string& state_directory, const std::string& id,
                                     CopyUnchanged copy_unchanged = CopyUnchanged::yes);

  struct Progress {
    bool is_taken = false;
    std::optional<std::uint64_t> sequence;  // of the snapshot that is there now
    std::string words, trouble;             // how far it is; what is in the way
  };
  // not_found: the process has ended before the snapshot was there.
  Result<Progress> look();
  void take_back();

 private:
  SnapshotRequest(FileSystem& files, std::string state_directory, std::string path)
      : files_(&files), state_directory_(std::move(state_directory)), path_(std::move(path)) {}
  FileSystem* files_;
  std::string state_directory_, path_;  // path_: without what the name ends in
};

}  // namespace cairn::replicate
