// The part of capture in going to rest: the WAL is folded into the database file, so that the file alone is the
// state, and what the file system says of both files is noted, under the hold that keeps everybody from changing the
// file.
#include "replicate/capturer.h"

namespace cairn::replicate {

// Of the files as they are: anything that is not as it should be for a rest says no.
bool Capturer::is_all_captured_and_still() {
  if (!database_ || !state_ || pass_ || is_presumed_ || seeks_gate_ || restart_wait_until_us_ >= 0) return false;
  if (database_->hold() == sqlite::Hold::none || database_->is_aside()) return false;
  if (sync_due_us_ >= 0 || !capture_trouble_.empty()) return false;
  const auto index = database_->look();
  return index && !state_->is_behind() && state_->is_all_of(*index) && database_->is_in_place();
}

void Capturer::note_files(const Time& now) {
  const FilesMark files = mark_files(shared_.options.database);
  if (files_since_us_ >= 0 && files == files_) return;
  files_ = files;
  files_since_us_ = now.mono_us;
}

// With a pin what is committed last is in the WAL alone, which whoever closes the database may fold into the file:
// so it is done here, unless a reader is in the way.
bool Capturer::may_rest(const Time& now) {
  if (!is_all_captured_and_still()) {
    files_since_us_ = -1;
    return false;
  }
  if (database_->hold() == sqlite::Hold::pin && database_->access() == sqlite::Access::read_write) {
    const auto rolled = roll_over_quietly(now);
    let_others_checkpoint();
    if (!rolled) return false;  // the next step meets the same trouble, and tells of it
  }
  note_files(now);
  return now.mono_us - files_since_us_ >= kMarkStands_us;
}

std::optional<RestMark> Capturer::rest_mark(const Time& now) {
  const Id128 boot = boot_of(shared_.options);
  if (boot.is_zero() || !is_all_captured_and_still()) return std::nullopt;
  note_files(now);
  if (now.mono_us - files_since_us_ < kMarkStands_us || files_.database.is_empty()) return std::nullopt;
  RestMark mark;
  mark.files = files_;
  mark.boot = boot;
  mark.wall_less_mono_ms = wall_less_mono_ms(now);
  mark.whole_in_file = database_->hold() == sqlite::Hold::floor;
  return mark;
}

}  // namespace cairn::replicate
