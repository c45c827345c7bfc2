#include "twin/service.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "twin/attributes.h"
#include "twin/text.h"

namespace cairn::twin {
namespace {

bool has_body(const Request& request) { return request.method == "PUT" || request.method == "POST"; }

bool reads_object(Operation operation) {
  return operation == Operation::get_object || operation == Operation::head_object;
}

Response access_denied() { return error_answer(403, "AccessDenied", "Access Denied"); }

}  // namespace

std::string in_quotes(std::string_view etag) { return fmt::format("\"{}\"", etag); }

std::string_view unquoted(std::string_view etag) {
  const bool has_both = etag.size() >= 2 && etag.front() == '"' && etag.back() == '"';
  return has_both ? etag.substr(1, etag.size() - 2) : etag;
}

Response no_such_key(const Request& request) {
  // Who may not list may not learn what there is either.
  if (!request.may_list && reads_object(request.operation)) return access_denied();
  return error_answer(404, "NoSuchKey", "The specified key does not exist.", {{"Key", request.key}});
}

Response no_such_upload(const Request& request) {
  const std::string* const id = request.argument("uploadId");
  return error_answer(404, "NoSuchUpload",
                      "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
                      "been aborted or completed.",
                      {{"UploadId", id != nullptr ? *id : ""}});
}

Service::Service(ServiceOptions options, std::function<std::int64_t()> now_ms)
    : options_(std::move(options)), now_ms_(std::move(now_ms)), dialect_(options_.dialect), keys_(options_.keys) {}

Result<std::unique_ptr<Service>> Service::open(ServiceOptions options, std::function<std::int64_t()> now_ms) {
  std::unique_ptr<Service> service(new Service(std::move(options), std::move(now_ms)));
  const MutexLock lock(service->mutex_);
  if (!service->options_.directory.empty()) {
    State state;  // apart until it is whole: thread-safety analysis does not see into the lambda
    CAIRN_ASSIGN(service->journal_, Journal::open(service->options_.directory,
                                                  [&state](const Change& change) { state.apply(change); }));
    service->state_ = std::move(state);
  }
  for (const std::string& bucket : service->options_.buckets) {
    if (service->state_.buckets.contains(bucket)) continue;
    Change change;
    change.kind = Change::Kind::make_bucket;
    change.bucket = bucket;
    if (service->commit(change)) return Error(ErrorKind::io, "the journal cannot be written");
  }
  return service;
}

Refusal Service::commit(const Change& change) {
  if (journal_) {
    if (const auto written = journal_->append(change); !written) {
      return error_answer(500, "InternalError", written.error().message());
    }
  }
  state_.apply(change);
  return std::nullopt;
}

Refusal Service::check_form(const Request& request) const {
  if (request.header("transfer-encoding") != nullptr) return not_implemented("transfer-encoding");
  const std::string* const length = request.header("content-length");
  if (has_body(request) && length == nullptr) {
    return error_answer(411, "MissingContentLength", "You must provide the Content-Length HTTP header.");
  }
  const std::uint64_t length_bytes = length == nullptr ? 0 : parse_number(*length).value_or(~0ull);
  const std::uint64_t limit = takes_bytes(request.operation) ? options_.max_put_bytes : 4ull << 20;
  if (length_bytes > limit) {
    return error_answer(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size",
                        {{"ProposedSize", std::to_string(length_bytes)}, {"MaxSizeAllowed", std::to_string(limit)}});
  }
  return check_headers(request);
}

Refusal Service::check_rights(const Request& request, const AccessKey& key) {
  const bool lists = request.operation == Operation::list_objects || request.operation == Operation::list_uploads;
  if (denied_.contains(request.operation) || (key.read_only && writes(request.operation)) ||
      (!key.may_list && lists)) {
    return access_denied();
  }
  if (request.operation == Operation::create_bucket) return std::nullopt;
  if (!state_.buckets.contains(request.bucket)) {
    return error_answer(404, "NoSuchBucket", "The specified bucket does not exist",
                        {{"BucketName", request.bucket}});
  }
  if (options_.requester_pays && request.header_or("x-amz-request-payer") != "requester") return access_denied();
  return std::nullopt;
}

Refusal Service::admit(Request& request, std::int64_t skew_ms) {
  const MutexLock lock(mutex_);
  SignatureRules rules;
  rules.region = options_.region;
  rules.any_region = dialect_.any_region;
  rules.redirects = dialect_.redirects;
  rules.all_headers = options_.all_headers_signed;
  rules.signed_payload_over_http = options_.signed_payload_over_http;
  rules.now_ms = now_ms_() + skew_ms;
  auto key = authenticate(request, keys_, rules);
  if (!key) return std::move(key.error());
  if (Refusal refusal = check_form(request)) return refusal;
  request.may_list = (*key)->may_list;
  if (Refusal refusal = check_rights(request, **key)) return refusal;
  request.arrived_at = state_.writes;
  if (!dialect_.atomic_conditions) {
    if (Refusal refusal = check_write_condition(request)) return refusal;
    request.condition_was_checked = true;
  }
  return std::nullopt;
}

std::expected<Service::BodyFacts, Response> Service::look_at_body(const Request& request, const Dialect& dialect) {
  const bool is_kept = options_.keep_bodies || !takes_bytes(request.operation);
  if (options_.verify_payload && is_kept) {
    if (Refusal refusal = check_payload(request)) return std::unexpected(std::move(*refusal));
  }
  BodyFacts facts;
  if (takes_bytes(request.operation) || request.operation == Operation::delete_objects) {
    auto claim = body_claim(request, dialect);
    if (!claim) return std::unexpected(std::move(claim.error()));
    facts.checksum = std::move(*claim);
  }
  if (!is_kept) return facts;
  if (Refusal refusal = check_body(request, facts.checksum)) return std::unexpected(std::move(*refusal));
  if (takes_bytes(request.operation) && dialect.md5_etags) facts.etag = hex(md5(request.body_view()));
  return facts;
}

Response Service::handle(Request& request, const Twist& twist) {
  Dialect dialect;
  {
    const MutexLock lock(mutex_);
    dialect = dialect_;
  }
  auto facts = look_at_body(request, dialect);
  if (!facts) return std::move(facts.error());
  const MutexLock lock(mutex_);
  if (facts->etag.empty()) facts->etag = random_hex();
  Response response = dispatch(request, twist, *facts);
  if (options_.requester_pays) response.with("x-amz-request-charged", "requester");
  return response;
}

Response Service::dispatch(const Request& request, const Twist& twist, const BodyFacts& facts) {
  if (twist.upload_is_gone) forget_upload(request);
  switch (request.operation) {
    case Operation::put_object: return put_object(request, twist, facts);
    case Operation::get_object:
    case Operation::head_object: return get_object(request);
    case Operation::delete_object: return delete_object(request);
    case Operation::delete_objects: return delete_objects(request, twist);
    case Operation::list_objects: return list_objects(request, twist);
    case Operation::create_upload: return create_upload(request);
    case Operation::upload_part: return upload_part(request, facts);
    case Operation::copy_part: return copy_part(request);
    case Operation::list_parts: return list_parts(request, twist);
    case Operation::list_uploads: return list_uploads(request, twist);
    case Operation::complete_upload: return complete_upload(request, twist);
    case Operation::abort_upload: return abort_upload(request);
    case Operation::head_bucket: return Response().with("x-amz-bucket-region", options_.region);
    case Operation::create_bucket: return create_bucket(request);
    case Operation::get_location: {
      const bool is_first = options_.region == "us-east-1";  // which has no name here
      Xml xml("LocationConstraint");
      std::string document = xml.finish();
      if (!is_first) document.insert(document.rfind("</"), options_.region);
      return xml_answer(document);
    }
    case Operation::unknown: break;
  }
  return not_implemented("this operation");
}

const StoredObject* Service::find_object(const std::string& bucket, const std::string& key) {
  const auto& objects = state_.buckets[bucket].objects;
  const auto found = objects.find(key);
  return found == objects.end() ? nullptr : &found->second;
}

Upload* Service::find_upload(const Request& request) {
  const std::string* const id = request.argument("uploadId");
  auto& uploads = bucket_of(request).uploads;
  const auto found = id == nullptr ? uploads.end() : uploads.find(*id);
  return found == uploads.end() || found->second.key != request.key ? nullptr : &found->second;
}

void Service::forget_upload(const Request& request) {
  const std::string* const id = request.argument("uploadId");
  if (id == nullptr) return;
  Change change;
  change.kind = Change::Kind::drop_upload;
  change.bucket = request.bucket;
  change.upload_id = *id;
  (void)commit(change);
}

// Different at every start of a twin, so that nobody counts on what an etag or upload id is.
std::string Service::random_hex() {
  if (random_ == 0) random_ = static_cast<std::uint64_t>(now_ms_()) * 1000003 + state_.writes;
  std::string seed(8, '\0');
  store_le(reinterpret_cast<std::byte*>(seed.data()), ++random_);
  return hex(md5(as_bytes(seed)));
}

void Service::set_dialect(const Dialect& dialect) {
  const MutexLock lock(mutex_);
  dialect_ = dialect;
}

void Service::set_denied(const Operations& denied) {
  const MutexLock lock(mutex_);
  denied_ = denied;
}

void Service::set_undeletable(std::set<std::string> keys) {
  const MutexLock lock(mutex_);
  undeletable_ = std::move(keys);
}

void Service::set_keys(std::vector<AccessKey> keys) {
  const MutexLock lock(mutex_);
  keys_ = std::move(keys);
}

void Service::expire_uploads() {
  const MutexLock lock(mutex_);
  for (auto& [name, bucket] : state_.buckets) {
    while (!bucket.uploads.empty()) {
      Change change;
      change.kind = Change::Kind::drop_upload;
      change.bucket = name;
      change.upload_id = bucket.uploads.begin()->first;
      if (commit(change)) return;
    }
  }
}

std::optional<std::string> Service::text_of(const std::string& bucket, const std::string& key) {
  const MutexLock lock(mutex_);
  const StoredObject* const object = find_object(bucket, key);
  return object == nullptr ? std::nullopt : std::optional(object->body.text());
}

std::string Service::header_of(const std::string& bucket, const std::string& key, std::string_view name) {
  const MutexLock lock(mutex_);
  const StoredObject* const object = find_object(bucket, key);
  if (object == nullptr) return {};
  for (const Header& header : object->attributes.headers) {
    if (header.name == name) return header.value;
  }
  return {};
}

std::vector<std::string> Service::keys_of(const std::string& bucket) {
  const MutexLock lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, object] : state_.buckets[bucket].objects) keys.push_back(key);
  return keys;
}

std::vector<std::string> Service::upload_keys(const std::string& bucket) {
  const MutexLock lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [id, upload] : state_.buckets[bucket].uploads) keys.push_back(upload.key);
  return keys;
}

std::size_t Service::upload_count(const std::string& bucket) {
  const MutexLock lock(mutex_);
  return state_.buckets[bucket].uploads.size();
}

void Service::damage(const std::string& bucket, const std::string& key, std::uint64_t bit) {
  const MutexLock lock(mutex_);
  auto& objects = state_.buckets[bucket].objects;
  const auto found = objects.find(key);
  if (found == objects.end() || found->second.body.size_bytes() <= bit / 8) return;
  std::string bytes = found->second.body.text();
  bytes[bit / 8] = static_cast<char>(static_cast<unsigned char>(bytes[bit / 8]) ^ (1u << (bit % 8)));
  found->second.body = Rope::of(bytes);
}

}  // namespace cairn::twin
