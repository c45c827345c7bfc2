#include "cli/remembering_store.h"

#include <algorithm>

namespace cairn::cli {

namespace {

// Enough for what parallel requests fail with at once; the error that ends a command is among the last.
constexpr std::size_t kRemembered = 64;

}  // namespace

Origin RememberingStore::origin_of(const Error& error) const {
  switch (error.kind()) {
    case ErrorKind::retry_later:
    case ErrorKind::maybe_done: return Origin::store;
    case ErrorKind::unsupported:
    case ErrorKind::denied:
    case ErrorKind::io: break;
    default: return Origin::local;  // the exit status does not depend on it
  }
  return has_said(error) ? Origin::store : Origin::local;
}

bool RememberingStore::has_said(const Error& error) const {
  MutexLock lock(mutex_);
  return std::any_of(messages_.begin(), messages_.end(),
                     [&](const std::string& message) { return error.message().ends_with(message); });
}

void RememberingStore::remember(const Error& error) {
  MutexLock lock(mutex_);
  const auto known = std::find(messages_.begin(), messages_.end(), error.message());
  if (known != messages_.end()) messages_.erase(known);
  messages_.push_back(error.message());
  if (messages_.size() > kRemembered) messages_.pop_front();
}

Result<std::string> RememberingStore::put_new(std::string_view key, const Source& body) {
  return note(inner_->put_new(key, body));
}
Result<std::string> RememberingStore::put_if(std::string_view key, const Source& body, std::string_view etag) {
  return note(inner_->put_if(key, body, etag));
}
Result<Object> RememberingStore::get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) {
  return note(inner_->get(key, offset, length));
}
Result<Object> RememberingStore::get_suffix(std::string_view key, std::uint64_t length) {
  return note(inner_->get_suffix(key, length));
}
Result<ObjectInfo> RememberingStore::head(std::string_view key) { return note(inner_->head(key)); }
Result<ListPage> RememberingStore::list(std::string_view prefix, std::string_view start_after, int limit) {
  return note(inner_->list(prefix, start_after, limit));
}
Result<void> RememberingStore::remove(std::string_view key) { return note(inner_->remove(key)); }
Result<std::vector<NotRemoved>> RememberingStore::remove_many(std::span<const std::string> keys) {
  auto left = note(inner_->remove_many(keys));
  if (left) {
    for (const NotRemoved& one : *left) remember(one.error);
  }
  return left;
}
Result<std::string> RememberingStore::begin_upload(std::string_view key) { return note(inner_->begin_upload(key)); }
Result<PartInfo> RememberingStore::put_part(std::string_view key, std::string_view upload_id, int number,
                                            const Source& body) {
  return note(inner_->put_part(key, upload_id, number, body));
}
Result<PartInfo> RememberingStore::copy_part(std::string_view key, std::string_view upload_id, int number,
                                             std::string_view source_key, std::uint64_t offset, std::uint64_t length) {
  return note(inner_->copy_part(key, upload_id, number, source_key, offset, length));
}
Result<std::vector<PartInfo>> RememberingStore::list_parts(std::string_view key, std::string_view upload_id) {
  return note(inner_->list_parts(key, upload_id));
}
Result<std::string> RememberingStore::complete_new(std::string_view key, std::string_view upload_id,
                                                   std::span<const PartInfo> parts) {
  return note(inner_->complete_new(key, upload_id, parts));
}
Result<void> RememberingStore::abort_upload(std::string_view key, std::string_view upload_id) {
  return note(inner_->abort_upload(key, upload_id));
}
Result<std::vector<UploadInfo>> RememberingStore::list_uploads(std::string_view prefix) {
  return note(inner_->list_uploads(prefix));
}

}  // namespace cairn::cli
