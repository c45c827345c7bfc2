// A store in which, before one of its requests, something else happens: what a second process does, at every
// moment that it can come at.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "cairn/store.h"

namespace cairn::testing {

class InterruptedStore final : public Store {
 public:
  InterruptedStore(Store& inner, std::uint64_t at, std::function<void()> happens)
      : inner_(inner), at_(at), happens_(std::move(happens)) {}
  bool has_happened() const { return calls_ > at_; }

  std::string url() const override { return inner_.url(); }
  StoreCapabilities capabilities() const override { return inner_.capabilities(); }
  Result<std::string> put_new(std::string_view key, const Source& body) override {
    return tick().put_new(key, body);
  }
  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override {
    return tick().put_if(key, body, etag);
  }
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    return tick().get(key, offset, length);
  }
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    return tick().get_suffix(key, length);
  }
  Result<ObjectInfo> head(std::string_view key) override { return tick().head(key); }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    return tick().list(prefix, start_after, limit);
  }
  Result<void> remove(std::string_view key) override { return tick().remove(key); }
  Result<std::string> begin_upload(std::string_view key) override { return tick().begin_upload(key); }
  Result<PartInfo> put_part(std::string_view key, std::string_view id, int number, const Source& body) override {
    return tick().put_part(key, id, number, body);
  }
  Result<PartInfo> copy_part(std::string_view key, std::string_view id, int number, std::string_view source,
                             std::uint64_t offset, std::uint64_t length) override {
    return tick().copy_part(key, id, number, source, offset, length);
  }
  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view id) override {
    return tick().list_parts(key, id);
  }
  Result<std::string> complete_new(std::string_view key, std::string_view id,
                                   std::span<const PartInfo> parts) override {
    return tick().complete_new(key, id, parts);
  }
  Result<void> abort_upload(std::string_view key, std::string_view id) override { return tick().abort_upload(key, id); }
  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override { return tick().list_uploads(prefix); }

 private:
  Store& tick() {
    if (calls_++ == at_) happens_();
    return inner_;
  }

  Store& inner_;
  const std::uint64_t at_;
  const std::function<void()> happens_;
  std::atomic<std::uint64_t> calls_ = 0;  // threads may share it
};

}  // namespace cairn::testing
