#include "s3/endpoints.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <pugixml.hpp>

#include "base/bytes.h"
#include "base/files.h"
#include "s3/credentials_json.h"

namespace cairn::s3 {

namespace {

constexpr std::uint64_t kMaxAnswerBytes = 1 << 20;
constexpr std::uint64_t kMaxTokenBytes = 64 << 10;
constexpr std::int64_t kTokenServiceMs = 10'000;
constexpr std::int64_t kContainerMs = 5'000;
constexpr std::int64_t kMetadataMs = 1'000;  // it is on this machine or not at all

struct Url {
  std::string origin;  // "http://host:port"
  std::string host;    // without brackets and port
  std::string target;  // "/path?query"
  bool is_https = false;
};

std::optional<Url> parse_url(const std::string& text) {
  Url url;
  url.is_https = text.starts_with("https://");
  if (!url.is_https && !text.starts_with("http://")) return std::nullopt;
  const std::size_t host = text.find("//") + 2;
  const std::size_t end = std::min(text.find_first_of("/?#", host), text.size());
  std::string_view authority = std::string_view(text).substr(host, end - host);
  if (authority.empty() || authority.find('@') != std::string_view::npos) return std::nullopt;
  url.origin = text.substr(0, end);
  url.target = text.substr(end, text.find('#') - end);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  if (authority.starts_with('[')) {
    url.host = authority.substr(1, authority.find(']') - 1);
  } else {
    url.host = authority.substr(0, authority.find(':'));
  }
  return url;
}

// Keys are asked for in the clear only where the wire does not leave this machine: on loopback, and at the addresses of
// ECS and EKS.
bool may_be_asked(const Url& url) {
  if (url.is_https || url.host == "localhost") return true;
  std::array<unsigned char, sizeof(in6_addr)> address{};
  if (::inet_pton(AF_INET, url.host.c_str(), address.data()) == 1) {
    return address[0] == 127 || url.host == "169.254.170.2" || url.host == "169.254.170.23";
  }
  if (::inet_pton(AF_INET6, url.host.c_str(), address.data()) != 1) return false;
  const in6_addr eks = {{{0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x23}}};
  const in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
  const auto same = [&](const in6_addr& other) { return std::equal(address.begin(), address.end(), other.s6_addr); };
  return same(eks) || same(loopback);
}

std::string form_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    if (plain) encoded.push_back(c);
    else encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

// A file that holds one token. Its content shows in no message.
Result<std::string> read_token(const std::string& path) {
  const std::unique_ptr<FileSystem> files = make_real_file_system();
  const Result<FileInfo> info = files->info(path);
  if (!info) return info.error().as(ErrorKind::denied);
  if (info->is_directory || info->size_bytes > kMaxTokenBytes) {
    return Error(ErrorKind::denied, fmt::format("{} holds no token", path));
  }
  const Result<Bytes> bytes = read_file(*files, path);
  if (!bytes) return bytes.error().as(ErrorKind::denied);
  std::string token(as_text(*bytes));
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  if (token.empty()) return Error(ErrorKind::denied, fmt::format("{} is empty", path));
  return token;
}

std::string body_of(const HttpResponse& response) { return std::string(as_text(response.body)); }

// The same call may work later.
bool is_passing(int status) { return status >= 500 || status == 429 || status == 408; }

Error status_error(const std::string& source, int status, const std::string& said) {
  const ErrorKind kind = is_passing(status) ? ErrorKind::retry_later : ErrorKind::denied;
  return Error(kind, fmt::format("{}: answered with status {}{}{}", source, status, said.empty() ? "" : ": ", said));
}

// No answer has had no effect that matters: asking for keys twice gives keys twice.
Error no_answer(const Error& error, const std::string& source) {
  return (error.kind() == ErrorKind::maybe_done ? error.as(ErrorKind::retry_later) : error).with(source);
}

}  // namespace

// The token service.

namespace {

constexpr const char* kWebIdentity = "web identity";

std::string token_service(const WebIdentity& identity, const Environment& environment) {
  if (const auto given = set_value(environment, "AWS_ENDPOINT_URL_STS")) return *given;
  if (const auto given = set_value(environment, "AWS_ENDPOINT_URL")) return *given;
  if (identity.region.empty()) return "https://sts.amazonaws.com";
  const char* domain = identity.region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return fmt::format("https://sts.{}.{}", identity.region, domain);
}

Result<Credentials> parse_token_answer(const HttpResponse& response) {
  pugi::xml_document document;
  const bool parsed = document.load_buffer(response.body.data(), response.body.size());
  if (response.status != 200) {
    const pugi::xml_node error = document.child("ErrorResponse").child("Error");
    std::string said = fmt::format("{}: {}", error.child_value("Code"), error.child_value("Message"));
    return status_error(kWebIdentity, response.status, parsed && error ? said.substr(0, 300) : "");
  }
  const pugi::xml_node node = document.child("AssumeRoleWithWebIdentityResponse")
                                  .child("AssumeRoleWithWebIdentityResult")
                                  .child("Credentials");
  const Result<std::int64_t> expires_ms = parse_time(node.child_value("Expiration"));
  Credentials credentials;
  credentials.access_key_id = node.child_value("AccessKeyId");
  credentials.secret_access_key = node.child_value("SecretAccessKey");
  credentials.session_token = node.child_value("SessionToken");
  credentials.source = kWebIdentity;
  if (!expires_ms || credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return Error(ErrorKind::denied, fmt::format("{}: the token service's answer holds no keys", kWebIdentity));
  }
  credentials.expires_ms = *expires_ms;
  return credentials;
}

}  // namespace

Result<Credentials> assume_role_with_web_identity(const WebIdentity& identity, const EndpointContext& context) {
  const Result<std::string> token = read_token(identity.token_file);
  if (!token) return token.error().with(fmt::format("{}: AWS_WEB_IDENTITY_TOKEN_FILE", kWebIdentity));
  const std::string service = token_service(identity, context.environment);
  const std::optional<Url> url = parse_url(service);
  if (!url) return Error(ErrorKind::invalid, fmt::format("{}: '{}' is no http URL", kWebIdentity, service));

  const std::string name = identity.session_name.empty() ? fmt::format("cairn-{}", context.clock.now().wall_ms)
                                                         : identity.session_name;
  // In the body: what stands in a URL is logged on the way.
  const std::string form =
      fmt::format("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}"
                  "&WebIdentityToken={}",
                  form_encoded(identity.role_arn), form_encoded(name), form_encoded(*token));
  const BytesSource body(as_bytes(form));
  HttpRequest request;
  request.method = "POST";
  request.origin = url->origin;
  request.target = url->target;
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
  request.body = &body;
  request.max_body_bytes = kMaxAnswerBytes;
  request.stall_ms = request.total_ms = kTokenServiceMs;
  const Result<HttpResponse> response = context.http.send(request);
  if (!response) return no_answer(response.error(), kWebIdentity);
  return parse_token_answer(*response);
}

// The container endpoint.

namespace {

constexpr const char* kContainer = "container endpoint";
constexpr const char* kContainerOrigin = "http://169.254.170.2";

// The value of the Authorization header; empty: none is wanted.
Result<std::string> container_token(const Environment& environment) {
  if (const auto file = set_value(environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    Result<std::string> token = read_token(*file);
    if (!token) return token.error().with(fmt::format("{}: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", kContainer));
    return token;
  }
  return set_value(environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN").value_or("");
}

}  // namespace

Result<Looked> ask_container_endpoint(const EndpointContext& context) {
  std::string address;
  if (const auto relative = set_value(context.environment, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")) {
    address = kContainerOrigin + *relative;
  } else if (const auto full = set_value(context.environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
    address = *full;
  } else {
    return Looked{{}, "the container endpoint (AWS_CONTAINER_CREDENTIALS_FULL_URI is not set)"};
  }
  const std::optional<Url> url = parse_url(address);
  if (!url || !may_be_asked(*url)) {
    return Error(ErrorKind::denied,
                 fmt::format("{}: keys are asked for only by https, on loopback, or at 169.254.170.2 and "
                             "169.254.170.23: change AWS_CONTAINER_CREDENTIALS_FULL_URI",
                             kContainer));
  }
  CAIRN_ASSIGN(const std::string token, container_token(context.environment));
  if (token.find_first_of("\r\n") != std::string::npos) {
    return Error(ErrorKind::denied, fmt::format("{}: the authorization token has a line break in it", kContainer));
  }
  HttpRequest request;
  request.origin = url->origin;
  request.target = url->target;
  request.headers = {{"Accept", "application/json"}};
  if (!token.empty()) request.headers.emplace_back("Authorization", token);
  request.max_body_bytes = kMaxAnswerBytes;
  request.stall_ms = request.total_ms = kContainerMs;
  request.proxy = Proxy::never;
  const Result<HttpResponse> response = context.http.send(request);
  if (!response) return no_answer(response.error(), kContainer);
  const std::string body = body_of(*response);
  if (response->status != 200) return status_error(kContainer, response->status, error_in_json(body));
  Result<Credentials> credentials = parse_credentials_json(body, KeysOf::endpoint, kContainer);
  if (!credentials) return credentials.error().as(ErrorKind::denied);
  return Looked{std::move(*credentials), ""};
}

// The metadata of an instance.

namespace {

constexpr const char* kMetadata = "instance metadata";
constexpr const char* kRolesPath = "/latest/meta-data/iam/security-credentials/";

std::string metadata_origin(const Environment& environment) {
  if (const auto given = set_value(environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT")) {
    return given->substr(0, given->find_last_not_of('/') + 1);
  }
  const std::string mode = set_value(environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").value_or("IPv4");
  return mode == "IPv6" || mode == "ipv6" ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
}

HttpRequest metadata_request(const std::string& origin, std::string method, std::string target) {
  HttpRequest request;
  request.method = std::move(method);
  request.origin = origin;
  request.target = std::move(target);
  request.max_body_bytes = kMaxAnswerBytes;
  request.stall_ms = request.total_ms = kMetadataMs;
  request.proxy = Proxy::never;
  return request;
}

// Once more when nothing came back: the first packet of a container's network is easily lost.
Result<HttpResponse> send_twice(HttpClient& http, const HttpRequest& request) {
  Result<HttpResponse> response = http.send(request);
  if (!response && response.error().kind() == ErrorKind::maybe_done) return http.send(request);
  return response;
}

}  // namespace

Result<Looked> ask_instance_metadata(const EndpointContext& context) {
  const std::string origin = metadata_origin(context.environment);
  const auto nothing = [&](std::string_view why) {
    return Looked{{}, fmt::format("the instance metadata ({} {})", origin, why)};
  };
  const std::string disabled = set_value(context.environment, "AWS_EC2_METADATA_DISABLED").value_or("");
  if (disabled == "true" || disabled == "TRUE" || disabled == "True") {
    return Looked{{}, "not the instance metadata (AWS_EC2_METADATA_DISABLED)"};
  }

  HttpRequest ask_token = metadata_request(origin, "PUT", "/latest/api/token");
  const BytesSource no_body{ByteView()};
  ask_token.body = &no_body;
  ask_token.headers = {{"X-aws-ec2-metadata-token-ttl-seconds", "21600"}};
  const Result<HttpResponse> token = send_twice(context.http, ask_token);
  if (!token) return nothing("does not answer");
  if (is_passing(token->status)) return status_error(kMetadata, token->status, "");
  if (token->status != 200) return nothing(fmt::format("gives no token: status {}", token->status));

  HttpRequest ask = metadata_request(origin, "GET", kRolesPath);
  ask.headers = {{"X-aws-ec2-metadata-token", body_of(*token)}};
  if (ask.headers[0].second.find_first_of("\r\n") != std::string::npos) return nothing("gives a token that is none");
  const Result<HttpResponse> roles = send_twice(context.http, ask);
  if (!roles) return no_answer(roles.error(), kMetadata);
  if (roles->status == 404) return nothing("knows no role of this instance");
  const std::string names = body_of(*roles);
  const std::string role = names.substr(0, names.find_first_of("\r\n"));
  if (roles->status != 200) return status_error(kMetadata, roles->status, "");
  if (role.empty()) return nothing("knows no role of this instance");

  ask.target += role;
  const Result<HttpResponse> keys = send_twice(context.http, ask);
  if (!keys) return no_answer(keys.error(), kMetadata);
  if (keys->status != 200) return status_error(kMetadata, keys->status, "");
  Result<Credentials> credentials = parse_credentials_json(body_of(*keys), KeysOf::endpoint, kMetadata);
  if (!credentials) return credentials.error().as(ErrorKind::denied);
  return Looked{std::move(*credentials), ""};
}

}  // namespace cairn::s3
