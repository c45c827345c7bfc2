// From the spool to the store: one segment at a time, in order, create-only.
#pragma once

#include <optional>
#include <string>

#include "replicate/claim.h"
#include "replicate/patience.h"
#include "replicate/rest.h"
#include "replicate/shared.h"

namespace cairn::replicate {

class Publisher {
 public:
  explicit Publisher(Shared& shared) : shared_(shared) {}
  Result<Step> step(const Time& now);
  void finish();  // on a clean stop
  void remember(Remembered& known) const;

 private:
  Result<bool> attach_now(const Time& now);
  bool is_known(const Time& now) const;
  Result<Finding> find(const Time& now);
  Result<bool> attach_afresh(const Finding& finding, const Time& now);
  void stand_firm(const Id128& lineage, const Finding& finding, Base* base, const Time& now);
  Result<bool> publish_front(Spool& spool, const Time& now);
  std::int64_t next_turn_us(const Spool& spool, const Time& now);
  Result<void> note_intent(const SpooledSegment& segment, const Time& now);
  Result<void> look_for_others_when_due(const Time& now);
  bool may_go_beside_newest(Sequence sequence) const;
  Result<std::optional<std::string>> put(const SpooledSegment& segment);
  Result<std::optional<std::string>> put(Sequence sequence, const Source& body);
  void summarize(const LocalRecord& record, const Time& now, Claim& claim) const;
  Result<void> write_summary(const Time& now);
  Result<void> renew_claim_when_due(const Time& now);
  Result<void> look_for_replica(Sequence published);
  Result<bool> is_ours(const std::string& key, const Source& body);
  Result<Step> trouble(const Error& error, const Time& now);

  Shared& shared_;
  Patience patience_;
  std::int64_t not_before_us_ = 0;
  std::int64_t next_summary_us_ = 0;
  std::optional<Sequence> missed_at_;  // published when the claim was found gone for the first time
  Sequence summarized_;
  std::int64_t covered_before_us_ = 0;  // by the intent that was synced last
  Sequence newest_put_;      // the segment that was put last, and as what it lies in the store
  std::string newest_etag_;  // empty: it lay there already
  Time last_time_;
  std::uint64_t put_bytes_ = 0;  // of what was put last
  Time heard_;  // when it was known last that nobody else has published
  bool attached_ = false;
  bool is_claimed_ = false;  // there is a claim, or was when it was looked for first
  bool goes_on_from_rest_ = false;  // attached by what was known, without asking the store
};

}  // namespace cairn::replicate
