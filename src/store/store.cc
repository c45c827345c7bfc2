// What every store can do by way of its other calls.
#include "cairn/store.h"

namespace cairn {

Result<std::vector<NotRemoved>> Store::remove_many(std::span<const std::string> keys) {
  std::vector<NotRemoved> left;
  for (const std::string& key : keys) {
    if (auto removed = remove(key); !removed) left.push_back({key, removed.error()});
  }
  return left;
}

}  // namespace cairn
