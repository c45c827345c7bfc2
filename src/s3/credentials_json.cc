#include "s3/credentials_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"

namespace cairn::s3 {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestMessage = 300;

std::string text_at(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Error unusable(const std::string& source, std::string_view why) {
  return Error(ErrorKind::corrupt, fmt::format("{}: the answer {}", source, why));
}

// What goes into a header must be printable: keys and tokens are ASCII.
bool has_no_controls(const std::string& text) {
  for (const char c : text) {
    if (c < 0x21 || c > 0x7e) return false;
  }
  return true;
}

}  // namespace

Result<Credentials> parse_credentials_json(std::string_view text, KeysOf from, std::string source) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return unusable(source, "is no JSON object");
  if (from == KeysOf::process) {
    const auto version = json.find("Version");
    if (version == json.end() || *version != 1) return unusable(source, "does not say \"Version\": 1");
  }
  if (const std::string code = text_at(json, "Code"); from == KeysOf::endpoint && !code.empty() && code != "Success") {
    return unusable(source, "says " + error_in_json(text));
  }
  Credentials credentials;
  credentials.access_key_id = text_at(json, "AccessKeyId");
  credentials.secret_access_key = text_at(json, "SecretAccessKey");
  credentials.session_token = text_at(json, from == KeysOf::process ? "SessionToken" : "Token");
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return unusable(source, "holds no AccessKeyId and SecretAccessKey");
  }
  if (!has_no_controls(credentials.access_key_id) || !has_no_controls(credentials.session_token)) {
    return unusable(source, "holds a key with characters that no key has");
  }
  if (const std::string expiration = text_at(json, "Expiration"); !expiration.empty()) {
    const Result<std::int64_t> expires_ms = parse_time(expiration);
    if (!expires_ms) return unusable(source, "holds an Expiration that is no time");
    credentials.expires_ms = *expires_ms;
  }
  credentials.source = std::move(source);
  return credentials;
}

std::string error_in_json(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return {};
  std::string code = text_at(json, "code"), message = text_at(json, "message");
  if (code.empty()) code = text_at(json, "Code");
  if (message.empty()) message = text_at(json, "Message");
  message.resize(std::min(message.size(), kLongestMessage));
  return message.empty() ? code : code.empty() ? message : code + ": " + message;
}

}  // namespace cairn::s3
