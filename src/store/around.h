// A store around another one: each call goes through one function of the derived class, which makes it, or not.
//
//   class SlowStore final : public StoreAround<SlowStore> {
//    public:
//     Store& inner() const { return inner_; }
//     template <class Call>
//     auto around(const StoreCall&, const Call& call) -> decltype(call()) {
//       wait();
//       return call();
//     }
//
// What it does otherwise for some call, it overrides.
#pragma once

#include <cstdint>
#include <string_view>

#include "cairn/store.h"
#include "store/operation.h"

namespace cairn {

// What a call is about.
struct StoreCall {
  Operation operation;
  std::string_view key;  // or prefix; of several keys, the first
  int part = 0;
  std::uint64_t sent_bytes = 0;
};

template <class Derived>
class StoreAround : public Store {
 public:
  std::string url() const override { return self().inner().url(); }
  StoreCapabilities capabilities() const override { return self().inner().capabilities(); }
  StoreStatus status() const override { return self().inner().status(); }

  Result<std::string> put_new(std::string_view key, const Source& body) override {
    return self().around({Operation::put_new, key, 0, body.size_bytes()}, [&] { return inner().put_new(key, body); });
  }
  Result<std::string> put_new_beside(std::string_view key, const Source& body, const Beside& beside) override {
    return self().around({Operation::put_new, key, 0, body.size_bytes()},
                         [&] { return inner().put_new_beside(key, body, beside); });
  }
  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override {
    return self().around({Operation::put_if, key, 0, body.size_bytes()},
                         [&] { return inner().put_if(key, body, etag); });
  }
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    return self().around({Operation::get, key}, [&] { return inner().get(key, offset, length); });
  }
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    return self().around({Operation::get_suffix, key}, [&] { return inner().get_suffix(key, length); });
  }
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override {
    return self().around({Operation::get, key}, [&] { return inner().read(key, offset, length, take); });
  }
  Result<ObjectInfo> head(std::string_view key) override {
    return self().around({Operation::head, key}, [&] { return inner().head(key); });
  }
  Result<ObjectInfo> look(std::string_view key) override {
    return self().around({Operation::head, key}, [&] { return inner().look(key); });
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    return self().around({Operation::list, prefix}, [&] { return inner().list(prefix, start_after, limit); });
  }
  Result<void> remove(std::string_view key) override {
    return self().around({Operation::remove, key}, [&] { return inner().remove(key); });
  }
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override {
    const std::string_view first = keys.empty() ? std::string_view() : std::string_view(keys.front());
    return self().around({Operation::remove_many, first}, [&] { return inner().remove_many(keys); });
  }
  Result<std::string> begin_upload(std::string_view key) override {
    return self().around({Operation::begin_upload, key}, [&] { return inner().begin_upload(key); });
  }
  Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number,
                            const Source& body) override {
    return self().around({Operation::put_part, key, number, body.size_bytes()},
                         [&] { return inner().put_part(key, upload_id, number, body); });
  }
  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number,
                             std::string_view source_key, std::uint64_t offset, std::uint64_t length) override {
    return self().around({Operation::copy_part, key, number},
                         [&] { return inner().copy_part(key, upload_id, number, source_key, offset, length); });
  }
  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view upload_id) override {
    return self().around({Operation::list_parts, key}, [&] { return inner().list_parts(key, upload_id); });
  }
  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override {
    return self().around({Operation::complete_new, key}, [&] { return inner().complete_new(key, upload_id, parts); });
  }
  Result<void> abort_upload(std::string_view key, std::string_view upload_id) override {
    return self().around({Operation::abort_upload, key}, [&] { return inner().abort_upload(key, upload_id); });
  }
  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override {
    return self().around({Operation::list_uploads, prefix}, [&] { return inner().list_uploads(prefix); });
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
  const Derived& self() const { return static_cast<const Derived&>(*this); }
  Store& inner() { return self().inner(); }
};

}  // namespace cairn
