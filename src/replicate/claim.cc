#include "replicate/claim.h"

#include "base/bytes.h"
#include "segment/keys.h"

namespace cairn::replicate {

Result<std::optional<Claim>> read_claim(Store& store, std::string_view replica) {
  auto claim = restore::read_metadata(store, replica);
  if (!claim && claim.error().kind() == ErrorKind::not_found) return std::optional<Claim>();
  if (!claim) return claim.error();
  return std::optional(std::move(*claim));
}

Result<void> create_claim(Store& store, std::string_view replica, const Claim& claim) {
  const std::string text = restore::metadata_json(claim);
  auto put = store.put_new(segment::metadata_key(replica), BytesSource(as_bytes(text)));
  if (!put) return put.error();
  return {};
}

Result<void> update_claim(Store& store, std::string_view replica, const Id128& lineage,
                          const std::function<void(Claim&)>& change) {
  CAIRN_ASSIGN(auto claim, read_claim(store, replica));
  if (!claim) return Error(ErrorKind::not_found, segment::metadata_key(replica) + " is gone");
  if (claim->lineage != lineage) {
    return Error(ErrorKind::conflict, segment::metadata_key(replica) + " is of another lineage");
  }
  change(*claim);
  const std::string text = restore::metadata_json(*claim);
  auto put = store.put_if(segment::metadata_key(replica), BytesSource(as_bytes(text)), claim->etag);
  if (!put) return put.error();
  return {};
}

}  // namespace cairn::replicate
