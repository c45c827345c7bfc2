// Deleting: one object a request, or up to a thousand.
//
// A batch names its keys in XML 1.0, where most control characters cannot stand at all, and line ends do not come
// through as they are; keys with one of these are deleted one by one, as is everything where a store does not take
// batches.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "s3/answers.h"
#include "s3/checksum.h"
#include "s3/s3_store.h"
#include "s3/xml.h"
#include "store/key.h"

namespace cairn::s3 {

namespace {

constexpr std::size_t kMostAtOnce = 1000;

bool may_stand_in_xml(std::string_view key) {
  const bool plain = std::none_of(key.begin(), key.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  // U+FFFE and U+FFFF are no characters.
  return plain && key.find("\xef\xbf\xbe") == std::string_view::npos &&
         key.find("\xef\xbf\xbf") == std::string_view::npos;
}

// The status that a request for this one key would have got.
int status_of_code(std::string_view code) {
  if (code == "AccessDenied") return 403;
  if (code == "NoSuchKey") return 404;
  if (code == "SlowDown" || code == "ServiceUnavailable") return 503;
  if (code == "NotImplemented") return 501;
  return code == "InternalError" ? 500 : 400;
}

}  // namespace

Result<void> S3Store::remove(std::string_view key) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  return remove_at(full_key(key));
}

Result<void> S3Store::remove_at(const std::string& full) {
  Call call;
  call.action = Action::remove;
  call.method = "DELETE";
  call.key = full;
  CAIRN_ASSIGN(const HttpResponse response, client_.send(call));
  if (is_success(response)) return {};
  Error error = client_.error_of(response, call);
  if (error.kind() == ErrorKind::not_found) return {};
  return error;
}

Result<std::vector<NotRemoved>> S3Store::remove_many(std::span<const std::string> keys) {
  std::vector<NotRemoved> left;
  std::vector<std::string> together, apart;
  for (const std::string& key : keys) {
    auto good = check_key(key);
    if (good) good = check_length(key);
    if (!good) {
      left.push_back({key, good.error()});
    } else {
      (may_stand_in_xml(key) ? together : apart).push_back(full_key(key));
    }
  }
  remove_one_by_one(apart, left);
  for (std::size_t at = 0; at < together.size(); at += kMostAtOnce) {
    CAIRN_TRY(remove_batch(std::span(together).subspan(at, std::min(kMostAtOnce, together.size() - at)), left));
  }
  return left;
}

void S3Store::remove_one_by_one(std::span<const std::string> fulls, std::vector<NotRemoved>& left) {
  for (const std::string& full : fulls) {
    if (auto removed = remove_at(full); !removed) left.push_back({std::string(key_of(full)), removed.error()});
  }
}

Result<void> S3Store::remove_batch(std::span<const std::string> fulls, std::vector<NotRemoved>& left) {
  if (fulls.size() > 1 && dialect_.now().removes_many) {
    auto response = send_batch(fulls);
    if (response) {
      CAIRN_ASSIGN(const std::vector<NotDeleted> not_deleted, parse_not_deleted(response->body));
      for (const NotDeleted& one : not_deleted) {
        if (std::ranges::find(fulls, one.key) == fulls.end()) {
          return Error(ErrorKind::corrupt, fmt::format("{}: the answer to a batch of deletions names another object",
                                                       client_.name_of(one.key)));
        }
        if (one.error.code != "NoSuchKey") left.push_back({std::string(key_of(one.key)), error_of_one(one)});
      }
      return {};
    }
    if (response.error().kind() != ErrorKind::unsupported) return response.error();
    dialect_.learn(&Dialect::removes_many, false);
  }
  remove_one_by_one(fulls, left);
  return {};
}

// Content-MD5 beside the signature: of all stores that take batches, some insist on just this.
Result<HttpResponse> S3Store::send_batch(std::span<const std::string> fulls) {
  const std::string document = delete_document(fulls);
  const BytesSource body(as_bytes(document));
  Call call;
  call.action = Action::remove;
  call.method = "POST";
  call.query = {{"delete", ""}};
  call.headers = {{"Content-Type", "application/xml"}, {"Content-MD5", base64(md5(as_bytes(document)))}};
  call.body = &body;
  CAIRN_ASSIGN(HttpResponse response, client_.send(call));
  if (!is_success(response) || refusal_of(response).has_document) return client_.error_of(response, call);
  if (response.whole) return response;
  return Error(ErrorKind::maybe_done,
               fmt::format("{}: the answer to a batch of deletions broke off", client_.name_of({})));
}

Error S3Store::error_of_one(const NotDeleted& one) const {
  Refusal refusal;
  refusal.status = status_of_code(one.error.code);
  refusal.document = one.error;
  refusal.has_document = true;
  Call call;
  call.action = Action::remove;
  call.key = one.key;
  return client_.error_of(refusal, call);
}

}  // namespace cairn::s3
