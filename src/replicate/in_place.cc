// The part of capture that notices other files under the database's name, or another database in its file.
#include "replicate/capturer.h"

namespace cairn::replicate {
namespace {
constexpr std::int64_t kInPlace_us = 2'000'000;
}  // namespace

// While commits come, a pin is moved and the WAL is read for a while without a look at the names: what is committed in
// files that were in place a moment ago was committed to this database. Whoever says that all is captured looks first;
// whoever writes to the files, or reads the database file: another may have that, with a WAL of its own; and whoever
// has in memory what nobody else may have any more.
bool Capturer::may_only_read(const Time& now) const {
  return now.mono_us < in_place_until_us_ && database_->hold() == sqlite::Hold::pin && !pass_ && !is_presumed_ &&
         requests_taken_ == requests_ && index_.max_frame.value < shared_.options.rollover_frames &&
         !state_->is_behind() && state_->spool().count() == 0;
}

// False: the files are not in place, and are let go of.
Result<bool> Capturer::check_identity(bool reads_on, const Time& now) {
  is_seen_in_place_ = !reads_on || !may_only_read(now);
  if (!is_seen_in_place_) return true;
  if (database_->is_in_place()) {
    in_place_until_us_ = now.mono_us + kInPlace_us;
    return true;
  }
  // The WAL is not looked at once more: whoever has opened another file under this name may write to it by now.
  let_go(sqlite::CloseMode::abandon);
  auto identity = sqlite::identify(shared_.options.database);
  if (!identity) {
    Error error = identity.error().with("the database is gone, with what was committed to it since it was captured "
                                        "last; waiting for it");
    return error.kind() == ErrorKind::not_found ? error.as(ErrorKind::io) : error;
  }
  return false;
}

// Under a floor nobody who takes SQLite's locks writes to the file: somebody has copied another one over it, and what
// is committed from then on does not continue what was captured.
bool Capturer::is_written_under_floor() const {
  return file_times_tell_ && database_->hold() == sqlite::Hold::floor && database_->modified_ns() != floor_file_ns_;
}

}  // namespace cairn::replicate
