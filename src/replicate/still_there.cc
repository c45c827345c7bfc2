#include "replicate/still_there.h"

#include "fmt/format.h"
#include "restore/head.h"
#include "segment/keys.h"

namespace cairn::replicate {

Result<void> expect_still_there(Store& store, std::string_view replica, Sequence published) {
  if (!store.capabilities().looking_is_free) return {};
  const std::string newest =
      published.value > 0 ? segment::segment_key(replica, published) : segment::metadata_key(replica);
  const auto there = store.head(newest);
  if (there) return {};
  if (there.error().kind() != ErrorKind::not_found) return there.error().with("look at " + newest);
  // It may have been merged into another object, or a person may have removed what is only a summary.
  const auto head = restore::read_head(store, replica);
  if (head && head->newest == published) return {};
  if (!head && head.error().kind() != ErrorKind::not_found) return head.error();
  return Error(ErrorKind::retry_later,
               fmt::format("{} is not in {} any more, although it was published from here: was something unmounted, "
                           "moved or mounted there? Nothing more is published until it is back; if it is gone for "
                           "good, stop, and run again: that tells what can be done.",
                           newest, store.url()));
}

}  // namespace cairn::replicate
