#include "s3/connect.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "s3/credentials.h"
#include "s3/http.h"
#include "s3/large.h"
#include "s3/settings.h"
#include "s3/usage.h"
#include "store/retry.h"

namespace cairn::s3 {

namespace {

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace

// The clock goes to the store as well.
struct SharedStores::Common {
  Common(const HttpOptions& http_options, const S3Options& options)
      : http(make_http_client(http_options)),
        credentials(make_credentials_chain(options, CredentialsContext{variable, *http, clock})) {}

  SystemClock clock;
  const std::shared_ptr<HttpClient> http;
  const std::unique_ptr<CredentialsProvider> credentials;
  const std::shared_ptr<LearnedDialect> dialect = std::make_shared<LearnedDialect>();
};

SharedStores::SharedStores() = default;
SharedStores::~SharedStores() = default;

std::shared_ptr<SharedStores::Common> SharedStores::of(const std::string& bucket_and_options,
                                                       const S3Options& options, const HttpOptions& http) {
  MutexLock lock(mutex_);
  std::shared_ptr<Common>& common = common_[bucket_and_options];
  if (!common) common = std::make_shared<Common>(http, options);
  return common;
}

void SharedStores::close_idle_connections() {
  std::vector<std::shared_ptr<Common>> all;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, common] : common_) all.push_back(common);
  }
  for (const auto& common : all) common->http->close_idle();
}

namespace {

// What must be there before the store and after it.
struct Surroundings {
  explicit Surroundings(std::shared_ptr<SharedStores::Common> with) : common(std::move(with)), http(common->http) {}

  const std::shared_ptr<SharedStores::Common> common;
  SystemRandom random;
  SystemSleeper sleeper;
  UsageCounter http;
};

// What two URLs have in common that may share.
std::string bucket_and_options(std::string_view url, const Location& location) {
  const std::size_t query = std::min(url.find('?'), url.size());
  return location.bucket + std::string(url.substr(query));
}

}  // namespace

Result<Connection> connect(std::string_view url, const S3Options& options, const Dialect& known,
                           SharedStores* shared) {
  CAIRN_ASSIGN(Location location, parse_s3_url(url, options));
  const std::string shared_by = bucket_and_options(url, location);
  const S3Options chosen = location.options;
  HttpOptions http;
  http.max_connections = std::max(http.max_connections, chosen.connections);
  // Which region is configured is asked of the shared files: before there is a transport, which needs what comes of
  // it.
  SystemClock clock;
  const auto no_http = make_http_client(http);
  const std::string region = configured_region(chosen, CredentialsContext{variable, *no_http, clock});
  CAIRN_ASSIGN(Settings settings, make_settings(std::move(location), variable, region));
  http.ca_bundle = settings.ca_bundle;
  RetryOptions retry;
  retry.attempts = settings.attempts.value_or(retry.attempts);

  auto surroundings = std::make_shared<Surroundings>(
      shared != nullptr ? shared->of(shared_by, chosen, http)
                        : std::make_shared<SharedStores::Common>(http, chosen));
  SharedStores::Common& common = *surroundings->common;
  auto requests = std::make_unique<S3Store>(std::move(settings),
                                            S3Parts{surroundings->http, *common.credentials, common.clock,
                                                    surroundings->random, &surroundings->http,
                                                    shared != nullptr ? common.dialect : nullptr},
                                            known);
  Connection connection;
  connection.requests = requests.get();
  auto repeating = make_retrying_store(std::move(requests), retry, common.clock, surroundings->random,
                                       surroundings->sleeper);
  LargeOptions large;
  large.connections = chosen.connections;
  connection.store = make_large_object_store(surroundings, std::move(repeating), *connection.requests, large);
  return connection;
}

}  // namespace cairn::s3
