// What is known of a snapshot's upload while it is under way: which it is, and the parts that the store has
// acknowledged. A killed process' successor goes on from there.
//
// A file of lines, each a checksum and a JSON object: first the upload, then a part each. A line that is torn or
// garbled (a power loss) ends it; the parts behind are sent again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/files.h"
#include "base/ids.h"
#include "cairn/store.h"

namespace cairn::replicate {

struct JournaledPart {
  PartInfo info;
  std::uint64_t hash = 0;  // of its bytes, of one that was sent
  // Of one that the store has copied: which bytes of which object. Written once it is known that the object was still
  // that one.
  std::string source_key{}, source_etag{};
  std::uint64_t source_offset = 0;
};

struct JournaledUpload {
  std::string key, upload_id;
  Sequence sequence;             // of the snapshot
  std::int64_t time_ms = 0;      // in its key
  std::uint64_t part_bytes = 0;  // of every part but the last
  std::map<int, JournaledPart> parts;
};

class UploadJournal {
 public:
  UploadJournal(FileSystem& files, const std::string& directory)
      : files_(files), directory_(directory), path_(join_path(directory, "upload")) {}

  // What an earlier process has left; nothing: no upload, or nothing that can be used.
  Result<std::optional<JournaledUpload>> read() const;
  // Begins anew with `upload` and its parts; survives a power loss once it returns.
  Result<void> begin(const JournaledUpload& upload);
  Result<void> add(const JournaledPart& part);
  // The upload is completed, or aborted.
  Result<void> end();

 private:
  Result<void> write_line(const std::string& json);

  FileSystem& files_;
  const std::string directory_, path_;
  std::unique_ptr<File> file_;
  std::uint64_t end_ = 0;
};

}  // namespace cairn::replicate
