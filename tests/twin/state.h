// Everything that the twin keeps, and the one way in which it changes: a Change is put into effect here, and written to
// the journal when there is one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "twin/attributes.h"
#include "twin/checksums.h"
#include "twin/message.h"

namespace cairn::twin {

struct StoredObject {
  Rope body;
  std::string etag;  // without quotes
  std::int64_t modified_ms = 0;
  std::uint64_t written_at = 0;  // which write made it
  Attributes attributes;
  std::optional<Checksum> checksum;
};

struct StoredPart {
  Rope body;
  std::string etag;
  std::int64_t modified_ms = 0;
  std::optional<Checksum> checksum;
};

struct Upload {
  std::string key;
  std::int64_t begun_ms = 0;
  Attributes attributes;
  std::optional<Algorithm> algorithm;  // as declared when it was begun
  ChecksumType type = ChecksumType::full_object;
  std::map<int, StoredPart> parts;
};

struct FinishedUpload {
  std::string key, etag;
};

struct Bucket {
  std::map<std::string, StoredObject> objects;
  std::map<std::string, Upload> uploads;           // by id
  std::map<std::string, FinishedUpload> finished;  // by id
};

struct Change {
  enum class Kind {
    make_bucket,
    put_object,     // key, etag, body, attributes, checksum
    remove_object,  // key
    begin_upload,   // key, upload_id, attributes, algorithm, type
    put_part,       // upload_id, number, etag, body, checksum
    finish_upload,  // upload_id, numbers, etag, checksum
    drop_upload,    // upload_id, finished or not
  };
  Kind kind = Kind::make_bucket;
  std::string bucket, key, upload_id, etag;
  std::int64_t time_ms = 0;
  int number = 0;
  std::vector<int> numbers;
  Attributes attributes;
  std::optional<Checksum> checksum;
  std::optional<Algorithm> algorithm;
  ChecksumType type = ChecksumType::full_object;
  Rope body;
};

class State {
 public:
  // What it refers to is there: the service has looked, and a journal is replayed from its start.
  void apply(const Change& change);

  std::map<std::string, Bucket> buckets;
  std::uint64_t writes = 0;  // how many changes have been applied
};

}  // namespace cairn::twin
