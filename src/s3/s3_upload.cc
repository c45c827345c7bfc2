// Uploads in parts. An upload carries the token of the call that began it from its very beginning, since completing
// cannot add metadata; so the finished object tells whether it is this upload's, whatever became of the reply to
// complete_new.
//
// An upload that another process began is known by its id only. Then the object's etag has to tell: S3 makes it of
// the parts' etags, so equal ones mean the very same parts.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "s3/answers.h"
#include "s3/checksum.h"
#include "s3/s3_store.h"
#include "s3/xml.h"
#include "store/key.h"
#include "store/part_size.h"
#include "store/range.h"

namespace cairn::s3 {

namespace {

// Amazon takes minutes to complete a large upload, and sends white space meanwhile; others are silent until the end.
constexpr std::int64_t kCompleteStallMs = 300'000;
// The tokens of uploads that are neither completed nor aborted. Beyond that the oldest ids do without.
constexpr std::size_t kMostTokens = 10'000;

Error no_upload(const std::string& name) {
  return Error(ErrorKind::not_found, fmt::format("{}: there is no such upload", name));
}

std::optional<Bytes> from_hex(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  if (text.size() % 2 != 0) return std::nullopt;
  Bytes bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    if (digit(text[i]) < 0 || digit(text[i + 1]) < 0) return std::nullopt;
    bytes.push_back(static_cast<std::byte>(digit(text[i]) * 16 + digit(text[i + 1])));
  }
  return bytes;
}

// "<MD5 of the parts' MD5s>-<their number>"; empty: the parts' etags are no MD5s.
std::string etag_of_parts(std::span<const PartInfo> parts) {
  Bytes all;
  for (const PartInfo& part : parts) {
    const auto digest = from_hex(part.etag);
    if (!digest || digest->size() != Md5Digest().size()) return {};
    all.insert(all.end(), digest->begin(), digest->end());
  }
  return fmt::format("{}-{}", hex(md5(all)), parts.size());
}

}  // namespace

// No server has to be asked about an id that cannot be one of its own.
Result<void> S3Store::check_upload_id(std::string_view key, std::string_view upload_id) {
  const bool good =
      !upload_id.empty() && upload_id.size() <= 4096 &&
      std::none_of(upload_id.begin(), upload_id.end(), [](char c) { return static_cast<unsigned char>(c) <= 0x20; });
  if (good) return {};
  return no_upload(std::string(key));
}

Result<std::string> S3Store::begin_upload(std::string_view key) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  CAIRN_TRY(ready_to_write());
  const std::string token = new_token();
  CAIRN_ASSIGN(std::string id, begin_upload_at(full_key(key), token));
  MutexLock lock(uploads_mutex_);
  if (tokens_.size() < kMostTokens) tokens_.emplace(id, token);
  return id;
}

Result<std::string> S3Store::begin_upload_at(const std::string& full, const std::string& token) {
  const BytesSource nothing{ByteView()};
  Call call = put_call(full, nothing, token);
  call.method = "POST";
  call.body = nullptr;
  call.query = {{"uploads", ""}};
  for (;;) {
    const BodyChecksum checksum = dialect_.now().checksum;
    const bool with_checksum = client_.transport() == Transport::tls && checksum == BodyChecksum::crc64nvme;
    Call sent = call;
    if (with_checksum) {
      sent.headers.emplace_back("x-amz-checksum-algorithm", "CRC64NVME");
      sent.headers.emplace_back("x-amz-checksum-type", "FULL_OBJECT");
    }
    auto response = client_.send(sent);
    if (!response) return response.error();
    if (is_success(*response)) {
      if (!response->whole) return Error(ErrorKind::maybe_done, client_.name_of(full) + ": the answer broke off");
      bucket_seen_ = true;
      return parse_upload_id(response->body);
    }
    if (!with_checksum || !refuses_checksum(*response)) return client_.error_of(*response, sent);
    dialect_.learn(&Dialect::checksum, BodyChecksum::crc32c);
  }
}

Result<PartInfo> S3Store::put_part(std::string_view key, std::string_view upload_id, int number, const Source& body) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  CAIRN_TRY(check_part_number(number));
  CAIRN_TRY(check_upload_id(key, upload_id));
  return put_part_at(full_key(key), upload_id, number, body);
}

Result<PartInfo> S3Store::put_part_at(const std::string& full, std::string_view upload_id, int number,
                                      const Source& body) {
  Call call;
  call.action = Action::write;
  call.method = "PUT";
  call.key = full;
  call.query = {{"partNumber", std::to_string(number)}, {"uploadId", std::string(upload_id)}};
  call.headers = client_.settings().object_bytes;
  call.body = &body;
  CAIRN_ASSIGN(const HttpResponse response, send_body(call, Checksums::crc64nvme_only));
  if (!is_success(response)) {
    Error error = client_.error_of(response, call);
    // Whatever its own limit is: that many it takes.
    if (number > kPartsThatAllTake && error.kind() == ErrorKind::invalid) {
      dialect_.learn(&Dialect::max_parts, kPartsThatAllTake);
    }
    return error;
  }
  std::string etag = etag_of(response);
  if (etag.empty())
    return Error(ErrorKind::corrupt, fmt::format("{}: a part was stored without an ETag", client_.name_of(full)));
  return PartInfo{number, std::move(etag), body.size_bytes()};
}

Result<PartInfo> S3Store::copy_part(std::string_view key, std::string_view upload_id, int number,
                                    std::string_view source_key, std::uint64_t offset, std::uint64_t length) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  CAIRN_TRY(check_key(source_key));
  CAIRN_TRY(check_length(source_key));
  CAIRN_TRY(check_part_number(number));
  CAIRN_TRY(check_upload_id(key, upload_id));
  // Servers differ in what they make of a range that is not there: some copy what there is.
  CAIRN_ASSIGN(const ObjectInfo source, head(source_key));
  CAIRN_TRY(check_copied_range(source_key, source.size_bytes, offset, length));
  Call call;
  call.action = Action::write;
  call.method = "PUT";
  call.key = full_key(key);
  call.query = {{"partNumber", std::to_string(number)}, {"uploadId", std::string(upload_id)}};
  const Settings& settings = client_.settings();
  call.headers = settings.object_bytes;
  call.headers.insert(call.headers.end(), settings.copied_object.begin(), settings.copied_object.end());
  call.headers.emplace_back("x-amz-copy-source",
                            percent_encode("/" + settings.location.bucket + "/" + full_key(source_key), Slash::keep));
  call.headers.emplace_back("x-amz-copy-source-range", range_value(offset, offset + length - 1));
  CAIRN_ASSIGN(const HttpResponse response, client_.send(call));
  const bool begun = is_success(response);
  if (begun && !response.whole) {
    return Error(ErrorKind::maybe_done, fmt::format("{}: the answer to a copy broke off", client_.name_of(call.key)));
  }
  if (begun && !refusal_of(response).has_document) {
    CAIRN_ASSIGN(std::string etag, parse_etag_of_copy(response.body));
    return PartInfo{number, std::move(etag), length};
  }
  Error error = client_.error_of(response, call);
  if (error.kind() == ErrorKind::unsupported) dialect_.learn(&Dialect::copies_parts, false);
  return error;
}

Result<std::string> S3Store::complete_new(std::string_view key, std::string_view upload_id,
                                          std::span<const PartInfo> parts) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  CAIRN_TRY(check_upload_id(key, upload_id));
  CAIRN_TRY(check_parts_order(key, parts));
  CAIRN_TRY(ready_to_write());
  CAIRN_TRY(learn_complete());
  const bool honoured = dialect_.now().complete == Condition::honoured;
  auto etag =
      honoured ? complete_at(full_key(key), upload_id, parts) : complete_under_claim(full_key(key), upload_id, parts);
  if (etag) forget(upload_id);
  return etag;
}

Result<HttpResponse> S3Store::send_complete(const std::string& full, std::string_view upload_id,
                                            std::span<const PartInfo> parts) {
  const std::string document = complete_document(parts);
  const BytesSource body(as_bytes(document));
  Call call;
  call.action = Action::write;
  call.method = "POST";
  call.key = full;
  call.query = {{"uploadId", std::string(upload_id)}};
  call.headers = client_.settings().object_bytes;
  call.headers.emplace_back("Content-Type", "application/xml");
  if (dialect_.now().complete != Condition::refused) call.headers.emplace_back("If-None-Match", "*");
  call.body = &body;
  call.stall_ms = kCompleteStallMs;
  return client_.send(call);
}

Result<std::string> S3Store::complete_at(const std::string& full, std::string_view upload_id,
                                         std::span<const PartInfo> parts) {
  const auto response = send_complete(full, upload_id, parts);
  if (!response) {
    if (response.error().kind() != ErrorKind::maybe_done) return response.error();
    return settle_complete(full, upload_id, parts, Outcome::unanswered, response.error());
  }
  if (is_success(*response) && !response->whole) {
    return settle_complete(full, upload_id, parts, Outcome::unanswered,
                           Error(ErrorKind::maybe_done, client_.name_of(full) + ": the answer broke off"));
  }
  const Refusal refusal = refusal_of(*response);
  if (is_success(*response) && !refusal.has_document) {
    const auto etag = parse_etag_of_object(response->body);
    return etag ? etag : etag_after(*response, full);
  }
  Call call;
  call.action = Action::write;
  call.key = full;
  const Error error = client_.error_of(*response, call);
  const bool lost = refusal.is("NoSuchUpload") || error.kind() == ErrorKind::not_found;
  if (lost || refusal.status == 412) return settle_complete(full, upload_id, parts, Outcome::refused, error);
  if (refusal.status == 409 || error.kind() == ErrorKind::maybe_done) {
    return settle_complete(full, upload_id, parts, Outcome::failed, error);
  }
  return error;
}

// An upload that is gone was completed or aborted; one that may have been completed is seen in what lies under its
// key.
Result<std::string> S3Store::settle_complete(const std::string& full, std::string_view upload_id,
                                             std::span<const PartInfo> parts, Outcome outcome, const Error& error) {
  const auto there = look_hard(full);
  if (!there) {
    return Error(ErrorKind::maybe_done, fmt::format("{}; and looking whether it was completed failed: {}",
                                                    error.message(), there.error().message()));
  }
  if (*there) {
    const std::string token = token_of(upload_id);
    const bool ours = token.empty() ? (*there)->info.etag == etag_of_parts(parts) : (*there)->token == token;
    if (ours) return (*there)->info.etag;
    // Of an upload that is gone nothing can be said but that.
    if (error.kind() == ErrorKind::not_found) return error;
    return Error(ErrorKind::conflict, fmt::format("{}: the object exists already", client_.name_of(full)));
  }
  if (error.kind() == ErrorKind::not_found) return error;
  if (outcome == Outcome::unanswered) return error.as(ErrorKind::maybe_done);
  // Of an upload that is not there Ceph 16 says 500, "already in progress".
  const auto exists = upload_exists(full, upload_id);
  if (exists && !*exists) return error.as(ErrorKind::not_found);
  return error.as(ErrorKind::retry_later);
}

Result<void> S3Store::abort_upload(std::string_view key, std::string_view upload_id) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  if (!check_upload_id(key, upload_id)) return {};
  CAIRN_TRY(abort_at(full_key(key), upload_id));
  forget(upload_id);
  return {};
}

Result<void> S3Store::abort_at(const std::string& full, std::string_view upload_id) {
  Call call;
  call.action = Action::remove;
  call.method = "DELETE";
  call.key = full;
  call.query = {{"uploadId", std::string(upload_id)}};
  CAIRN_ASSIGN(const HttpResponse response, client_.send(call));
  if (is_success(response)) return {};
  Error error = client_.error_of(response, call);
  if (error.kind() == ErrorKind::not_found) return {};
  const auto exists = upload_exists(full, upload_id);
  if (exists && !*exists) return {};
  return error;
}

std::string S3Store::token_of(std::string_view upload_id) {
  MutexLock lock(uploads_mutex_);
  const auto at = tokens_.find(upload_id);
  return at == tokens_.end() ? std::string() : at->second;
}

void S3Store::forget(std::string_view upload_id) {
  MutexLock lock(uploads_mutex_);
  if (const auto at = tokens_.find(upload_id); at != tokens_.end()) tokens_.erase(at);
}

}  // namespace cairn::s3
