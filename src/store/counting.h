// A store that counts the requests made through it, and their bytes: what an idle database costs, and a busy one.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "base/mutex.h"
#include "cairn/store.h"
#include "store/around.h"
#include "store/operation.h"

namespace cairn {

struct OperationCount {
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;          // of the calls
  std::uint64_t sent_bytes = 0;      // bodies of puts and parts, whether they arrived or not
  std::uint64_t received_bytes = 0;  // of gets that succeeded
};

struct StoreCounts {
  std::array<OperationCount, kOperationCount> by_operation;

  const OperationCount& of(Operation operation) const { return by_operation[static_cast<std::size_t>(operation)]; }
  OperationCount total() const;
};

class CountingStore : public StoreAround<CountingStore> {
 public:
  // `inner` must outlive it.
  explicit CountingStore(Store& inner) : inner_(inner) {}

  StoreCounts counts() const EXCLUDES(mutex_);
  void reset() EXCLUDES(mutex_);

  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall& about, const Call& call) -> decltype(call()) {
    auto result = call();
    std::uint64_t received_bytes = 0;
    if constexpr (std::is_same_v<decltype(result), Result<Object>>) received_bytes = result ? result->bytes.size() : 0;
    count(about, result.has_value(), received_bytes);
    return result;
  }
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override;

 private:
  void count(const StoreCall& about, bool succeeded, std::uint64_t received_bytes) EXCLUDES(mutex_);

  Store& inner_;
  mutable Mutex mutex_;
  StoreCounts counts_ GUARDED_BY(mutex_);
};

}  // namespace cairn
