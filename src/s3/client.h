// One S3 request and its answer: addressed, signed, sent; and sent once more where the answer itself says how to do
// it right: in the bucket's own region, by the store's clock (a few times, should its servers' clocks differ), with
// keys that have been renewed. Nothing else is repeated here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "s3/credentials.h"
#include "s3/errors.h"
#include "s3/http.h"
#include "s3/settings.h"

namespace cairn::s3 {

enum class Payload { signed_body, unsigned_body };  // unsigned: over TLS, with a checksum among the headers

struct Call {
  Action action = Action::read;  // also says what an unclear outcome means
  std::string method = "GET";
  std::string key;                                         // with the store's prefix; empty: the bucket
  std::vector<std::pair<std::string, std::string>> query;  // decoded; an empty value is left away
  HeaderFields headers;
  const Source* body = nullptr;
  Payload payload = Payload::signed_body;
  const TakeBody* take = nullptr;  // see HttpRequest
  std::uint64_t max_body_bytes = 64ull << 20;
  std::int64_t stall_ms = 30'000;
};

class Client {
 public:
  // All but the settings must outlive it.
  Client(Settings settings, HttpClient& http, CredentialsProvider& credentials, Clock& clock);

  // The answer, whatever its status. Errors: as HttpClient and CredentialsProvider give them.
  Result<HttpResponse> send(const Call& call) EXCLUDES(mutex_);
  // The answer if it is one of success (2xx); else its error.
  Result<HttpResponse> expect(const Call& call) EXCLUDES(mutex_);

  Error error_of(const HttpResponse& response, const Call& call) const EXCLUDES(mutex_);
  Error error_of(const Refusal& refusal, const Call& call) const EXCLUDES(mutex_);

  const Settings& settings() const { return settings_; }
  Transport transport() const { return settings_.endpoint.transport; }
  Endpoint endpoint() const EXCLUDES(mutex_);  // where requests go now
  std::string region() const EXCLUDES(mutex_);
  std::string server() const EXCLUDES(mutex_);  // as it calls itself
  // The store's time, as far as its answers told.
  std::int64_t store_wall_ms() const EXCLUDES(mutex_);
  // "s3://bucket/key", for messages.
  std::string name_of(std::string_view key) const;

 private:
  struct Tries {  // of one call: how often each remedy was tried
    bool region = false, keys = false;
    int clock = 0;
    std::int64_t offset_ms = 0;  // of the store's clock, as the last request was signed
  };
  HttpRequest request_of(const Call& call) const EXCLUDES(mutex_);
  Result<HttpResponse> send_once(const Call& call, const Credentials& credentials, std::int64_t wall_ms)
      EXCLUDES(mutex_);
  // True: something has been put right, and the call is worth another try.
  bool remedied(const Call& call, const HttpResponse& response, const Credentials& used, Tries& tries)
      EXCLUDES(mutex_);
  // It was refused because of its time, by somebody whose clock is not the one that it was signed by.
  bool is_skewed(const Call& call, const HttpResponse& response, const Tries& tries) const;
  bool moved_to(const std::string& region) EXCLUDES(mutex_);
  std::string region_of_bucket(const Credentials& credentials) EXCLUDES(mutex_);
  void note(const HttpResponse& response) EXCLUDES(mutex_);
  // How far the clock of whoever answered is ahead of this machine's; 0: not worth mentioning. None: it does not say.
  std::optional<std::int64_t> offset_of(const HttpResponse& response) const;
  std::int64_t clock_offset_ms() const EXCLUDES(mutex_);
  Subject subject_of(const Call& call) const EXCLUDES(mutex_);

  const Settings settings_;
  HttpClient& http_;
  CredentialsProvider& credentials_;
  Clock& clock_;
  mutable Mutex mutex_;
  Endpoint endpoint_ GUARDED_BY(mutex_);
  std::string region_ GUARDED_BY(mutex_);
  std::string server_ GUARDED_BY(mutex_);
  std::string key_source_ GUARDED_BY(mutex_);
  std::string date_ GUARDED_BY(mutex_);            // of the last answer
  std::int64_t offset_ms_ GUARDED_BY(mutex_) = 0;  // the store's clock less this machine's
};

}  // namespace cairn::s3
