#include "s3/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/errors.h"
#include "s3/checksum.h"

namespace cairn::s3 {

namespace {

constexpr std::string_view kDefaultRegion = "us-east-1";
constexpr std::size_t kCustomerKeyBytes = 32;

// Regions become part of host names and signatures.
bool is_region(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
             std::string::npos;
}

std::string first_of(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto value = environment(name); value && !value->empty()) return *value;
  }
  return {};
}

Result<void> choose_endpoint(Settings& settings, const Environment& environment,
                             const std::string& configured_region) {
  const S3Options& options = settings.location.options;
  settings.region = !options.region.empty()      ? options.region
                    : !configured_region.empty() ? configured_region
                                                 : std::string(kDefaultRegion);
  if (!is_region(settings.region)) return invalid(fmt::format("'{}' cannot be a region", settings.region));
  const std::string given = !options.endpoint.empty()
                                ? options.endpoint
                                : first_of(environment, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  if (given.empty()) {
    settings.provider = Settings::Provider::amazon;
    settings.endpoint = amazon_endpoint(settings.region);
    return {};
  }
  settings.provider = Settings::Provider::other;
  CAIRN_ASSIGN(settings.endpoint, parse_endpoint(given, options.endpoint.empty() ? "AWS_ENDPOINT_URL" : "endpoint"));
  return {};
}

void choose_addressing(Settings& settings) {
  using Wanted = S3Options::Addressing;
  const Wanted wanted = settings.location.options.addressing;
  const bool virtual_host = wanted == Wanted::virtual_host ||
                            (wanted == Wanted::automatic && settings.provider == Settings::Provider::amazon &&
                             fits_a_host_name(settings.location.bucket));
  settings.addressing = virtual_host ? Settings::Addressing::virtual_host : Settings::Addressing::path;
}

// SSE-C: the key goes with every request, so only where nobody listens.
Result<void> use_customer_key(Settings& settings, const std::string& key) {
  const auto bytes = from_base64(key);
  if (!bytes || bytes->size() != kCustomerKeyBytes) {
    return invalid("the customer key is not 32 bytes in base64: make one with: openssl rand -base64 32");
  }
  if (settings.endpoint.transport == Transport::plain && !settings.endpoint.is_loopback()) {
    return invalid(
        fmt::format("{}: a customer key is sent with every request, and so needs https", settings.endpoint.origin()));
  }
  const auto fields = [&](const std::string& name) {
    return HeaderFields{
        {name + "-algorithm", "AES256"}, {name + "-key", key}, {name + "-key-MD5", base64(md5(*bytes))}};
  };
  settings.object_bytes = fields("x-amz-server-side-encryption-customer");
  settings.copied_object = fields("x-amz-copy-source-server-side-encryption-customer");
  return {};
}

Result<void> use_encryption(Settings& settings) {
  const S3Options& options = settings.location.options;
  if (!options.customer_key.empty() && !options.encryption.empty()) {
    return invalid("either encryption or a customer key can be given, not both");
  }
  if (!options.customer_key.empty()) return use_customer_key(settings, options.customer_key);
  if (!options.kms_key_id.empty() && options.encryption != "aws:kms") {
    return invalid("kms_key_id means something with encryption=aws:kms only");
  }
  if (options.encryption.empty()) return {};
  if (options.encryption != "AES256" && options.encryption != "aws:kms" && options.encryption != "aws:kms:dsse") {
    return invalid(fmt::format("encryption={}: it is AES256 or aws:kms", options.encryption));
  }
  settings.new_object.emplace_back("x-amz-server-side-encryption", options.encryption);
  if (!options.kms_key_id.empty()) {
    settings.new_object.emplace_back("x-amz-server-side-encryption-aws-kms-key-id", options.kms_key_id);
  }
  return {};
}

// What becomes the value of a header must not begin another one.
bool is_header_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<void> choose_attempts(Settings& settings, const Environment& environment) {
  const std::string given = first_of(environment, {"AWS_MAX_ATTEMPTS"});
  if (given.empty()) return {};
  int number = 0;
  const auto [end, trouble] = std::from_chars(given.data(), given.data() + given.size(), number);
  if (trouble != std::errc() || end != given.data() + given.size() || number < 1 || number > 100) {
    return invalid(fmt::format("AWS_MAX_ATTEMPTS is '{}': it takes a number from 1 to 100", given));
  }
  settings.attempts = number;
  return {};
}

Result<void> use_object_options(Settings& settings) {
  const S3Options& options = settings.location.options;
  for (const std::string& value : {options.storage_class, options.kms_key_id, options.tags}) {
    if (!is_header_value(value)) return invalid("storage_class, kms_key_id or tags have a control character in them");
  }
  if (!options.storage_class.empty()) settings.new_object.emplace_back("x-amz-storage-class", options.storage_class);
  if (!options.tags.empty()) settings.new_object.emplace_back("x-amz-tagging", options.tags);
  if (options.requester_pays) settings.every_request.emplace_back("x-amz-request-payer", "requester");
  return use_encryption(settings);
}

}  // namespace

Result<Settings> make_settings(Location location, const Environment& environment,
                               const std::string& configured_region) {
  Settings settings;
  settings.location = std::move(location);
  const std::string url = settings.location.url();
  const auto made = [&]() -> Result<void> {
    CAIRN_TRY(choose_endpoint(settings, environment, configured_region));
    CAIRN_TRY(choose_attempts(settings, environment));
    return use_object_options(settings);
  }();
  if (!made) return made.error().with(url);
  choose_addressing(settings);
  settings.ca_bundle = settings.location.options.ca_bundle;
  if (settings.ca_bundle.empty()) settings.ca_bundle = first_of(environment, {"AWS_CA_BUNDLE"});
  return settings;
}

Endpoint endpoint_of(const Settings& settings, const std::string& region) {
  return settings.provider == Settings::Provider::amazon ? amazon_endpoint(region) : settings.endpoint;
}

}  // namespace cairn::s3
