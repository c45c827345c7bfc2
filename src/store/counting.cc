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

void CountingStore::count(const StoreCall& about, bool succeeded, std::uint64_t received_bytes) {
  MutexLock lock(mutex_);
  OperationCount& count = counts_.by_operation[static_cast<std::size_t>(about.operation)];
  ++count.calls;
  count.errors += succeeded ? 0 : 1;
  count.sent_bytes += about.sent_bytes;
  count.received_bytes += received_bytes;
}

}  // namespace cairn
