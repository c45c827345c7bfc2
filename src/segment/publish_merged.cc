#include "segment/publish_merged.h"

#include <fmt/format.h>

#include "segment/keys.h"
#include "segment/reader.h"
#include "store/what_lies_there.h"

namespace cairn::segment {
namespace {

constexpr int kTries = 3;

// Of the same history, from the same state to the same state.
Result<void> check_same_states(const std::string& key, const Footer& there, const Footer& mine) {
  if (there.lineage != mine.lineage) {
    return Error(ErrorKind::conflict,
                 fmt::format("{} belongs to another history (lineage {}) than what was merged ({}): it was not "
                             "replaced. 'cairn verify' tells what else does",
                             key, there.lineage.hex(), mine.lineage.hex()));
  }
  const bool same = there.first == mine.first && there.last == mine.last && there.page_size == mine.page_size &&
                    there.hash_before == mine.hash_before && there.hash_after() == mine.hash_after() &&
                    there.page_count() == mine.page_count();
  if (same) return {};
  return Error(ErrorKind::conflict,
               fmt::format("{} leads to another state than the objects that it stands for: one of them is not what was "
                           "published. It was not replaced; 'cairn verify' finds which",
                           key));
}

Result<PublishedMerge> read_back(Store& store, PublishedMerge merge, const Footer& mine) {
  CAIRN_ASSIGN(const auto reader, ObjectReader::open(store, merge.key));
  merge.footer = reader->footer();
  merge.size_bytes = reader->object_size_bytes();
  CAIRN_TRY(check_same_states(merge.key, merge.footer, mine));
  return merge;
}

}  // namespace

Result<PublishedMerge> publish_merged(Store& store, std::string_view replica, int level, const Footer& footer,
                                      const Source& object) {
  const std::string key = merged_key(replica, level, footer.first, footer.last);
  for (int i = 0; i < kTries; ++i) {
    const auto put = store.put_new(key, object);
    if (put) return read_back(store, {key, Outcome::put, {}, 0}, footer);
    const ErrorKind kind = put.error().kind();
    if (kind != ErrorKind::conflict && kind != ErrorKind::maybe_done) return put.error().with("publish " + key);
    CAIRN_ASSIGN(const Lies lies, what_lies_there(store, key, object));
    if (lies == Lies::absent) continue;
    return read_back(store, {key, lies == Lies::same ? Outcome::there : Outcome::other_form, {}, 0}, footer);
  }
  return Error(ErrorKind::retry_later, fmt::format("{} was put and is not there: try again later", key));
}

}  // namespace cairn::segment
