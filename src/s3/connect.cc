#include "s3/connect.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

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

// What must be there before the store and after it.
struct Surroundings {
  Surroundings(const HttpOptions& http_options, const S3Options& options)
      : http(make_http_client(http_options)),
        credentials(make_credentials_chain(options, CredentialsContext{variable, http.uncounted(), clock})) {}

  SystemClock clock;
  SystemRandom random;
  SystemSleeper sleeper;
  UsageCounter http;
  std::unique_ptr<CredentialsProvider> credentials;
};

}  // namespace

Result<Connection> connect(std::string_view url, const S3Options& options, const Dialect& known) {
  CAIRN_ASSIGN(Location location, parse_s3_url(url, options));
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

  auto surroundings = std::make_shared<Surroundings>(http, chosen);
  auto requests = std::make_unique<S3Store>(std::move(settings),
                                            S3Parts{surroundings->http, *surroundings->credentials,
                                                    surroundings->clock, surroundings->random, &surroundings->http},
                                            known);
  Connection connection;
  connection.requests = requests.get();
  auto repeating = make_retrying_store(std::move(requests), retry, surroundings->clock, surroundings->random,
                                       surroundings->sleeper);
  LargeOptions large;
  large.connections = chosen.connections;
  connection.store = make_large_object_store(surroundings, std::move(repeating), *connection.requests, large);
  return connection;
}

}  // namespace cairn::s3
