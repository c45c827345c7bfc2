#include "restore/replica.h"

#include "restore/metadata.h"

namespace cairn::restore {

std::string location(const Store& store, std::string_view replica) {
  std::string url = store.url();
  if (!replica.empty()) {
    if (url.empty() || url.back() != '/') url += '/';
    url += replica;
  }
  return url;
}

Result<std::optional<Id128>> claimed_lineage(Store& store, std::string_view replica) {
  auto metadata = read_metadata(store, replica);
  if (metadata) return std::optional<Id128>(metadata->lineage);
  const ErrorKind kind = metadata.error().kind();
  if (kind == ErrorKind::not_found || kind == ErrorKind::corrupt) return std::optional<Id128>();
  return metadata.error();
}

}  // namespace cairn::restore
