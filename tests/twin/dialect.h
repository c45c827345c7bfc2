// How providers differ from Amazon S3, as the twin plays them. What each preset says was measured with that engine or
// is in its documentation; nothing here knows what Cairn makes of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cairn::twin {

// What becomes of a condition (If-None-Match: *, If-Match).
enum class Conditions {
  honoured,
  ignored,  // the request does what it does without them: success
  refused,  // 501 NotImplemented
};

struct Dialect {
  std::string name = "aws";

  Conditions put_create_only = Conditions::honoured;  // If-None-Match: * on PutObject
  Conditions put_if_match = Conditions::honoured;     // If-Match on PutObject
  Conditions complete = Conditions::honoured;         // either of them on CompleteMultipartUpload
  Conditions remove = Conditions::honoured;           // If-Match on DeleteObject
  bool quoted_if_match = true;      // false: If-Match of a write holds only without quotes; 412 with them
  bool atomic_conditions = true;    // false: looked at when the request arrives, not when it takes effect
  int race_loser_status = 412;      // 412, 409 or 500: of two that raced, what the later one is told

  bool checksums = true;            // false: x-amz-checksum-* are ignored, neither verified nor echoed
  bool crc64nvme = true;            // false: of these, crc64nvme is not known, and ignored
  bool md5_etags = true;            // false: etags are 32 digits that have nothing to do with the bytes
  bool delete_objects_needs_md5 = false;
  bool delete_objects = true;       // false: 501

  bool copy_part = true;            // false: 501
  int max_part_number = 10000;
  bool equal_parts = false;         // all parts but the last must be of one size
  bool complete_again = true;       // false: a second complete of a finished upload is NoSuchUpload

  bool any_region = false;          // false: a scope of another region is refused
  bool redirects = false;           // another region: 301 PermanentRedirect instead of 400
  bool start_after = true;          // false: ignored by listings
  bool plus_for_space = true;       // encoding-type=url spells a space '+', else "%20"
};

// aws, ceph16, ceph20, swift230, swift238, r2, minio, b2, nothing.
std::optional<Dialect> dialect_named(std::string_view name);

}  // namespace cairn::twin
