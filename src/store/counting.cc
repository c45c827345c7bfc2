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

template <class T>
Result<T> CountingStore::counted(Operation operation, std::uint64_t sent_bytes, Result<T> result) {
  MutexLock lock(mutex_);
  OperationCount& count = counts_.by_operation[static_cast<std::size_t>(operation)];
  ++count.calls;
  count.errors += result ? 0 : 1;
  count.sent_bytes += sent_bytes;
  return result;
}

Result<Object> CountingStore::counted_get(Operation operation, Result<Object> result) {
  const std::uint64_t received_bytes = result ? result->bytes.size() : 0;
  auto counted_result = counted(operation, 0, std::move(result));
  MutexLock lock(mutex_);
  counts_.by_operation[static_cast<std::size_t>(operation)].received_bytes += received_bytes;
  return counted_result;
}

Result<std::string> CountingStore::put_new(std::string_view key, const Source& body) {
  return counted(Operation::put_new, body.size_bytes(), inner_.put_new(key, body));
}

Result<std::string> CountingStore::put_if(std::string_view key, const Source& body, std::string_view etag) {
  return counted(Operation::put_if, body.size_bytes(), inner_.put_if(key, body, etag));
}

Result<Object> CountingStore::get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) {
  return counted_get(Operation::get, inner_.get(key, offset, length));
}

Result<Object> CountingStore::get_suffix(std::string_view key, std::uint64_t length) {
  return counted_get(Operation::get_suffix, inner_.get_suffix(key, length));
}

Result<ObjectInfo> CountingStore::head(std::string_view key) { return counted(Operation::head, 0, inner_.head(key)); }

Result<ListPage> CountingStore::list(std::string_view prefix, std::string_view start_after, int limit) {
  return counted(Operation::list, 0, inner_.list(prefix, start_after, limit));
}

Result<void> CountingStore::remove(std::string_view key) { return counted(Operation::remove, 0, inner_.remove(key)); }

Result<std::vector<NotRemoved>> CountingStore::remove_many(std::span<const std::string> keys) {
  return counted(Operation::remove_many, 0, inner_.remove_many(keys));
}

Result<std::string> CountingStore::begin_upload(std::string_view key) {
  return counted(Operation::begin_upload, 0, inner_.begin_upload(key));
}

Result<PartInfo> CountingStore::put_part(std::string_view key, std::string_view upload_id, int number,
                                         const Source& body) {
  return counted(Operation::put_part, body.size_bytes(), inner_.put_part(key, upload_id, number, body));
}

Result<PartInfo> CountingStore::copy_part(std::string_view key, std::string_view upload_id, int number,
                                          std::string_view source_key, std::uint64_t offset, std::uint64_t length) {
  return counted(Operation::copy_part, 0, inner_.copy_part(key, upload_id, number, source_key, offset, length));
}

Result<std::vector<PartInfo>> CountingStore::list_parts(std::string_view key, std::string_view upload_id) {
  return counted(Operation::list_parts, 0, inner_.list_parts(key, upload_id));
}

Result<std::string> CountingStore::complete_new(std::string_view key, std::string_view upload_id,
                                                std::span<const PartInfo> parts) {
  return counted(Operation::complete_new, 0, inner_.complete_new(key, upload_id, parts));
}

Result<void> CountingStore::abort_upload(std::string_view key, std::string_view upload_id) {
  return counted(Operation::abort_upload, 0, inner_.abort_upload(key, upload_id));
}

Result<std::vector<UploadInfo>> CountingStore::list_uploads(std::string_view prefix) {
  return counted(Operation::list_uploads, 0, inner_.list_uploads(prefix));
}

}  // namespace cairn
