// The parts of one object on their way: each is in the journal before it is sent, lies in the spool until it is
// acknowledged, and is in the journal as such afterwards. After a crash the journal is held against what the store has.
#pragma once

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
  // as many are under way as may be.
  Result<void> add(std::vector<JournaledPart> parts, const Checkpoint& behind);
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
  std::vector<PartInfo> infos() const;
  // The store has parts behind the last one, which it may want to be named.
  bool has_too_many() const { return highest_there_ > last(); }
  std::uint64_t sent_bytes() const { return sent_bytes_; }

  // What an error of the calls above meant, besides itself.
  bool upload_is_gone() const { return upload_is_gone_; }
  bool copies_are_refused() const { return copies_are_refused_; }

 private:
  Result<void> note(const std::vector<JournaledPart>& parts);
  Result<void> ensure_upload();
  Result<void> send(const JournaledPart& part);
  Result<void> wait_for_room();
  Result<void> finished(const Result<PartInfo>& part, int number);
  int first_open() const;

  Needs n_;
  std::map<int, JournaledPart> parts_;
  std::unique_ptr<PartUploads> uploads_;
  std::optional<Error> failure_;  // of a part: nothing more is sent, what is under way is waited for
  int highest_there_ = 0;
  std::uint64_t sent_bytes_ = 0;
  bool upload_is_gone_ = false, copies_are_refused_ = false;
};

}  // namespace cairn::layer
