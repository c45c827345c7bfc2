// Capture while the store has not answered yet.
//
// A store that is away keeps nobody from capturing: after a moment, what this machine remembers is taken to be what the
// store holds (attach.h, presume). Until the store says so, all that comes of it stays here: nothing is put into it. If
// it says otherwise, capture lets go of everything and begins on what the store says; the database has all of it still.
#include "replicate/capturer.h"

namespace cairn::replicate {

Result<bool> Capturer::presume_when_due(const Time& now) {
  const bool is_awaited = !shared_.options.known;  // what was at rest is what the store holds, as far as is known here
  if (waiting_since_us_ < 0) waiting_since_us_ = now.mono_us - (is_awaited ? 0 : kStorePatience_us);
  if (now.mono_us < waiting_since_us_ + kStorePatience_us) return false;
  waiting_since_us_ = now.mono_us;
  {
    MutexLock hold(shared_.mutex);
    if (shared_.footing != Footing::none || !shared_.may_presume) return false;
    shared_.footing = Footing::settling;
  }
  auto base = presume(shared_.attach_context(), now);
  const bool can = base && *base;
  {
    MutexLock hold(shared_.mutex);
    shared_.footing = can ? Footing::presumed : Footing::none;
    if (base && !can) shared_.may_presume = false;
    if (can) {
      shared_.presumption = {.start = (*base)->start,
                             .lineage = (*base)->lineage,
                             .begun_ms = (*base)->begun_ms,
                             .published = (*base)->published};
      shared_.spool = std::move((*base)->spool);
    }
  }
  if (!base) return base.error();
  if (can) take(**base);
  is_presumed_ = can;
  return can;
}

bool Capturer::is_told_to_leave() const {
  MutexLock hold(shared_.mutex);
  return shared_.footing == Footing::leaving;
}

// False: the store is being asked, or has said that it is so.
bool Capturer::leave_presumption() {
  {
    MutexLock hold(shared_.mutex);
    if (shared_.footing != Footing::presumed && shared_.footing != Footing::leaving) return false;
    shared_.footing = Footing::settling;
  }
  let_go(sqlite::CloseMode::abandon);
  state_.reset();
  is_presumed_ = followed_once_ = false;
  sync_due_us_ = -1;
  MutexLock hold(shared_.mutex);
  shared_.spool.reset();
  shared_.job.reset();
  shared_.capture_settled = false;
  shared_.footing = Footing::none;
  shared_.may_presume = false;
  return true;
}

}  // namespace cairn::replicate
