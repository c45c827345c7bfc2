// The part of capture that notices other files under the database's name, or another database in its file.
#include "replicate/capturer.h"

namespace cairn::replicate {
namespace {
constexpr std::int64_t kInPlace_us = 2'000'000;
}  // namespace

// While commits come, a pin is moved for a while without a look at the names: that writes to nothing but the index that
// was opened. Whoever reads what is committed looks first, since another database may have come to lie before this WAL;
// whoever says that all is captured; whoever writes to the files, or reads the database file, since another WAL may lie
// beside it; and whoever has in memory what nobody else may have any more.
bool Capturer::may_only_pin(const Time& now) const {
  return now.mono_us < in_place_until_us_ && database_->hold() == sqlite::Hold::pin && !pass_ && !is_presumed_ &&
         requests_taken_ == requests_ && !shared_.snapshot_requested &&
         index_.max_frame.value < shared_.options.rollover_frames && !state_->is_behind() &&
         state_->spool().count() == 0;
}

Result<void> Capturer::expect_in_place(const Time& now) {
  if (is_seen_in_place_) return {};
  is_seen_in_place_ = database_->is_in_place();
  if (is_seen_in_place_) {
    in_place_until_us_ = now.mono_us + kInPlace_us;
    return {};
  }
  // The WAL is not looked at once more: whoever has opened another file under this name may write to it by now.
  let_go(sqlite::CloseMode::abandon);
  auto identity = sqlite::identify(shared_.options.database);
  if (!identity) {
    Error error = identity.error().with("the database is gone, with what was committed to it since it was captured "
                                        "last; waiting for it");
    return error.kind() == ErrorKind::not_found ? error.as(ErrorKind::io) : error;
  }
  return Error(ErrorKind::busy, shared_.options.database + " was replaced by another file: reopening");
}

// Under a floor nobody who takes SQLite's locks writes to the file: somebody has copied another one over it, and what
// is committed from then on does not continue what was captured.
bool Capturer::is_written_under_floor() const {
  return file_times_tell_ && database_->hold() == sqlite::Hold::floor && database_->modified_ns() != floor_file_ns_;
}

}  // namespace cairn::replicate
