#include "s3/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"
#include "s3/answers.h"
#include "s3/checksum.h"
#include "s3/sign.h"
#include "s3/uri.h"
#include "s3/xml.h"

namespace cairn::s3 {

namespace {

// A Date has whole seconds and is as old as the answer was long on its way: below that, this machine's clock is as
// good. Stores refuse from 15 minutes on.
constexpr std::int64_t kOffsetThatCountsMs = 60'000;
constexpr int kMostClocks = 3;  // that one call is signed by anew

std::string target_of(const Settings& settings, const Call& call) {
  std::string target = settings.endpoint.base_path;
  if (settings.addressing == Settings::Addressing::path) {
    target += "/" + percent_encode(settings.location.bucket, Slash::encode);
  }
  if (!call.key.empty() || settings.addressing == Settings::Addressing::virtual_host) {
    target += "/" + percent_encode(call.key, Slash::keep);
  }
  char between = '?';
  for (const auto& [name, value] : call.query) {
    target += between + percent_encode(name, Slash::encode);
    if (!value.empty()) target += "=" + percent_encode(value, Slash::encode);
    between = '&';
  }
  return target;
}

bool has_code(const Refusal& refusal, std::initializer_list<std::string_view> codes) {
  return std::any_of(codes.begin(), codes.end(), [&](std::string_view code) { return refusal.is(code); });
}

}  // namespace

Client::Client(Settings settings, HttpClient& http, CredentialsProvider& credentials, Clock& clock)
    : settings_(std::move(settings)),
      http_(http),
      credentials_(credentials),
      clock_(clock),
      endpoint_(settings_.endpoint),
      region_(settings_.region) {}

Result<HttpResponse> Client::send(const Call& call) {
  for (Tries tries;;) {
    CAIRN_ASSIGN(const Credentials credentials, credentials_.get());
    tries.offset_ms = clock_offset_ms();
    auto response = send_once(call, credentials, clock_.now().wall_ms + tries.offset_ms);
    if (!response) {
      const Error error = response.error().with(name_of(call.key));
      // What only reads has no effect, whether it arrived or not.
      const bool reads = call.action == Action::read || call.action == Action::list;
      return reads && error.kind() == ErrorKind::maybe_done ? error.as(ErrorKind::retry_later) : error;
    }
    if (is_success(*response)) return response;
    if (remedied(call, *response, credentials, tries)) continue;
    if (tries.clock < kMostClocks || !is_skewed(call, *response, tries)) return response;
    return Error(ErrorKind::retry_later,
                 fmt::format("{}: the clocks of the store's servers differ: each refuses the time of another",
                             name_of(call.key)));
  }
}

Result<HttpResponse> Client::expect(const Call& call) {
  CAIRN_ASSIGN(HttpResponse response, send(call));
  if (!is_success(response)) return error_of(response, call);
  return response;
}

Error Client::error_of(const HttpResponse& response, const Call& call) const {
  return error_of(refusal_of(response), call);
}

Error Client::error_of(const Refusal& refusal, const Call& call) const {
  return s3::error_of(refusal, subject_of(call));
}

HttpRequest Client::request_of(const Call& call) const {
  HttpRequest request;
  request.method = call.method;
  request.origin = endpoint().origin();
  request.target = target_of(settings_, call);
  request.headers = call.headers;
  request.headers.insert(request.headers.end(), settings_.every_request.begin(), settings_.every_request.end());
  request.body = call.body;
  request.take = call.take;
  request.max_body_bytes = call.max_body_bytes;
  request.stall_ms = call.stall_ms;
  return request;
}

Result<HttpResponse> Client::send_once(const Call& call, const Credentials& credentials, std::int64_t wall_ms) {
  HttpRequest request = request_of(call);
  std::string payload(kEmptySha256);
  if (call.body != nullptr) {
    auto hash = call.payload == Payload::signed_body ? sha256_hex(*call.body)
                                                     : Result<std::string>(std::string(kUnsignedPayload));
    if (!hash) return hash.error();
    payload = *std::move(hash);
  }
  {
    MutexLock lock(mutex_);
    key_source_ = credentials.source;
  }
  const std::string host = request.origin.substr(request.origin.find("://") + 3);
  sign(request, host, payload, credentials, {wall_ms, region(), "s3"});
  auto response = http_.send(request);
  if (response) note(*response);
  return response;
}

// The same Date as in the answer before, within a second of it as a rule, says the same. (But a refusal may be because
// of that, and what is learned of it is waited for.)
void Client::note(const HttpResponse& response) {
  const std::string* const date = response.header("date");
  MutexLock lock(mutex_);
  if (const std::string* server = response.header("server")) server_ = *server;
  if (date == nullptr || (*date == date_ && is_success(response))) return;
  date_ = *date;
  if (const auto offset_ms = offset_of(response)) offset_ms_ = *offset_ms;
}

std::optional<std::int64_t> Client::offset_of(const HttpResponse& response) const {
  const std::string* date = response.header("date");
  const auto time_ms = date == nullptr ? std::nullopt : parse_http_date(*date);
  if (!time_ms) return std::nullopt;
  const std::int64_t offset_ms = *time_ms - clock_.now().wall_ms;
  return std::abs(offset_ms) >= kOffsetThatCountsMs ? offset_ms : 0;
}

bool Client::is_skewed(const Call& call, const HttpResponse& response, const Tries& tries) const {
  const bool says_so = has_code(refusal_of(response), {"RequestTimeTooSkewed", "RequestExpired"}) ||
                       (call.method == "HEAD" && response.status == 403);
  const auto offset_ms = offset_of(response);
  return says_so && offset_ms && std::abs(*offset_ms - tries.offset_ms) >= kOffsetThatCountsMs;
}

bool Client::remedied(const Call& call, const HttpResponse& response, const Credentials& used, Tries& tries) {
  const Refusal refusal = refusal_of(response);
  const bool silent = call.method == "HEAD";  // its answers have no document that says why
  const bool elsewhere = has_code(refusal, {"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect",
                                            "IllegalLocationConstraintException", "InvalidRegion"}) ||
                         (refusal.status >= 300 && refusal.status < 400 && refusal.status != 304) ||
                         (silent && refusal.status == 400);
  if (elsewhere && !std::exchange(tries.region, true)) {
    const std::string region = refusal.bucket_region.empty() ? region_of_bucket(used) : refusal.bucket_region;
    if (moved_to(region)) return true;
  }
  // note() has learned the offset from this very answer.
  if (tries.clock < kMostClocks && is_skewed(call, response, tries)) {
    ++tries.clock;
    return true;
  }

  const bool refused_keys = has_code(refusal, {"ExpiredToken", "InvalidToken", "TokenRefreshRequired",
                                               "InvalidAccessKeyId", "SignatureDoesNotMatch"}) ||
                            (silent && refusal.status == 400);
  if (!refused_keys || std::exchange(tries.keys, true)) return false;
  credentials_.invalidate(used);
  const auto fresh = credentials_.get();
  return fresh && (fresh->access_key_id != used.access_key_id || fresh->secret_access_key != used.secret_access_key ||
                   fresh->session_token != used.session_token);
}

bool Client::moved_to(const std::string& region) {
  const bool plausible = !region.empty() && region.size() <= 64 &&
                         region.find_first_not_of(
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == std::string::npos;
  MutexLock lock(mutex_);
  if (!plausible || region == region_) return false;
  region_ = region;
  endpoint_ = endpoint_of(settings_, region);
  return true;
}

// Asked of the bucket itself: an answer to HEAD names the region at most in a header, and some do for the bucket
// only.
std::string Client::region_of_bucket(const Credentials& credentials) {
  Call call;
  call.method = "HEAD";
  const auto response = send_once(call, credentials, store_wall_ms());
  const std::string* region = response ? response->header("x-amz-bucket-region") : nullptr;
  return region == nullptr ? std::string() : *region;
}

Subject Client::subject_of(const Call& call) const {
  Subject subject;
  subject.action = call.action;
  subject.name = name_of(call.key);
  subject.bucket = settings_.location.bucket;
  MutexLock lock(mutex_);
  subject.origin = endpoint_.origin();
  subject.region = region_;
  subject.key_source = key_source_;
  subject.clock_offset_ms = offset_ms_;
  return subject;
}

Endpoint Client::endpoint() const {
  MutexLock lock(mutex_);
  Endpoint endpoint = endpoint_;
  if (settings_.addressing == Settings::Addressing::virtual_host) {
    endpoint.host = settings_.location.bucket + "." + endpoint.host;
  }
  return endpoint;
}

std::string Client::region() const {
  MutexLock lock(mutex_);
  return region_;
}

std::string Client::server() const {
  MutexLock lock(mutex_);
  return server_;
}

std::int64_t Client::clock_offset_ms() const {
  MutexLock lock(mutex_);
  return offset_ms_;
}

std::int64_t Client::store_wall_ms() const { return clock_.now().wall_ms + clock_offset_ms(); }

std::string Client::name_of(std::string_view key) const {
  std::string name = "s3://" + settings_.location.bucket;
  if (!key.empty()) name.append("/").append(key);
  return name;
}

}  // namespace cairn::s3
