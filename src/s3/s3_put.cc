// Conditional writes, and what to make of an outcome that is not clear.
//
// Between a client and a store a request can be repeated (by this client's own transport, by a proxy), a reply can be
// lost, and the loser of a race may be told 412, 409 or 500. So the status alone never decides whose object lies
// under a key. Each write carries a random token of its own, kept with the object as metadata; after anything but a
// plain success the object is looked at: with our token the write was applied, whatever was answered; with another
// one somebody else's was.
//
// A write by put_if also notes which etag it replaced. Who finds another writer's token there, and that it replaced
// just the version that we named, knows that ours was not applied in between: an etag is replaced once.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "s3/answers.h"
#include "s3/checksum.h"
#include "s3/s3_store.h"
#include "store/key.h"

namespace cairn::s3 {

namespace {

constexpr std::string_view kTokenHeader = "x-amz-meta-cairn-token";
constexpr std::string_view kReplacedHeader = "x-amz-meta-cairn-replaces";
constexpr int kLooks = 3, kSends = 3;

std::string_view checksum_name(BodyChecksum checksum) {
  return checksum == BodyChecksum::crc64nvme ? "crc64nvme" : "crc32c";
}

BodyChecksum next_best(BodyChecksum checksum) {
  return checksum == BodyChecksum::crc64nvme ? BodyChecksum::crc32c : BodyChecksum::none;
}

Result<void> add_checksum(Call& call, BodyChecksum checksum) {
  CAIRN_ASSIGN(std::string value,
               checksum == BodyChecksum::crc64nvme ? crc64nvme_base64(*call.body) : crc32c_base64(*call.body));
  const std::string name(checksum_name(checksum));
  std::string upper = name;
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  call.headers.emplace_back("x-amz-sdk-checksum-algorithm", upper);
  call.headers.emplace_back("x-amz-checksum-" + name, std::move(value));
  call.payload = Payload::unsigned_body;
  return {};
}

// What can stand in a header between quotes. No other etag can be a store's.
bool is_etag(std::string_view etag) {
  return !etag.empty() && etag.size() <= 1024 && std::none_of(etag.begin(), etag.end(), [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '"';
  });
}

}  // namespace

Call S3Store::put_call(const std::string& full, const Source& body, const std::string& token) const {
  Call call;
  call.action = Action::write;
  call.method = "PUT";
  call.key = full;
  call.body = &body;
  call.headers = client_.settings().new_object;
  call.headers.insert(call.headers.end(), client_.settings().object_bytes.begin(),
                      client_.settings().object_bytes.end());
  call.headers.emplace_back(kTokenHeader, token);
  return call;
}

Result<Call> S3Store::whole_put_call(const std::string& full, const Source& body, const std::string& token) const {
  Call call = put_call(full, body, token);
  if (body.size_bytes() > kMostSummedBytes) return call;
  CAIRN_ASSIGN(std::string sum, crc64nvme_base64(body));
  call.headers.emplace_back(kBodyHeader, std::move(sum));
  return call;
}

Result<HttpResponse> S3Store::send_body(const Call& call, Checksums checksums) {
  for (;;) {
    const Dialect dialect = dialect_.now();
    const bool unsigned_body = client_.transport() == Transport::tls && dialect.checksum != BodyChecksum::none &&
                               (checksums == Checksums::any || dialect.checksum == BodyChecksum::crc64nvme);
    if (!unsigned_body) return client_.send(call);
    Call sent = call;
    CAIRN_TRY(add_checksum(sent, dialect.checksum));
    auto response = client_.send(sent);
    if (!response) return response;
    if (is_success(*response)) {
      CAIRN_TRY(hear_echo(*response, sent, dialect.checksum));
      return response;
    }
    if (dialect.checksum_echoed || !refuses_checksum(*response)) return response;
    dialect_.learn(&Dialect::checksum, next_best(dialect.checksum));
  }
}

// A store that does not repeat a checksum has not looked at it. TLS guarded this body; the next ones are guarded from
// end to end again, in another way.
Result<void> S3Store::hear_echo(const HttpResponse& response, const Call& sent, BodyChecksum checksum) {
  const std::string name = fmt::format("x-amz-checksum-{}", checksum_name(checksum));
  const std::string* echo = response.header(name);
  if (echo == nullptr) {
    dialect_.learn(&Dialect::checksum, next_best(checksum));
    return {};
  }
  dialect_.learn(&Dialect::checksum_echoed, true);
  const bool same = std::any_of(sent.headers.begin(), sent.headers.end(),
                                [&](const auto& header) { return header.first == name && header.second == *echo; });
  if (same) return {};
  return Error(ErrorKind::corrupt,
               fmt::format("{}: the store says that other bytes arrived than were sent", client_.name_of(sent.key)));
}

Result<std::optional<S3Store::Stored>> S3Store::look(const std::string& full) {
  Call call;
  call.method = "HEAD";
  call.key = full;
  call.headers = client_.settings().object_bytes;
  CAIRN_ASSIGN(const HttpResponse response, client_.send(call));
  if (response.status == 404) {
    CAIRN_TRY(confirm_bucket());
    return std::optional<Stored>();
  }
  if (!is_success(response)) return explain(full, response);
  bucket_seen_ = true;
  Stored stored;
  CAIRN_ASSIGN(stored.info, info_of(response, key_of(full), content_length(response)));
  stored.token = header_or_empty(response, kTokenHeader);
  stored.replaced = header_or_empty(response, kReplacedHeader);
  return std::optional(std::move(stored));
}

Result<std::optional<S3Store::Stored>> S3Store::look_hard(const std::string& full) {
  for (int i = 1;; ++i) {
    auto stored = look(full);
    if (stored || stored.error().kind() == ErrorKind::denied || i == kLooks) return stored;
  }
}

Result<std::string> S3Store::put_new(std::string_view key, const Source& body) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  CAIRN_TRY(ready_to_write());
  return put_new_at(full_key(key), body);
}

Result<std::string> S3Store::put_new_at(const std::string& full, const Source& body) {
  const Condition condition = dialect_.now().put_new;
  if (condition == Condition::ignored || condition == Condition::refused) {  // a single writer, by the user's word
    CAIRN_ASSIGN(const auto there, look(full));
    if (there) return Error(ErrorKind::conflict, fmt::format("{}: the object exists already", client_.name_of(full)));
  }
  const std::string token = new_token();
  CAIRN_ASSIGN(Call call, whole_put_call(full, body, token));
  if (condition != Condition::refused) call.headers.emplace_back("If-None-Match", "*");
  return send_until_clear(
      call, [&](Outcome outcome, const Error& error) { return settle_put_new(full, token, outcome, error); });
}

// Sends a conditional put, and again while it stays open whether it was applied. That is safe, since all have the
// same token: whichever of them the store applies, and whenever, what lies there is ours, and the others are refused.
Result<std::string> S3Store::send_until_clear(
    const Call& call, const std::function<Result<std::string>(Outcome, const Error&)>& settle) {
  bool open = false;  // an earlier one may still be under way
  const auto told = [&](const Error& error) {
    return open && error.kind() == ErrorKind::retry_later ? error.as(ErrorKind::maybe_done) : error;
  };
  for (int sent = 1;; ++sent) {
    const auto response = send_body(call, Checksums::any);
    if (response && is_success(*response)) return etag_after(*response, call.key);
    const Error error = response ? client_.error_of(*response, call) : response.error();
    const int status = response ? response->status : 0;
    Outcome outcome = Outcome::failed;
    if (status == 412 || error.kind() == ErrorKind::not_found) {  // 404: what If-Match names is gone
      outcome = open ? Outcome::failed : Outcome::refused;
    } else if (!response && error.kind() == ErrorKind::maybe_done) {
      outcome = Outcome::unanswered;
    } else if (status != 409 && error.kind() != ErrorKind::maybe_done) {
      return told(error);
    }
    auto settled = settle(outcome, error);
    if (settled) return settled;
    const bool clear = settled.error().kind() != ErrorKind::maybe_done;
    if (clear || outcome != Outcome::unanswered || sent == kSends) return told(settled.error());
    open = true;
  }
}

Result<std::string> S3Store::settle_put_new(const std::string& full, const std::string& token, Outcome outcome,
                                            const Error& error) {
  const Error exists(ErrorKind::conflict, fmt::format("{}: the object exists already", client_.name_of(full)));
  const auto there = look_hard(full);
  if (!there) {
    // Keys that may write and not read: then a plain refusal is all there is to know.
    if (outcome == Outcome::refused && there.error().kind() == ErrorKind::denied) return exists;
    return Error(ErrorKind::maybe_done, fmt::format("{}; and looking whether it was stored failed: {}",
                                                    error.message(), there.error().message()));
  }
  if (!*there) return error.as(outcome == Outcome::unanswered ? ErrorKind::maybe_done : ErrorKind::retry_later);
  if ((*there)->token == token) return (*there)->info.etag;
  return exists;
}

Result<std::string> S3Store::put_if(std::string_view key, const Source& body, std::string_view etag) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  CAIRN_TRY(ready_to_write());
  CAIRN_TRY(learn_put_if());
  return put_if_at(full_key(key), body, etag);
}

Result<std::string> S3Store::put_if_at(const std::string& full, const Source& body, std::string_view etag) {
  const Error replaced(ErrorKind::conflict,
                       fmt::format("{}: the object was replaced meanwhile, or is gone", client_.name_of(full)));
  if (!is_etag(etag)) return replaced;
  const Dialect dialect = dialect_.now();
  if (dialect.put_if == Condition::ignored || dialect.put_if == Condition::refused) {  // a single writer
    CAIRN_ASSIGN(const auto there, look(full));
    if (!there || there->info.etag != etag) return replaced;
  }
  const std::string token = new_token();
  CAIRN_ASSIGN(Call call, whole_put_call(full, body, token));
  call.headers.emplace_back(kReplacedHeader, etag);
  if (dialect.put_if != Condition::refused) {
    const bool quotes = dialect.put_if_quotes == EtagQuotes::with;
    call.headers.emplace_back("If-Match", quotes ? fmt::format("\"{}\"", etag) : std::string(etag));
  }
  bool refused_in_spite = false;
  auto etag_after_put = send_until_clear(call, [&](Outcome outcome, const Error& error) {
    auto settled = settle_put_if(full, token, etag, outcome, error);
    refused_in_spite = outcome == Outcome::refused && !settled && settled.error().kind() == ErrorKind::retry_later;
    return settled;
  });
  // Refused although the object is the one that was named: the store wants the name without quotes.
  if (refused_in_spite && dialect.put_if_quotes == EtagQuotes::with) {
    dialect_.learn(&Dialect::put_if_quotes, EtagQuotes::without);
    return put_if_at(full, body, etag);
  }
  return etag_after_put;
}

Result<std::string> S3Store::settle_put_if(const std::string& full, const std::string& token, std::string_view etag,
                                           Outcome outcome, const Error& error) {
  const Error replaced(ErrorKind::conflict,
                       fmt::format("{}: the object was replaced meanwhile, or is gone", client_.name_of(full)));
  const auto there = look_hard(full);
  if (!there) {
    if (outcome == Outcome::refused && there.error().kind() == ErrorKind::denied) return replaced;
    return Error(ErrorKind::maybe_done, fmt::format("{}; and looking whether it was stored failed: {}",
                                                    error.message(), there.error().message()));
  }
  const ErrorKind not_applied = outcome == Outcome::unanswered ? ErrorKind::maybe_done : ErrorKind::retry_later;
  if (*there && (*there)->token == token) return (*there)->info.etag;
  if (*there && (*there)->info.etag == etag) return error.as(not_applied);
  if (outcome == Outcome::refused) return replaced;
  // Another version, or none. That it replaced the one that was named shows that ours did not.
  if (*there && (*there)->replaced == etag) return replaced;
  return error.as(ErrorKind::maybe_done);
}

Result<std::string> S3Store::etag_after(const HttpResponse& response, const std::string& full) {
  bucket_seen_ = true;
  if (std::string etag = etag_of(response); !etag.empty()) return etag;
  CAIRN_ASSIGN(const auto there, look_hard(full));
  if (there) return there->info.etag;
  return Error(ErrorKind::maybe_done,
               fmt::format("{}: it was stored, and is not there: somebody removes objects", client_.name_of(full)));
}

}  // namespace cairn::s3
