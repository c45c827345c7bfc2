// When a run of a Replicator has reached its goal, or has to be given up.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cairn/daemon.h"
#include "cairn/error.h"
#include "cairn/replicator.h"

namespace cairn::daemon {

inline constexpr std::int64_t kJudgeUs = 100'000;  // between two judgements while a limit runs

bool has_content(const std::string& path);

// Everything in a status that makes another part's next step worth taking, or that people care about.
struct StatusMark {
  Phase phase = Phase::attaching;
  std::uint64_t captured_sequence = 0, published_sequence = 0, snapshot_pages_done = 0, snapshot_pages_total = 0;
  std::uint64_t snapshots_published = 0, published_bytes = 0, captured_commits = 0, reconciles = 0;
  bool has_snapshot = false;

  explicit StatusMark(const ReplicatorStatus& status);
  StatusMark() = default;
  bool operator==(const StatusMark&) const = default;
  // Nothing but commits that were captured or published lies between them.
  bool is_same_but_for_commits(const StatusMark& other) const;
};

// What people care about beside it.
struct StatusWords {
  bool settled = false;
  bool is_held = false;  // the database is: capture has begun, also while the store is away
  std::string database_trouble, store_trouble, upkeep_trouble;

  explicit StatusWords(const ReplicatorStatus& status);
  StatusWords() = default;
  bool is_same_but_for_commits(const StatusWords& other) const;  // which are published or not
  bool operator==(const StatusWords&) const = default;
};

class Judge {
 public:
  Judge(Replicator& replicator, const RunOptions& options) : replicator_(replicator), options_(options) {}

  // Whoever runs a capture_step asks before it, and says so after it.
  struct Question {
    std::int64_t asked = 0;
    std::uint64_t looks = 0;
  };
  Question question() const { return {asked_, replicator_.status().looks}; }
  // True: the step has answered it, which changes the verdict.
  bool note_capture(const Question& question);
  // The database did not appear before the end.
  void note_never_appeared() { never_appeared_ = true; }

  // One thread: that of whoever waits for the end.
  void begin(std::int64_t now_us);  // with a goal it is asked for
  void end(std::int64_t now_us);    // from now on it is only to be published what there is
  bool is_ending() const { return ending_; }
  bool is_asked() const { return asked_ > 0; }  // so there is a verdict to come, and time counts
  // `ring` wakes all parts: something was asked of them.
  std::optional<Result<void>> verdict(std::int64_t now_us, const std::function<void()>& ring);

 private:
  void ask_for_everything();
  bool has_everything(const ReplicatorStatus& status) const;
  std::int64_t still_us(const ReplicatorStatus& status, std::int64_t now_us);

  Replicator& replicator_;
  const RunOptions& options_;
  std::atomic<bool> ending_ = false, never_appeared_ = false;
  // How often "capture everything that is committed by now" was asked for, and which of those was done last, with the
  // last segment that it made.
  std::atomic<std::int64_t> asked_ = 0, answered_ = 0;
  std::atomic<std::uint64_t> last_captured_ = 0;

  bool snapshot_requested_ = false;
  std::string judged_mark_;
  std::uint64_t judged_pages_ = 0;  // of a pass, the most since the mark is what it is
  std::int64_t progress_us_ = 0;
};

}  // namespace cairn::daemon
