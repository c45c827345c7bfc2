// What an object store means: buckets, objects, uploads, conditions, listings, checksums; in memory. It knows neither
// the wire nor what goes wrong there. An answer is complete when handle() returns it; the effects of calls from many
// threads come one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "twin/dialect.h"
#include "twin/journal.h"
#include "twin/message.h"
#include "twin/sigv4.h"
#include "twin/state.h"

namespace cairn::twin {

struct ServiceOptions {
  std::vector<AccessKey> keys;
  std::string region = "us-east-1";
  std::vector<std::string> buckets;
  std::string base_domain = "localhost";
  Dialect dialect;
  bool all_headers_signed = true;        // see SignatureRules
  bool signed_payload_over_http = true;  // "
  bool verify_payload = true;            // false: x-amz-content-sha256 is believed, for benchmarks
  // false: of an object's bytes only their number is kept, others are given back, and what is said of them is believed:
  // for benchmarks, in which the server should cost next to nothing.
  bool keep_bodies = true;
  bool requester_pays = false;           // who does not say that it pays is denied
  std::uint64_t min_part_bytes = 5ull << 20;
  std::uint64_t max_put_bytes = 5ull << 30;
  std::uint64_t max_page = 1000;
  std::string directory;                 // not empty: all is kept there
};

// What a fault makes of a request that is otherwise good.
struct Twist {
  bool one_key = false;
  bool stale_list = false;
  bool conflict = false;
  bool upload_is_gone = false;
  bool forget_finished = false;
  bool some_stay = false;  // of a batch of deletions, every other one fails
};

class Service {
 public:
  // `now_ms`: the server's clock, which may be wrong.
  static Result<std::unique_ptr<Service>> open(ServiceOptions options, std::function<std::int64_t()> now_ms);

  // When the headers are there: first what the request means, then whether it may be, without a look at the body.
  // `skew_ms`: how far the server's clock is off for this one request.
  Refusal interpret(Request& request) const { return understand(request, options_.base_domain); }
  Refusal admit(Request& request, std::int64_t skew_ms = 0) EXCLUDES(mutex_);
  // When the body is there too.
  Response handle(Request& request, const Twist& twist = {}) EXCLUDES(mutex_);

  void set_dialect(const Dialect& dialect) EXCLUDES(mutex_);
  void set_denied(const Operations& denied) EXCLUDES(mutex_);
  void set_keys(std::vector<AccessKey> keys) EXCLUDES(mutex_);
  // Objects that nobody may delete, as a policy says it of some keys.
  void set_undeletable(std::set<std::string> keys) EXCLUDES(mutex_);
  // Forgets all uploads, as a lifecycle rule does.
  void expire_uploads() EXCLUDES(mutex_);

  // What lies there, for tests that look behind the client's back.
  std::optional<std::string> text_of(const std::string& bucket, const std::string& key) EXCLUDES(mutex_);
  std::string header_of(const std::string& bucket, const std::string& key, std::string_view name) EXCLUDES(mutex_);
  std::vector<std::string> keys_of(const std::string& bucket) EXCLUDES(mutex_);
  std::set<std::string> newest_keys_of(const std::string& bucket) EXCLUDES(mutex_);
  std::size_t upload_count(const std::string& bucket) EXCLUDES(mutex_);
  std::vector<std::string> upload_keys(const std::string& bucket) EXCLUDES(mutex_);
  // One bit of an object's bytes changes, and nothing else of it.
  void damage(const std::string& bucket, const std::string& key, std::uint64_t bit) EXCLUDES(mutex_);

 private:
  Service(ServiceOptions options, std::function<std::int64_t()> now_ms);

  // What a request's body was found to be, worked out before the lock is taken.
  struct BodyFacts {
    std::string etag;
    std::optional<Checksum> checksum;
  };
  Refusal check_form(const Request& request) const;
  Refusal check_rights(const Request& request, const AccessKey& key) REQUIRES(mutex_);
  std::expected<BodyFacts, Response> look_at_body(const Request& request, const Dialect& dialect);
  Response dispatch(const Request& request, const Twist& twist, const BodyFacts& facts) REQUIRES(mutex_);
  // Puts the change into effect; the refusal of a disk that is full.
  Refusal commit(const Change& change) REQUIRES(mutex_);

  void forget_upload(const Request& request) REQUIRES(mutex_);

  // objects.cc
  Response put_object(const Request& request, const Twist& twist, const BodyFacts& facts) REQUIRES(mutex_);
  Response get_object(const Request& request) REQUIRES(mutex_);
  Response delete_object(const Request& request) REQUIRES(mutex_);
  Response delete_objects(const Request& request, const Twist& twist) REQUIRES(mutex_);
  Response create_bucket(const Request& request) REQUIRES(mutex_);
  // conditions.cc
  Refusal check_write_condition(const Request& request) REQUIRES(mutex_);
  Refusal check_create_only(const Request& request, Conditions policy) REQUIRES(mutex_);
  Refusal check_if_match(const Request& request, Conditions policy) REQUIRES(mutex_);
  Response condition_failed(const Request& request) REQUIRES(mutex_);
  // listing.cc
  Response list_objects(const Request& request, const Twist& twist) REQUIRES(mutex_);
  Response list_parts(const Request& request, const Twist& twist) REQUIRES(mutex_);
  Response list_uploads(const Request& request, const Twist& twist) REQUIRES(mutex_);
  // multipart.cc
  Response create_upload(const Request& request) REQUIRES(mutex_);
  Response upload_part(const Request& request, const BodyFacts& facts) REQUIRES(mutex_);
  Response copy_part(const Request& request) REQUIRES(mutex_);
  Response complete_upload(const Request& request, const Twist& twist) REQUIRES(mutex_);
  Response abort_upload(const Request& request) REQUIRES(mutex_);
  Refusal check_parts(const Upload& upload, const std::vector<struct WantedPart>& wanted) REQUIRES(mutex_);

  Bucket& bucket_of(const Request& request) REQUIRES(mutex_) { return state_.buckets[request.bucket]; }
  const StoredObject* find_object(const std::string& bucket, const std::string& key) REQUIRES(mutex_);
  Upload* find_upload(const Request& request) REQUIRES(mutex_);
  std::string random_hex() REQUIRES(mutex_);
  // Whole seconds: what a header says and what a listing says are the same then.
  std::int64_t time_of_write_ms() const { return now_ms_() / 1000 * 1000; }

  const ServiceOptions options_;
  const std::function<std::int64_t()> now_ms_;

  Mutex mutex_;
  Dialect dialect_ GUARDED_BY(mutex_);
  Operations denied_ GUARDED_BY(mutex_);
  std::set<std::string> undeletable_ GUARDED_BY(mutex_);
  std::vector<AccessKey> keys_ GUARDED_BY(mutex_);
  State state_ GUARDED_BY(mutex_);
  std::uint64_t random_ GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Journal> journal_ GUARDED_BY(mutex_);
};

Response no_such_key(const Request& request);
Response no_such_upload(const Request& request);
std::string in_quotes(std::string_view etag);
// Without quotes, when it has both.
std::string_view unquoted(std::string_view etag);

}  // namespace cairn::twin
