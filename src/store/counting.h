// A store that counts the requests made through it, and their bytes: what an idle database costs, and a busy one.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/mutex.h"
#include "cairn/store.h"
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

class CountingStore : public Store {
 public:
  // `inner` must outlive it.
  explicit CountingStore(Store& inner) : inner_(inner) {}

  StoreCounts counts() const EXCLUDES(mutex_);
  void reset() EXCLUDES(mutex_);

  std::string url() const override { return inner_.url(); }
  StoreCapabilities capabilities() const override { return inner_.capabilities(); }
  StoreStatus status() const override { return inner_.status(); }
  Result<std::string> put_new(std::string_view key, const Source& body) override;
  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override;
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override;
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override;
  Result<ObjectInfo> head(std::string_view key) override;
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override;
  Result<void> remove(std::string_view key) override;
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override;
  Result<std::string> begin_upload(std::string_view key) override;
  Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number,
                            const Source& body) override;
  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number,
                             std::string_view source_key, std::uint64_t offset, std::uint64_t length) override;
  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view upload_id) override;
  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override;
  Result<void> abort_upload(std::string_view key, std::string_view upload_id) override;
  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override;

 private:
  template <class T>
  Result<T> counted(Operation operation, std::uint64_t sent_bytes, Result<T> result) EXCLUDES(mutex_);
  Result<Object> counted_get(Operation operation, Result<Object> result) EXCLUDES(mutex_);

  Store& inner_;
  mutable Mutex mutex_;
  StoreCounts counts_ GUARDED_BY(mutex_);
};

}  // namespace cairn
