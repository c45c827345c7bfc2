// The parts of one object on their way: each lies in the spool and is in the journal before it is sent, and is in the
// journal as acknowledged afterwards. After a crash the journal is held against what the store has.
//
// An upload may be lost as a whole: stores drop one that is not completed in time. So acknowledged parts stay in the
// spool until the object is complete, as long as they fit into it beside those under way; the oldest go first. As long
// as none has gone, all can be sent once more, whatever has become of the files that they were made of.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/executor.h"
#include "cairn/store.h"
#include "layer/hooks.h"
#include "layer/spool.h"
#include "layer/state.h"
#include "store/part_uploads.h"

namespace cairn::layer {

class PartJournal {
 public:
  struct Needs {
    Store& store;
    State& state;
    Spool& spool;
    Executor& transfers;
    std::int64_t container = 0;
    std::uint64_t spool_limit_bytes = 0;
    PendingSync& pending;
    const Hook& hook;
    std::stop_token stop;
  };
  explicit PartJournal(Needs needs) : n_(std::move(needs)) {}

  // After a crash: reads the journal, asks the store which parts it has. Returns the last part up to which all are
  // acknowledged, or whole in the spool. not_found: the store knows nothing of the upload (any more).
  Result<int> look();
  // Goes on behind part `last`: parts behind it are forgotten, those up to it that are open are sent.
  Result<void> go_on_behind(int last);

  // Notes parts that follow the last one, and the place behind them, in one transaction; then sends them. Waits while
  // as many are under way as may be. `needed`: the checkpoint behind that part, or the one before, stays.
  Result<void> add(std::vector<JournaledPart> parts, const Checkpoint& behind, std::optional<int> needed);
  // The same with the end of the object: the stage becomes archived. An object of one part is not sent.
  Result<void> add_last(std::optional<JournaledPart> part);

  // Takes note of what has arrived meanwhile.
  Result<void> collect();
  // Waits until everything is acknowledged.
  Result<void> settle();
  // The sync ends with an error: waits for what is under way and takes note of it. Nothing can be sent afterwards.
  void wind_up(const Error& why);

  int last() const { return parts_.empty() ? 0 : parts_.rbegin()->first; }
  bool is_one_put() const { return n_.pending.upload_id.empty() && parts_.size() == 1; }
  const std::map<int, JournaledPart>& parts() const { return parts_; }
  bool has_copies() const;
  bool has_open() const { return first_open() <= last(); }  // some are not acknowledged
  std::vector<PartInfo> infos() const;
  // It will be gone on behind a part before the last one.
  void expect_fewer() { highest_there_ = std::max(highest_there_, last()); }
  // The store has parts behind the last one, which it may want to be named.
  bool has_too_many() const { return highest_there_ > last(); }
  std::uint64_t sent_bytes() const { return sent_bytes_; }

  // What an error of the calls above meant, besides itself.
  bool upload_is_gone() const { return upload_is_gone_; }
  bool copies_are_refused() const { return copies_are_refused_; }
  // To be called when the upload turns out to be gone elsewhere, or to be of no use.
  void lose_upload() { upload_is_gone_ = true; }

  // The first part that an upload begun anew would lack: acknowledged by the lost one, and not whole in the spool.
  // 0: there is none.
  Result<int> first_not_kept();
  // Gives the lost upload up: the next look() finds every part open. Nothing can be sent by this one afterwards.
  Result<void> start_over();
  // Lets the spool have nothing but open parts. False: that was so.
  bool let_go();

 private:
  Result<void> note(const std::vector<JournaledPart>& parts);
  Result<void> ensure_upload();
  Result<void> send(const JournaledPart& part);
  Result<void> wait_for_room();
  Result<void> finished(const Result<PartInfo>& part, int number);
  void find_cause(const JournaledPart& part, ErrorKind kind);
  Result<void> find_kept();
  void count_spooled();
  void make_room();
  void let_go_of_oldest();
  int first_open() const;

  Needs n_;
  std::map<int, JournaledPart> parts_;
  std::map<int, std::uint64_t> kept_;  // acknowledged, and in the spool: their sizes
  std::uint64_t spooled_bytes_ = 0;    // of those and of the open ones
  std::unique_ptr<PartUploads> uploads_;
  std::optional<Error> failure_;  // of a part: nothing more is sent, what is under way is waited for
  int highest_there_ = 0;
  std::uint64_t sent_bytes_ = 0;
  bool upload_is_gone_ = false, copies_are_refused_ = false;
};

}  // namespace cairn::layer
