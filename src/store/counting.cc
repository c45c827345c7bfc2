#include "store/counting.h"

#include <utility>

namespace cairn {

OperationCount StoreCounts::total() const {
  OperationCount total;
  for (const OperationCount& count : by_operation) {
    total.calls += count.calls;
    total.errors += count.errors;
    total.sent_bytes += count.sent_bytes;
    total.received_bytes += count.received_bytes;
  }
  return total;
}

StoreCounts CountingStore::counts() const {
  MutexLock lock(mutex_);
  return counts_;
}

void CountingStore::reset() {
  MutexLock lock(mutex_);
  counts_ = StoreCounts{};
}

Result<ObjectInfo> CountingStore::read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                                       const TakePiece& take) {
  std::uint64_t received_bytes = 0;
  auto read = inner_.read(key, offset, length, [&](const ObjectInfo& whole, ByteView piece) {
    received_bytes += piece.size();
    return take(whole, piece);
  });
  count({Operation::get, key}, read.has_value(), read ? received_bytes : 0);
  return read;
}

void CountingStore::count(const StoreCall& about, bool succeeded, std::uint64_t received_bytes) {
  MutexLock lock(mutex_);
  OperationCount& count = counts_.by_operation[static_cast<std::size_t>(about.operation)];
  ++count.calls;
  count.errors += succeeded ? 0 : 1;
  count.sent_bytes += about.sent_bytes;
  count.received_bytes += received_bytes;
}

}  // namespace cairn
