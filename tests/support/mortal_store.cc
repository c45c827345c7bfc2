#include "support/mortal_store.h"

namespace cairn::testing {

Result<std::string> MortalStore::put_new(std::string_view key, const Source& body) {
  return while_alive([&] { return inner_.put_new(key, body); });
}
Result<std::string> MortalStore::put_if(std::string_view key, const Source& body, std::string_view etag) {
  return while_alive([&] { return inner_.put_if(key, body, etag); });
}
Result<Object> MortalStore::get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) {
  return while_alive([&] { return inner_.get(key, offset, length); });
}
Result<Object> MortalStore::get_suffix(std::string_view key, std::uint64_t length) {
  return while_alive([&] { return inner_.get_suffix(key, length); });
}
Result<ObjectInfo> MortalStore::head(std::string_view key) {
  return while_alive([&] { return inner_.head(key); });
}
Result<ListPage> MortalStore::list(std::string_view prefix, std::string_view start_after, int limit) {
  return while_alive([&] { return inner_.list(prefix, start_after, limit); });
}
Result<void> MortalStore::remove(std::string_view key) {
  return while_alive([&] { return inner_.remove(key); });
}
Result<std::vector<NotRemoved>> MortalStore::remove_many(std::span<const std::string> keys) {
  return while_alive([&] { return inner_.remove_many(keys); });
}
Result<std::string> MortalStore::begin_upload(std::string_view key) {
  return while_alive([&] { return inner_.begin_upload(key); });
}
Result<PartInfo> MortalStore::put_part(std::string_view key, std::string_view upload_id, int number,
                                       const Source& body) {
  return while_alive([&] { return inner_.put_part(key, upload_id, number, body); });
}
Result<PartInfo> MortalStore::copy_part(std::string_view key, std::string_view upload_id, int number,
                                        std::string_view source_key, std::uint64_t offset, std::uint64_t length) {
  return while_alive([&] { return inner_.copy_part(key, upload_id, number, source_key, offset, length); });
}
Result<std::vector<PartInfo>> MortalStore::list_parts(std::string_view key, std::string_view upload_id) {
  return while_alive([&] { return inner_.list_parts(key, upload_id); });
}
Result<std::string> MortalStore::complete_new(std::string_view key, std::string_view upload_id,
                                              std::span<const PartInfo> parts) {
  return while_alive([&] { return inner_.complete_new(key, upload_id, parts); });
}
Result<void> MortalStore::abort_upload(std::string_view key, std::string_view upload_id) {
  return while_alive([&] { return inner_.abort_upload(key, upload_id); });
}
Result<std::vector<UploadInfo>> MortalStore::list_uploads(std::string_view prefix) {
  return while_alive([&] { return inner_.list_uploads(prefix); });
}

}  // namespace cairn::testing
