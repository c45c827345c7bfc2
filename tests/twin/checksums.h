// The checksum headers of S3. They count only when x-amz-sdk-checksum-algorithm says that they are meant: that is how
// Ceph does it, and a client that is right with it is right everywhere.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "twin/dialect.h"
#include "twin/digests.h"
#include "twin/message.h"

namespace cairn::twin {

enum class ChecksumType { full_object, composite };

struct Checksum {
  Algorithm algorithm = Algorithm::crc64nvme;
  std::string value;  // raw bytes
  ChecksumType type = ChecksumType::full_object;
  std::size_t parts = 0;  // of a composite one

  std::string text() const;  // base64; of a composite one with "-<parts>"
};

// x-amz-checksum-<algorithm>, x-amz-checksum-type.
std::vector<Header> headers_of(const Checksum& checksum);

// What the request claims of its body. Nothing: no claim, or one that this dialect does not look at.
std::expected<std::optional<Checksum>, Response> body_claim(const Request& request, const Dialect& dialect);
// What a CompleteMultipartUpload claims of the whole object.
std::expected<std::optional<Checksum>, Response> object_claim(const Request& request, const Dialect& dialect);

// The body against the claim and Content-MD5.
Refusal check_body(const Request& request, const std::optional<Checksum>& claim);
Response bad_digest(Algorithm algorithm);

}  // namespace cairn::twin
