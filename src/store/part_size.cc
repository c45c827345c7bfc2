#include "store/part_size.h"

#include <algorithm>
#include <string>

#include "base/bytes.h"

namespace cairn {

Result<int> most_parts(Store& store, std::string_view key) {
  const int most = store.capabilities().max_parts;
  if (most <= kPartsThatAllTake) return most;
  CAIRN_ASSIGN(const std::string id, store.begin_upload(key));
  const auto last = store.put_part(key, id, most, BytesSource(as_bytes("x")));
  (void)store.abort_upload(key, id);
  if (last) return most;
  switch (last.error().kind()) {
    case ErrorKind::invalid:
    case ErrorKind::unsupported: return std::min(kPartsThatAllTake, store.capabilities().max_parts);
    case ErrorKind::not_found: return last.error().as(ErrorKind::retry_later);  // it expired just now
    default: return last.error();
  }
}

}  // namespace cairn
