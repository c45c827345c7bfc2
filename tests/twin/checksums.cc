#include "twin/checksums.h"

#include <fmt/format.h>

#include "twin/text.h"

namespace cairn::twin {
namespace {

Response invalid_request(std::string_view message) { return error_answer(400, "InvalidRequest", message); }

std::expected<std::optional<Checksum>, Response> only_claim(const Request& request) {
  std::optional<Checksum> claim;
  for (const Algorithm algorithm : kAlgorithms) {
    const std::string* const text = request.header(header_of(algorithm));
    if (text == nullptr) continue;
    if (claim) {
      return std::unexpected(invalid_request(
          "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."));
    }
    const auto value = base64_decode(*text);
    if (!value || value->size() != size_of(algorithm)) {
      return std::unexpected(
          invalid_request(fmt::format("Value for {} header is invalid.", header_of(algorithm))));
    }
    claim = Checksum{algorithm, *value};
  }
  return claim;
}

bool is_known(Algorithm algorithm, const Dialect& dialect) {
  return dialect.checksums && (dialect.crc64nvme || algorithm != Algorithm::crc64nvme);
}

}  // namespace

std::string Checksum::text() const {
  return type == ChecksumType::composite ? fmt::format("{}-{}", base64(value), parts) : base64(value);
}

std::vector<Header> headers_of(const Checksum& checksum) {
  return {{std::string(header_of(checksum.algorithm)), checksum.text()},
          {"x-amz-checksum-type", checksum.type == ChecksumType::composite ? "COMPOSITE" : "FULL_OBJECT"}};
}

std::expected<std::optional<Checksum>, Response> body_claim(const Request& request, const Dialect& dialect) {
  const std::string* const meant = request.header("x-amz-sdk-checksum-algorithm");
  if (!dialect.checksums || meant == nullptr) return std::nullopt;
  const auto algorithm = algorithm_named(*meant);
  if (!algorithm) return std::unexpected(invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid."));
  if (!is_known(*algorithm, dialect)) return std::nullopt;
  auto claim = only_claim(request);
  if (!claim) return claim;
  if (!*claim) {
    return std::unexpected(invalid_request("x-amz-sdk-checksum-algorithm specified, but no corresponding "
                                           "x-amz-checksum-* or x-amz-trailer headers were found."));
  }
  if ((*claim)->algorithm != *algorithm) {
    return std::unexpected(invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid."));
  }
  return claim;
}

std::expected<std::optional<Checksum>, Response> object_claim(const Request& request, const Dialect& dialect) {
  if (!dialect.checksums) return std::nullopt;
  auto claim = only_claim(request);
  if (claim && *claim && !is_known((*claim)->algorithm, dialect)) return std::nullopt;
  return claim;
}

Refusal check_body(const Request& request, const std::optional<Checksum>& claim) {
  if (const std::string* const text = request.header("content-md5")) {
    const auto value = base64_decode(*text);
    if (!value || value->size() != 16) {
      return error_answer(400, "InvalidDigest", "The Content-MD5 you specified was invalid.");
    }
    if (md5(request.body_view()) != *value) {
      return error_answer(400, "BadDigest", "The Content-MD5 you specified did not match what we received.");
    }
  }
  if (claim && checksum(claim->algorithm, request.body_view()) != claim->value) return bad_digest(claim->algorithm);
  return std::nullopt;
}

Response bad_digest(Algorithm algorithm) {
  return error_answer(400, "BadDigest",
                      fmt::format("The {} you specified did not match the calculated checksum.",
                                  name_of(algorithm)));
}

}  // namespace cairn::twin
