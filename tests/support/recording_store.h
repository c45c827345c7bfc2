// A store that remembers what it was asked, says what it can do as a test wants it, and fails where a test wants it.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cairn/store.h"
#include "store/operation.h"

namespace cairn::testing {

class RecordingStore final : public Store {
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
  Result<std::string> put_new(std::string_view key, const Source& body) override {
    return run({Operation::put_new, std::string(key), 0, body.size_bytes()},
               [&] { return inner_.put_new(key, body); });
  }
  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override {
    return run({Operation::put_if, std::string(key), 0, body.size_bytes()},
               [&] { return inner_.put_if(key, body, etag); });
  }
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    return run({Operation::get, std::string(key)}, [&] { return inner_.get(key, offset, length); });
  }
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    return run({Operation::get_suffix, std::string(key)}, [&] { return inner_.get_suffix(key, length); });
  }
  Result<ObjectInfo> head(std::string_view key) override {
    return run({Operation::head, std::string(key)}, [&] { return inner_.head(key); });
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    return run({Operation::list, std::string(prefix)}, [&] { return inner_.list(prefix, start_after, limit); });
  }
  Result<void> remove(std::string_view key) override {
    return run({Operation::remove, std::string(key)}, [&] { return inner_.remove(key); });
  }
  Result<std::string> begin_upload(std::string_view key) override {
    return run({Operation::begin_upload, std::string(key)}, [&] { return inner_.begin_upload(key); });
  }
  Result<PartInfo> put_part(std::string_view key, std::string_view id, int number, const Source& body) override {
    return run({Operation::put_part, std::string(key), number, body.size_bytes()},
               [&] { return inner_.put_part(key, id, number, body); });
  }
  Result<PartInfo> copy_part(std::string_view key, std::string_view id, int number, std::string_view source,
                             std::uint64_t offset, std::uint64_t length) override {
    return run({Operation::copy_part, std::string(key), number},
               [&] { return inner_.copy_part(key, id, number, source, offset, length); });
  }
  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view id) override {
    return run({Operation::list_parts, std::string(key)}, [&] { return inner_.list_parts(key, id); });
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
  Result<void> abort_upload(std::string_view key, std::string_view id) override {
    return run({Operation::abort_upload, std::string(key)}, [&] { return inner_.abort_upload(key, id); });
  }
  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override {
    return run({Operation::list_uploads, std::string(prefix)}, [&] { return inner_.list_uploads(prefix); });
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
