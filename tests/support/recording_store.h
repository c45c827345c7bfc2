// A store that remembers what it was asked, says what it can do as a test wants it, and fails where a test wants it.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/around.h"

namespace cairn::testing {

class RecordingStore final : public StoreAround<RecordingStore> {
 public:
  struct Call {
    Operation operation;
    std::string key;
    int part = 0;
    std::uint64_t sent_bytes = 0;
    bool succeeded = false;
  };

  explicit RecordingStore(Store& inner) : name(inner.url()), can(inner.capabilities()), inner_(inner) {}

  std::string name;
  StoreCapabilities can;
  // Asked before each call, from any thread; an error is the answer.
  std::function<std::optional<Error>(const Call&)> before;
  // Asked after a call that succeeded; an error is the answer although the effect is there.
  std::function<std::optional<Error>(const Call&)> after;

  std::vector<Call> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  void forget_calls() {
    std::lock_guard lock(mutex_);
    calls_.clear();
  }
  std::size_t count(Operation operation) const {
    std::size_t found = 0;
    for (const Call& call : calls()) found += call.operation == operation ? 1 : 0;
    return found;
  }
  std::uint64_t sent_bytes() const {
    std::uint64_t bytes = 0;
    for (const Call& call : calls()) bytes += call.sent_bytes;
    return bytes;
  }

  std::string url() const override { return name; }
  StoreCapabilities capabilities() const override { return can; }
  Store& inner() const { return inner_; }
  template <class Function>
  auto around(const StoreCall& about, const Function& function) -> decltype(function()) {
    return run({about.operation, std::string(about.key), about.part, about.sent_bytes}, function);
  }
  // Each is a call of its own.
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override {
    return Store::remove_many(keys);
  }
  // As a store without late names answers, where it has none.
  Result<std::string> complete_new(std::string_view key, std::string_view id,
                                   std::span<const PartInfo> parts) override {
    return run({Operation::complete_new, std::string(key)}, [&]() -> Result<std::string> {
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        if (parts[i].size_bytes < can.min_part_bytes) return Error(ErrorKind::invalid, "a part is too small");
      }
      if (!can.late_names && !inner_.list_parts(key, id)) return Error(ErrorKind::not_found, "no such upload");
      return inner_.complete_new(key, id, parts);
    });
  }

 private:
  template <class Function>
  auto run(Call call, const Function& function) -> decltype(function()) {
    if (before) {
      if (auto error = before(call)) {
        note(call);
        return *error;
      }
    }
    auto result = function();
    call.succeeded = result.has_value();
    note(call);
    if (result && after) {
      if (auto error = after(call)) return *error;
    }
    return result;
  }
  void note(const Call& call) {
    std::lock_guard lock(mutex_);
    calls_.push_back(call);
  }

  Store& inner_;
  mutable std::mutex mutex_;
  std::vector<Call> calls_;
};

}  // namespace cairn::testing
