// The chain looks at one place after the other, in the order of AWS' own tools. A place that is not configured is
// passed over, and remembered for the message that lists where was looked; one that is configured and fails ends the
// search: falling through to keys that the user did not mean would be worse than stopping.
//
// What it finds is kept until some minutes before it expires. Then one caller fetches anew, while the others go on with
// the old keys; only when those have really expired does everybody wait for that one. So a token service that is away
// for some minutes is not noticed, and many threads make one request.
#include "s3/credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/mutex.h"
#include "s3/credential_process.h"
#include "s3/endpoints.h"
#include "s3/shared_files.h"

namespace cairn::s3 {

namespace {

constexpr std::int64_t kProcessLimitMs = 60'000;
// Fetched anew so long before they expire, or when a fifth of their life is left, whichever is later.
constexpr std::int64_t kEarlyMs = 5 * 60'000;
// After a fetch that failed, or gave what a server then refused: so long until the next one.
constexpr std::int64_t kRestMs = 5'000;

constexpr const char* kAdvice =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or see 'cairn store --help' for the other ways";

class Chain {
 public:
  Chain(const S3Options& options, CredentialsContext context) : options_(options), context_(std::move(context)) {}

  Result<Credentials> find();
  std::string region() const;

 private:
  EndpointContext endpoint() const { return {context_.environment, context_.http, context_.clock}; }
  std::optional<std::string> variable(const std::string& name) const { return set_value(context_.environment, name); }

  Result<Looked> from_options() const;
  Result<Looked> from_environment() const;
  Result<Looked> from_web_identity() const;
  Result<Looked> from_profile() const;
  Result<Looked> from_settings(const Profile& profile) const;

  const S3Options options_;
  const CredentialsContext context_;
};

Result<Credentials> Chain::find() {
  std::vector<std::string> looked_at;
  const auto look = [&](Result<Looked> looked) -> Result<std::optional<Credentials>> {
    if (!looked) return looked.error();
    if (!looked->found) looked_at.push_back(std::move(looked->where));
    return std::move(looked->found);
  };
  const EndpointContext at = endpoint();
  const std::vector<std::function<Result<Looked>()>> places{
      [&] { return from_options(); },
      [&] { return from_environment(); },
      [&] { return from_web_identity(); },
      [&] { return from_profile(); },
      [&] { return ask_container_endpoint(at); },
      [&] { return ask_instance_metadata(at); },
  };
  for (const auto& place : places) {
    CAIRN_ASSIGN(std::optional<Credentials> found, look(place()));
    if (found) return *std::move(found);
  }
  std::erase(looked_at, std::string());
  return Error(ErrorKind::denied, fmt::format("no credentials for the store were found; looked at {}: {}",
                                              fmt::join(looked_at, ", "), kAdvice));
}

Result<Looked> Chain::from_options() const {
  if (options_.access_key_id.empty() && options_.secret_access_key.empty()) return Looked{};
  if (options_.access_key_id.empty() || options_.secret_access_key.empty()) {
    return Error(ErrorKind::denied, "one of the access key id and the secret access key was given without the other");
  }
  return Looked{Credentials{options_.access_key_id, options_.secret_access_key, options_.session_token, 0, "options"},
                ""};
}

// A profile that was asked for by name is not overruled by what the environment happens to hold.
Result<Looked> Chain::from_environment() const {
  if (!options_.profile.empty()) return Looked{};
  const auto id = variable("AWS_ACCESS_KEY_ID");
  const auto secret = variable("AWS_SECRET_ACCESS_KEY");
  if (!id && !secret) return Looked{{}, "the environment (AWS_ACCESS_KEY_ID is not set)"};
  if (!id || !secret) {
    return Error(ErrorKind::denied, fmt::format("{} is set, but {} is not: set both",
                                                id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                                                id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID"));
  }
  std::optional<std::string> token = variable("AWS_SESSION_TOKEN");
  if (!token) token = variable("AWS_SECURITY_TOKEN");  // its old name
  return Looked{Credentials{*id, *secret, token.value_or(""), 0, "environment"}, ""};
}

Result<Looked> Chain::from_web_identity() const {
  if (!options_.profile.empty()) return Looked{};
  WebIdentity identity;
  identity.token_file = variable("AWS_WEB_IDENTITY_TOKEN_FILE").value_or("");
  identity.role_arn = variable("AWS_ROLE_ARN").value_or("");
  if (identity.token_file.empty() || identity.role_arn.empty()) {
    return Looked{{}, "web identity (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set)"};
  }
  identity.session_name = variable("AWS_ROLE_SESSION_NAME").value_or("");
  identity.region = region();
  CAIRN_ASSIGN(Credentials credentials, assume_role_with_web_identity(identity, endpoint()));
  return Looked{std::move(credentials), ""};
}

Result<Looked> Chain::from_profile() const {
  const SharedFilePaths paths = shared_file_paths(context_.environment);
  if (paths.credentials.empty() && paths.config.empty()) {
    return Looked{{}, "no shared files (HOME is not set)"};
  }
  const Result<Profile> profile = read_profile(options_, context_.environment);
  if (!profile) return profile.error().as(ErrorKind::denied);
  const std::string where = fmt::format("profile '{}' of {} and {}", profile->name, paths.credentials, paths.config);
  if (!profile->found && profile->chosen) {
    return Error(ErrorKind::denied, fmt::format("there is no {}: choose another with AWS_PROFILE", where));
  }
  if (!profile->found) return Looked{{}, where + " (which is not there)"};
  CAIRN_ASSIGN(Looked looked, from_settings(*profile));
  if (!looked.found) looked.where = where + " (which has no keys)";
  return looked;
}

// Keys of the file of credentials, a role for a web identity, a program, keys of the file of settings.
Result<Looked> Chain::from_settings(const Profile& profile) const {
  const std::string source = fmt::format("profile {}", profile.name);
  const auto keys_of = [&](const Section& section) -> std::optional<Credentials> {
    const auto value = [&](const char* name) {
      const auto found = section.find(name);
      return found == section.end() ? std::string() : found->second;
    };
    Credentials keys{value("aws_access_key_id"), value("aws_secret_access_key"), value("aws_session_token"), 0, source};
    if (keys.access_key_id.empty() || keys.secret_access_key.empty()) return std::nullopt;
    return keys;
  };
  const auto role = profile.value("role_arn");
  const auto token_file = profile.value("web_identity_token_file");
  if (role && token_file) {
    WebIdentity identity{*token_file, *role, profile.value("role_session_name").value_or(""), region()};
    CAIRN_ASSIGN(Credentials credentials, assume_role_with_web_identity(identity, endpoint()));
    return Looked{std::move(credentials), ""};
  }
  if (role) {
    return Error(ErrorKind::denied,
                 fmt::format("{} takes a role by way of other credentials, which Cairn does not follow: let a "
                             "credential_process do it, as 'aws configure export-credentials' can",
                             source));
  }
  if (auto keys = keys_of(profile.credentials)) return Looked{std::move(keys), ""};
  if (const auto command = profile.value("credential_process")) {
    CAIRN_ASSIGN(Credentials credentials,
                 run_credential_process(*command, kProcessLimitMs, source + ", credential_process"));
    return Looked{std::move(credentials), ""};
  }
  if (auto keys = keys_of(profile.config)) return Looked{std::move(keys), ""};
  if (profile.value("sso_session") || profile.value("sso_start_url")) {
    return Error(ErrorKind::denied,
                 fmt::format("{} signs in by SSO, which Cairn does not: give it a credential_process = aws configure "
                             "export-credentials --profile NAME",
                             source));
  }
  return Looked{};
}

std::string Chain::region() const {
  if (!options_.region.empty()) return options_.region;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (auto region = variable(name)) return *std::move(region);
  }
  const Result<Profile> profile = read_profile(options_, context_.environment);
  return profile ? profile->value("region").value_or("") : "";
}

// Keeps what the chain finds.
class CachingChain final : public CredentialsProvider {
 public:
  CachingChain(const S3Options& options, CredentialsContext context)
      : clock_(context.clock), chain_(options, std::move(context)) {}

  Result<Credentials> get() override EXCLUDES(mutex_);
  void invalidate(const Credentials& refused) override EXCLUDES(mutex_);

 private:
  bool is_good(std::int64_t now_ms) const REQUIRES(mutex_) {
    return known_ && !refused_ && (known_->expires_ms == 0 || now_ms < known_->expires_ms);
  }
  bool is_fresh(std::int64_t now_ms) const REQUIRES(mutex_) {
    return is_good(now_ms) && (known_->expires_ms == 0 || now_ms < renew_at_ms_);
  }
  Result<Credentials> fetch() EXCLUDES(mutex_);
  void note(const Result<Credentials>& found, std::int64_t now_ms) REQUIRES(mutex_);

  Clock& clock_;
  Chain chain_;
  Mutex mutex_;
  ConditionVariable fetched_;
  std::optional<Credentials> known_ GUARDED_BY(mutex_);
  std::optional<Error> failure_ GUARDED_BY(mutex_);  // of the last fetch
  bool refused_ GUARDED_BY(mutex_) = false;          // a server did not take `known_`
  bool fetching_ GUARDED_BY(mutex_) = false;
  std::uint64_t fetches_ GUARDED_BY(mutex_) = 0;
  std::int64_t renew_at_ms_ GUARDED_BY(mutex_) = 0;
  std::int64_t rest_until_us_ GUARDED_BY(mutex_) = 0;  // no fetch before
};

Result<Credentials> CachingChain::get() {
  {
    MutexLock lock(mutex_);
    const Time now = clock_.now();
    if (is_fresh(now.wall_ms)) return *known_;
    const bool rests = now.mono_us < rest_until_us_;
    if (is_good(now.wall_ms) && (fetching_ || rests)) return *known_;
    if (rests && !fetching_) {
      if (failure_) return *failure_;
      if (known_) return *known_;  // just fetched, and refused: it would be the same again
    }
    if (fetching_) {
      const std::uint64_t awaited = fetches_ + 1;
      while (fetches_ < awaited) fetched_.wait(mutex_);
      if (is_good(clock_.now().wall_ms) || !failure_) return *known_;
      return *failure_;
    }
    fetching_ = true;
  }
  return fetch();
}

Result<Credentials> CachingChain::fetch() {
  Result<Credentials> found = chain_.find();
  MutexLock lock(mutex_);
  const Time now = clock_.now();
  if (found && found->expires_ms != 0 && found->expires_ms <= now.wall_ms) {
    found = Error(ErrorKind::denied, fmt::format("{}: the keys have expired at {}: renew them", found->source,
                                                 format_time(found->expires_ms)));
  }
  fetching_ = false;
  ++fetches_;
  rest_until_us_ = now.mono_us + kRestMs * 1000;
  note(found, now.wall_ms);
  fetched_.notify_all();
  // The old ones do, as long as they live.
  if (!found && is_good(now.wall_ms)) return *known_;
  return found;
}

void CachingChain::note(const Result<Credentials>& found, std::int64_t now_ms) {
  if (!found) {
    failure_ = found.error();
    return;
  }
  failure_.reset();
  refused_ = false;
  known_ = *found;
  if (known_->expires_ms == 0) return;
  renew_at_ms_ = known_->expires_ms - std::min(kEarlyMs, (known_->expires_ms - now_ms) / 5);
}

void CachingChain::invalidate(const Credentials& refused) {
  MutexLock lock(mutex_);
  const bool same = known_ && known_->access_key_id == refused.access_key_id &&
                    known_->session_token == refused.session_token &&
                    known_->secret_access_key == refused.secret_access_key;
  if (same) refused_ = true;
}

}  // namespace

std::unique_ptr<CredentialsProvider> make_credentials_chain(const S3Options& options, CredentialsContext context) {
  return std::make_unique<CachingChain>(options, std::move(context));
}

std::string configured_region(const S3Options& options, const CredentialsContext& context) {
  return Chain(options, context).region();
}

}  // namespace cairn::s3
