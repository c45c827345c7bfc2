// A twin, and a store on it as open_store() puts it together, but with everything in the test's hands: what is large,
// and waits that take no time.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "s3/credentials.h"
#include "s3/http.h"
#include "s3/large.h"
#include "s3/s3_store.h"
#include "s3/settings.h"
#include "s3/usage.h"
#include "store/retry.h"
#include "twin/twin.h"

namespace cairn::s3 {

class NoSleep final : public Sleeper {
 public:
  void sleep_ms(std::int64_t) override {}
};

// Gives up on every answer that takes long: a stall is told from a slow line after whole seconds only.
class Impatient final : public HttpClient {
 public:
  Impatient(std::unique_ptr<HttpClient> inner, std::int64_t most_ms) : inner_(std::move(inner)), most_ms_(most_ms) {}
  Result<HttpResponse> send(const HttpRequest& request) override {
    HttpRequest limited = request;
    limited.total_ms = most_ms_;
    return inner_->send(limited);
  }

 private:
  const std::unique_ptr<HttpClient> inner_;
  const std::int64_t most_ms_;
};

struct TwinStoreOptions {
  twin::TwinOptions twin;
  LargeOptions large;
  RetryOptions retry;
  std::string url_options;  // "?..." of the store
  S3Options s3;
  Dialect known;
  std::int64_t most_wait_ms = 0;  // for any answer; 0: the client's own patience
};

inline constexpr std::uint64_t kPart = 64 << 10;

// Parts and large objects of a few `part_bytes`, and no waits.
inline TwinStoreOptions small_parts(const std::string& dialect, twin::Tls tls, std::uint64_t part_bytes = kPart) {
  TwinStoreOptions options;
  options.twin.dialect = *twin::dialect_named(dialect);
  options.twin.tls = tls;
  options.twin.min_part_bytes = part_bytes;
  // What they lack is asked for only of who says that nobody else writes.
  options.s3.accept_single_writer = dialect.starts_with("swift") || dialect == "b2" || dialect == "nothing";
  options.large = {4, 2 * part_bytes, 2 * part_bytes, part_bytes, part_bytes};
  options.retry.breaker.failures = 1'000'000;  // its time would be real time
  return options;
}

class TwinStore {
 public:
  explicit TwinStore(TwinStoreOptions options = {}) : twin(options.twin) {
    EXPECT_TRUE(twin.start());
    S3Options s3 = options.s3;
    s3.endpoint = twin.url();
    if (s3.access_key_id.empty()) {
      s3.access_key_id = options.twin.keys.front().id;
      s3.secret_access_key = options.twin.keys.front().secret;
      s3.session_token = options.twin.keys.front().session_token;
    }
    const auto nothing = [](const std::string&) { return std::optional<std::string>(); };
    auto location = parse_s3_url("s3://bucket" + options.url_options, s3);
    EXPECT_TRUE(location) << location.error().message();
    HttpOptions http_options;
    if (options.twin.tls != twin::Tls::off) http_options.ca_bundle = trust(twin.certificate_pem());
    auto client = make_http_client(http_options);
    if (options.most_wait_ms > 0) client = std::make_unique<Impatient>(std::move(client), options.most_wait_ms);
    http = std::make_unique<UsageCounter>(std::move(client));
    credentials = make_credentials_chain(location->options, CredentialsContext{nothing, http->uncounted(), clock});
    auto settings = make_settings(*location, nothing, "");
    EXPECT_TRUE(settings) << settings.error().message();
    auto made =
        std::make_unique<S3Store>(*settings, S3Parts{*http, *credentials, clock, random, http.get()}, options.known);
    requests = made.get();
    auto repeating = make_retrying_store(std::move(made), options.retry, clock, retry_random, sleeper);
    store = make_large_object_store(nullptr, std::move(repeating), *requests, options.large);
  }
  ~TwinStore() {
    store.reset();
    http.reset();  // its connections end, so that the twin's threads do
    if (!trusted_.empty()) std::remove(trusted_.c_str());
  }
  TwinStore(const TwinStore&) = delete;
  TwinStore& operator=(const TwinStore&) = delete;

  twin::Twin twin;
  SystemClock clock;
  SystemRandom random, retry_random;
  NoSleep sleeper;
  std::unique_ptr<UsageCounter> http;
  std::unique_ptr<CredentialsProvider> credentials;
  S3Store* requests = nullptr;
  std::unique_ptr<Store> store;

 private:
  // A file that makes the twin's certificate one to trust.
  std::string trust(const std::string& certificate) {
    trusted_ = ::testing::TempDir() + "cairn-twin-" + random.id().hex() + ".pem";
    std::FILE* file = std::fopen(trusted_.c_str(), "w");
    EXPECT_NE(file, nullptr);
    std::fputs(certificate.c_str(), file);
    std::fclose(file);
    return trusted_;
  }

  std::string trusted_;
};

}  // namespace cairn::s3
