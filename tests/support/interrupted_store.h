// A store in which, before one of its requests, something else happens: what a second process does, at every
// moment that it can come at.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "store/around.h"

namespace cairn::testing {

class InterruptedStore final : public StoreAround<InterruptedStore> {
 public:
  InterruptedStore(Store& inner, std::uint64_t at, std::function<void()> happens)
      : inner_(inner), at_(at), happens_(std::move(happens)) {}
  bool has_happened() const { return calls_ > at_; }

  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    if (calls_++ == at_) happens_();
    return call();
  }
  // One by one: so it happens between any two.
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override {
    return Store::remove_many(keys);
  }

 private:
  Store& inner_;
  const std::uint64_t at_;
  const std::function<void()> happens_;
  std::atomic<std::uint64_t> calls_ = 0;  // threads may share it
};

}  // namespace cairn::testing
