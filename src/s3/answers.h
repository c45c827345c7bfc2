// What the headers of an answer say of an object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "cairn/store.h"
#include "s3/http.h"

namespace cairn::s3 {

inline bool is_success(const HttpResponse& response) { return response.status >= 200 && response.status < 300; }
std::string header_or_empty(const HttpResponse& response, std::string_view lower_case_name);
// Without quotes; empty: there is none.
std::string etag_of(const HttpResponse& response);
std::optional<std::uint64_t> content_length(const HttpResponse& response);

// "bytes 10-19/100".
struct ContentRange {
  std::uint64_t first = 0, last = 0, total = 0;
};
std::optional<ContentRange> content_range(const HttpResponse& response);

// corrupt: there is no size, or no etag, without which an object cannot be told from its successor.
Result<ObjectInfo> info_of(const HttpResponse& response, std::string_view key,
                           std::optional<std::uint64_t> size_bytes);

// Kept with each object that was put in one request: the CRC64NVME of its bytes, in base64. It is looked at by who asks
// for all of an object, whatever its size: such are the small documents, which have no checksum in themselves.
inline constexpr std::string_view kBodyHeader = "x-amz-meta-cairn-crc64nvme";
inline constexpr std::uint64_t kMostSummedBytes = 16 << 20;  // beyond that nobody asks for all

// The request was turned down because of the way in which its checksum was given, not because the checksum was wrong.
bool refuses_checksum(const HttpResponse& response);

// "bytes=first-last"
std::string range_value(std::uint64_t first, std::uint64_t last);

}  // namespace cairn::s3
