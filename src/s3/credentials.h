// Where AWS users keep their keys, looked at in the order that AWS' own tools use: given by hand, environment, web
// identity, shared credentials and config files (profiles, credential_process, role chains are not followed), container
// endpoint, instance metadata v2.
//
// Secrets never show in an error's message, nor in anything printed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cairn/error.h"
#include "cairn/store.h"
#include "s3/http.h"

namespace cairn::s3 {

struct Credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;      // empty: none
  std::int64_t expires_ms = 0;    // since 1970; 0: never
  std::string source;             // for people: "environment", "profile default", "instance metadata", ...
};

class CredentialsProvider {
 public:
  virtual ~CredentialsProvider() = default;
  // Good for now; fetched anew some minutes before they expire (and from the old ones while that fails, until they
  // really expire). denied: none were found; the message says where was looked. Safe from many threads.
  virtual Result<Credentials> get() = 0;
  // The server said that these are expired or not known: the next get() fetches anew.
  virtual void invalidate(const Credentials& refused) = 0;
};

// What the chain takes from its surroundings, so that tests can give their own.
struct CredentialsContext {
  std::function<std::optional<std::string>(const std::string&)> environment;  // a variable's value
  HttpClient& http;   // for web identity, container endpoint, instance metadata
  Clock& clock;
};

std::unique_ptr<CredentialsProvider> make_credentials_chain(const S3Options& options, CredentialsContext context);

// The region that environment or profile say; empty: neither does.
std::string configured_region(const S3Options& options, const CredentialsContext& context);

}  // namespace cairn::s3
