// The kinds are named by what the caller does next, so they follow from the status and, where the store gave one, its
// code. The codes that a person can do something about have a sentence of their own; for all others the store's own
// words stand.
#include "s3/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/bytes.h"

namespace cairn::s3 {

namespace {

constexpr std::size_t kMaxQuotedBytes = 300;

template <std::size_t N>
bool is_one_of(std::string_view code, const std::array<std::string_view, N>& codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

// The server's own words, for a person's terminal.
std::string quoted(const Refusal& refusal) {
  std::string text = fmt::format("{} {}", refusal.status, refusal.document.code);
  if (!refusal.document.message.empty()) text += ": " + refusal.document.message;
  if (text.size() > kMaxQuotedBytes) text.resize(kMaxQuotedBytes);
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (!refusal.document.request_id.empty() && refusal.status >= 500) {
    text += fmt::format(" (request {})", refusal.document.request_id.substr(0, 80));
  }
  return text;
}

std::string denied_sentence(const Subject& subject) {
  switch (subject.action) {
    case Action::list:
      return "the keys may not list the bucket: allow them s3:ListBucket";
    case Action::read:
      return "the keys may not read this: allow them s3:GetObject, and s3:ListBucket, without which what is not "
             "there "
             "looks forbidden";
    case Action::write:
      return "the keys may not write here: allow them s3:PutObject (keys that only read can restore, but not "
             "replicate)";
    case Action::remove:
      return "the keys may not delete here: allow them s3:DeleteObject and s3:AbortMultipartUpload";
    case Action::make_bucket:
      return "the keys may not create the bucket: allow them s3:CreateBucket, or create it yourself";
  }
  return {};
}

std::string clock_sentence(const Subject& subject) {
  constexpr std::int64_t kMsPerMinute = 60'000;
  const std::int64_t minutes = std::abs(subject.clock_offset_ms) / kMsPerMinute;
  if (minutes == 0) return "the store finds the time of the request wrong: check this machine's clock";
  return fmt::format("this machine's clock is {} minutes {} the store's: set it", minutes,
                     subject.clock_offset_ms > 0 ? "behind" : "ahead of");
}

// What a person has to change: kind denied. None: something else.
std::optional<std::string> sentence_of_denial(const Refusal& refusal, const Subject& subject) {
  static constexpr std::array<std::string_view, 3> kExpired{"ExpiredToken", "InvalidToken", "TokenRefreshRequired"};
  static constexpr std::array<std::string_view, 3> kBuckets{"InvalidBucketName", "AllAccessDisabled", "NotSignedUp"};
  const std::string& code = refusal.document.code;
  const std::string from = subject.key_source.empty() ? "" : fmt::format(" (from {})", subject.key_source);
  if (code == "InvalidAccessKeyId") {
    return fmt::format("the store does not know the access key id{}: check the keys, and that they are for {}", from,
                       subject.origin);
  }
  if (code == "SignatureDoesNotMatch") {
    return fmt::format("the secret access key{} does not belong to the access key id: check both", from);
  }
  if (is_one_of(code, kExpired)) return fmt::format("the keys{} have expired: renew them", from);
  if (code == "RequestTimeTooSkewed" || code == "RequestExpired") return clock_sentence(subject);
  if (code == "NoSuchBucket") {
    return fmt::format("there is no bucket '{}' at {}: create it, or add create_bucket=true to the URL",
                       subject.bucket, subject.origin);
  }
  if (code == "BucketAlreadyExists") {
    return fmt::format("the bucket '{}' belongs to somebody else: choose another name", subject.bucket);
  }
  if (is_one_of(code, kBuckets)) return quoted(refusal);
  // What is left of these has been followed once already, or says no place to follow to.
  if (code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect" || code == "TemporaryRedirect" ||
      (refusal.status >= 300 && refusal.status < 400)) {
    const bool knows_another = !refusal.bucket_region.empty() && refusal.bucket_region != subject.region;
    return fmt::format("the bucket is not in the region {} of {}{}: check region and endpoint", subject.region,
                       subject.origin, knows_another ? fmt::format(" but in {}", refusal.bucket_region) : "");
  }
  if (code == "AccessDenied" || (refusal.status == 403 && code.empty())) return denied_sentence(subject);
  if (refusal.status == 401 || refusal.status == 403 || refusal.status == 407) return quoted(refusal);
  return std::nullopt;
}

bool will_pass(const Refusal& refusal) {
  static constexpr std::array<std::string_view, 12> kCodes{"SlowDown",
                                                           "ServiceUnavailable",
                                                           "RequestTimeout",
                                                           "Throttling",
                                                           "ThrottlingException",
                                                           "TooManyRequests",
                                                           "RequestLimitExceeded",
                                                           "OperationAborted",
                                                           "BandwidthLimitExceeded",
                                                           "ConditionalRequestConflict",
                                                           "QuotaExceeded",
                                                           "InsufficientStorage"};
  return refusal.status == 503 || refusal.status == 429 || refusal.status == 408 || refusal.status == 409 ||
         refusal.status == 425 || refusal.status == 507 || is_one_of(refusal.document.code, kCodes);
}

// The request itself is at fault, and would be again.
std::optional<ErrorKind> kind_of_mistake(const Refusal& refusal) {
  static constexpr std::array<std::string_view, 4> kDamaged{"BadDigest", "XAmzContentSHA256Mismatch",
                                                            "XAmzContentChecksumMismatch", "InvalidDigest"};
  static constexpr std::array<std::string_view, 2> kUnable{"NotImplemented", "MethodNotAllowed"};
  if (is_one_of(refusal.document.code, kDamaged)) return ErrorKind::retry_later;  // refused, so without effect
  if (refusal.status == 501 || refusal.status == 405 || is_one_of(refusal.document.code, kUnable)) {
    return ErrorKind::unsupported;
  }
  if (refusal.is("InvalidObjectState")) return ErrorKind::unsupported;
  if (refusal.status == 412) return ErrorKind::conflict;
  return std::nullopt;
}

std::string sentence_of_mistake(const Refusal& refusal) {
  if (refusal.is("InvalidObjectState")) {
    return "it lies in an archive class of storage: have the store bring it back first (S3 RestoreObject)";
  }
  return quoted(refusal);
}

// Seconds, or a date: that is meant by the clock of whoever wrote it, so it is held against the answer's own Date.
std::optional<std::int64_t> asked_wait_ms(const std::string& value, const std::string* date) {
  constexpr std::int64_t kMsPerSecond = 1000;
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && end == value.data() + value.size()) return seconds * kMsPerSecond;
  const auto until_ms = parse_http_date(value);
  const auto now_ms = date == nullptr ? std::nullopt : parse_http_date(*date);
  if (!until_ms || !now_ms) return std::nullopt;
  return *until_ms - *now_ms;
}

std::int64_t retry_after_ms(const HttpResponse& response) {
  constexpr std::int64_t kLongestMs = 3600 * 1000;
  const std::string* value = response.header("retry-after");
  if (value == nullptr) return 0;
  return std::clamp<std::int64_t>(asked_wait_ms(*value, response.header("date")).value_or(0), 0, kLongestMs);
}

}  // namespace

Refusal refusal_of(const HttpResponse& response) {
  Refusal refusal;
  refusal.status = response.status;
  if (auto document = parse_error(response.body)) {
    refusal.document = *std::move(document);
    refusal.has_document = true;
    // A 200 that carries an error was an answer begun too early.
    if (response.status < 300) refusal.status = 500;
  } else {
    refusal.has_other_body = !response.body.empty() && response.whole;
    refusal.broke_off = !response.whole;
  }
  refusal.retry_after_ms = retry_after_ms(response);
  if (const std::string* region = response.header("x-amz-bucket-region")) refusal.bucket_region = *region;
  if (refusal.bucket_region.empty()) refusal.bucket_region = refusal.document.region;
  return refusal;
}

Error error_of(const Refusal& refusal, const Subject& subject) {
  const auto made = [&](ErrorKind kind, const std::string& sentence) {
    return Error(kind, fmt::format("{}: {}", subject.name, sentence)).after(refusal.retry_after_ms);
  };
  // Without its document the status says that nothing was done, but not why.
  if (refusal.broke_off && refusal.status < 500) {
    return made(ErrorKind::retry_later,
                fmt::format("the store refused ({}), and its answer broke off", refusal.status));
  }
  if (auto sentence = sentence_of_denial(refusal, subject)) return made(ErrorKind::denied, *sentence);
  if (refusal.status == 404) {
    // A page that says 404 in HTML speaks of a web server, not of an object.
    if (refusal.has_other_body) {
      return made(ErrorKind::invalid,
                  fmt::format("{} answers, but not as an S3 store does: check the endpoint", subject.origin));
    }
    return made(ErrorKind::not_found,
                refusal.is("NoSuchUpload") ? "there is no such upload" : "there is no such object");
  }
  if (will_pass(refusal)) return made(ErrorKind::retry_later, "the store asks for patience: " + quoted(refusal));
  if (const auto kind = kind_of_mistake(refusal)) return made(*kind, sentence_of_mistake(refusal));
  if (refusal.status >= 500) {
    const bool changes = subject.action != Action::list && subject.action != Action::read;
    return made(changes ? ErrorKind::maybe_done : ErrorKind::retry_later, "the store failed: " + quoted(refusal));
  }
  return made(ErrorKind::invalid, quoted(refusal));
}

}  // namespace cairn::s3
