// Reading. What arrives is believed only as far as it fits together: the range that the answer names is the one that
// was asked for, there are as many bytes as it names, and the pieces of one object all have the same etag.
//
// A body that broke off is resumed where it ended, as long as each try brings something: a long transfer over a bad
// line gets through, and what came already is not fetched again.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "s3/answers.h"
#include "s3/checksum.h"
#include "s3/s3_store.h"
#include "store/key.h"
#include "store/range.h"

namespace cairn::s3 {

namespace {

// Beyond any object, and within what servers read as a number.
constexpr std::uint64_t kFarAway = 1ull << 53;
constexpr int kTriesWithoutProgress = 3;

std::uint64_t add_capped(std::uint64_t a, std::uint64_t b) {
  return b > kFarAway - std::min(a, kFarAway) ? kFarAway : a + b;
}

}  // namespace

Result<Object> S3Store::get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  const Range range{Range::From::start, offset, length};
  if (length == 0 || offset >= kFarAway) return fetch_nothing(key, range);
  return fetch(key, range);
}

Result<Object> S3Store::get_suffix(std::string_view key, std::uint64_t length) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  const Range range{Range::From::end, 0, std::min(length, kFarAway)};
  if (length == 0) {
    CAIRN_TRY(head(key));
    return cut_suffix(key, 0, 0).error();
  }
  return fetch(key, range);
}

// No byte of the range can be had: what is there decides whether that is right.
Result<Object> S3Store::fetch_nothing(std::string_view key, const Range& range) {
  Object object;
  CAIRN_ASSIGN(object.info, head(key));
  if (range.from == Range::From::end && object.info.size_bytes == 0) return object;
  if (range.from == Range::From::start) {
    CAIRN_ASSIGN(const ByteRange cut, cut_range(key, object.info.size_bytes, range.first, range.length));
    if (cut.length == 0) return object;
  }
  return changed_while_read(key);
}

Call S3Store::range_call(const std::string& full, const Range& range) const {
  Call call;
  call.key = full;
  call.headers = client_.settings().object_bytes;
  if (range.from == Range::From::end) {
    call.headers.emplace_back("Range", fmt::format("bytes=-{}", *range.length));
  } else if (range.length) {
    call.headers.emplace_back("Range", range_value(range.first, add_capped(range.first, *range.length) - 1));
  } else if (range.first > 0) {
    call.headers.emplace_back("Range", fmt::format("bytes={}-", range.first));
  }
  // An error document has to fit as well.
  call.max_body_bytes = range.length ? std::max<std::uint64_t>(*range.length, 1 << 20) : kFarAway;
  return call;
}

Result<HttpResponse> S3Store::send_get(const Call& call) {
  CAIRN_ASSIGN(HttpResponse response, client_.send(call));
  const bool no_bucket = response.status == 404 && client_.settings().location.options.create_bucket &&
                         !bucket_seen_ &&
                         client_.error_of(response, call).kind() == ErrorKind::denied;  // no object would be not_found
  if (!no_bucket) return response;
  // As before a listing: a container's history begins with a look at its manifest.
  CAIRN_ASSIGN(const bool there, bucket_exists());
  if (!there) CAIRN_TRY(make_bucket());  // or else somebody made it just now
  return client_.send(call);
}

// What comes of a range, over one request or several: every piece is looked at before it is passed on.
class S3Store::Receiver {
 public:
  Receiver(const S3Store& store, std::string_view key, const TakePiece& take)
      : store_(store), key_(key), take_(take) {}
  // `have` bytes of the extent have been received otherwise.
  Receiver(const S3Store& store, std::string_view key, const TakePiece& take, ObjectInfo info, const Extent& extent,
           std::uint64_t have)
      : store_(store), key_(key), take_(take), info_(std::move(info)), extent_(extent), have_(have) {}

  const ObjectInfo& info() const { return *info_; }
  std::uint64_t have() const { return have_; }
  std::uint64_t missing() const { return extent_.length - have_; }
  Range rest() const { return {Range::From::start, extent_.first + have_, missing()}; }
  bool is_refused() const { return refused_; }  // by the taker

  // The answer to a request for `range`, before its body.
  Result<void> begin(const HttpResponse& head, const Range& range) {
    if (info_ && head.status != 206) {
      return Error(ErrorKind::corrupt, fmt::format("{}: the store gives no ranges of objects", key_));
    }
    CAIRN_ASSIGN(const Extent extent, store_.extent_of(head, range, 0));
    due_ = extent.length;
    CAIRN_ASSIGN(const ObjectInfo info, info_of(head, key_, extent.total));
    if (!info_) extent_ = extent;
    else if (info.etag != info_->etag || info.size_bytes != info_->size_bytes) return changed_while_read(key_);
    if (!info_) info_ = info;
    return {};
  }

  Result<void> add(ByteView piece) {
    if (piece.size() > due_) {
      return Error(ErrorKind::corrupt, fmt::format("{}: more bytes came than the store said", key_));
    }
    auto taken = take_(*info_, piece);
    refused_ = !taken;
    if (!taken) return taken;
    due_ -= piece.size();
    have_ += piece.size();
    return {};
  }

 private:
  const S3Store& store_;
  const std::string_view key_;
  const TakePiece& take_;
  std::optional<ObjectInfo> info_;
  Extent extent_;            // of all requests together
  std::uint64_t have_ = 0;   // of them
  std::uint64_t due_ = 0;    // of this request's answer
  bool refused_ = false;
};

// Sends a request for a range. The body of a success goes to the receiver.
Result<HttpResponse> S3Store::receive(Call call, const Range& range, Receiver& receiver) {
  bool begun = false;
  std::optional<Error> wrong;
  const TakeBody take = [&](const HttpResponse& head, ByteView piece) {
    const auto fine = [&]() -> Result<void> {
      if (!std::exchange(begun, true)) CAIRN_TRY(receiver.begin(head, range));
      return receiver.add(piece);
    }();
    if (!fine) wrong = fine.error();
    return fine.has_value();
  };
  call.take = &take;
  CAIRN_ASSIGN(HttpResponse response, send_get(call));
  if (wrong) return *wrong;
  if (is_success(response) && !begun) CAIRN_TRY(receiver.begin(response, range));  // and nothing came
  return response;
}

Result<Object> S3Store::fetch(std::string_view key, const Range& range) {
  const std::string full = full_key(key);
  const Call call = range_call(full, range);
  CAIRN_ASSIGN(HttpResponse response, send_get(call));
  if (response.status == 416) return fetch_nothing(key, range);
  if (response.status != 200 && response.status != 206) return client_.error_of(response, call);
  bucket_seen_ = true;
  Object object;
  object.bytes = std::move(response.body);
  CAIRN_ASSIGN(const Extent extent, extent_of(response, range, object.bytes.size()));
  CAIRN_ASSIGN(object.info, info_of(response, key, extent.total));
  const TakePiece append = [&](const ObjectInfo&, ByteView piece) -> Result<void> {
    object.bytes.insert(object.bytes.end(), piece.begin(), piece.end());
    return {};
  };
  Receiver receiver(*this, key, append, object.info, extent, object.bytes.size());
  CAIRN_TRY(resume(full, receiver));
  const std::string sum = header_or_empty(response, kBodyHeader);
  const bool asked_for_all = range.from == Range::From::start && range.first == 0 &&
                             range.length.value_or(kFarAway) > extent.total;
  if (asked_for_all && !sum.empty() && sum != base64_be(crc64nvme(0, object.bytes))) {
    return Error(ErrorKind::corrupt, fmt::format("{}: what arrived is not what was stored: its checksum is another one",
                                                 client_.name_of(full)));
  }
  return object;
}

// Which bytes of the object the answer carries, or would have carried had it not broken off.
Result<S3Store::Extent> S3Store::extent_of(const HttpResponse& response, const Range& range,
                                           std::uint64_t got) const {
  const Error misfit(ErrorKind::corrupt,
                     fmt::format("the store's answer is not what was asked for (status {}, Content-Range '{}', "
                                 "Content-Length '{}')",
                                 response.status, header_or_empty(response, "content-range"),
                                 header_or_empty(response, "content-length")));
  const bool from_end = range.from == Range::From::end;
  Extent extent;
  if (response.status == 206) {
    const auto part = content_range(response);
    if (!part) return misfit;
    extent = {part->first, part->last - part->first + 1, part->total};
    const std::uint64_t most = from_end ? part->total : part->total - part->first;
    const bool fits = from_end ? part->last + 1 == part->total : part->first == range.first;
    if (!fits || extent.length != std::min(range.length.value_or(kFarAway), most)) return misfit;
  } else {
    // All of it: also good as an answer to a range that is all of it. Without a length, only the end of the
    // connection tells the end of the body, and so only a whole one is good.
    const auto length = content_length(response);
    if (!length && !response.whole) return misfit.as(ErrorKind::retry_later);
    extent.length = extent.total = length.value_or(got);
    if (range.first > 0 || extent.length > range.length.value_or(kFarAway)) return misfit;
  }
  if (got > extent.length) return misfit;
  return extent;
}

// Fetches what is missing at the end of a body that broke off.
Result<void> S3Store::resume(const std::string& full, Receiver& receiver) {
  for (int tries = 0; receiver.missing() > 0; ++tries) {
    const Error broke_off(ErrorKind::retry_later,
                          fmt::format("{}: the body broke off after {} of {} bytes", client_.name_of(full),
                                      receiver.have(), receiver.have() + receiver.missing()));
    if (tries == kTriesWithoutProgress) return broke_off;
    const std::uint64_t before = receiver.have();
    const auto rest = get_rest(full, receiver);
    if (!rest && (receiver.is_refused() || rest.error().kind() != ErrorKind::retry_later)) return rest.error();
    if (receiver.have() > before) tries = -1;
  }
  return {};
}

// Some bytes of what is missing, from its beginning on, of just the object that the others are of.
Result<void> S3Store::get_rest(const std::string& full, Receiver& receiver) {
  const Error changed = changed_while_read(client_.name_of(full));
  const Range range = receiver.rest();
  Call call = range_call(full, range);
  const bool condition = dialect_.now().get_if_match;
  if (condition) call.headers.emplace_back("If-Match", fmt::format("\"{}\"", receiver.info().etag));
  CAIRN_ASSIGN(const HttpResponse response, receive(call, range, receiver));
  if (response.status == 412 && condition) {
    // It changed, or the store does not understand the condition: then the answer's own etag has to do.
    CAIRN_ASSIGN(const auto there, look(full));
    if (!there || there->info.etag != receiver.info().etag) return changed;
    dialect_.learn(&Dialect::get_if_match, false);
    return get_rest(full, receiver);
  }
  if (response.status == 416) return changed;
  if (!is_success(response)) return client_.error_of(response, call);
  return {};
}

Result<ObjectInfo> S3Store::read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                                 const TakePiece& take) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  const Range range{Range::From::start, offset, length};
  const auto nothing = [&]() -> Result<ObjectInfo> {
    CAIRN_ASSIGN(Object object, fetch_nothing(key, range));
    return std::move(object.info);
  };
  if (length == 0 || offset >= kFarAway) return nothing();
  const std::string full = full_key(key);
  const Call call = range_call(full, range);
  Receiver receiver(*this, key, take);
  CAIRN_ASSIGN(const HttpResponse response, receive(call, range, receiver));
  if (response.status == 416) return nothing();
  if (!is_success(response)) return client_.error_of(response, call);
  bucket_seen_ = true;
  CAIRN_TRY(resume(full, receiver));
  return receiver.info();
}

Result<ObjectInfo> S3Store::head(std::string_view key) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  CAIRN_ASSIGN(auto there, look(full_key(key)));
  if (there) return std::move(there->info);
  return Error(ErrorKind::not_found, fmt::format("{}: there is no such object", client_.name_of(full_key(key))));
}

// An answer to HEAD has no document that says what was wrong: one byte is asked for, and refused in words.
Error S3Store::explain(const std::string& full, const HttpResponse& response) {
  Call call;
  call.key = full;
  const Error plain = client_.error_of(response, call);
  if (response.status >= 500 || response.status == 429) return plain;
  call.headers = client_.settings().object_bytes;
  call.headers.emplace_back("Range", range_value(0, 0));
  const auto told = client_.send(call);
  if (!told) return told.error();
  if (is_success(*told) || told->status == 404 || told->status == 416)
    return plain.as(ErrorKind::retry_later);  // it passed
  return client_.error_of(*told, call);
}

// 404 to HEAD is also what a bucket that is not there gives, and that is another thing than an object that is not
// there.
Result<void> S3Store::confirm_bucket() {
  if (bucket_seen_) return {};
  CAIRN_ASSIGN(const bool there, bucket_exists());
  if (there) return {};
  HttpResponse no_bucket;
  no_bucket.status = 404;
  const std::string_view document = "<Error><Code>NoSuchBucket</Code></Error>";
  no_bucket.body.assign(as_bytes(document).begin(), as_bytes(document).end());
  return client_.error_of(no_bucket, Call());
}

}  // namespace cairn::s3
