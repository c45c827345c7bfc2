// Multipart uploads of the directory store.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/store.h"
#include "store/directory_files.h"
#include "store/range.h"

namespace cairn {

// The calls are those of Store, and may be made from many threads and processes.
class DirectoryUploads {
 public:
  explicit DirectoryUploads(ObjectFolders& folders) : folders_(folders) {}

  Result<std::string> begin(std::string_view key);
  Result<PartInfo> put(std::string_view key, std::string_view upload_id, int number, const Source& body);
  Result<PartInfo> copy(std::string_view key, std::string_view upload_id, int number, int from,
                        const ByteRange& range);
  Result<std::vector<PartInfo>> parts(std::string_view key, std::string_view upload_id);
  Result<std::string> complete(std::string_view key, std::string_view upload_id, std::span<const PartInfo> parts);
  Result<void> abort(std::string_view key, std::string_view upload_id);
  Result<std::vector<UploadInfo>> list(std::string_view prefix);

 private:
  struct Upload;  // one that is open and locked
  struct Part;    // what is recorded of a part
  using WriteAt = std::function<Result<void>(int fd, std::uint64_t offset, const std::string& path)>;

  std::string uploads_path() const;
  enum class Naming { as_begun, late };  // late: an upload of any key
  Result<Upload> open(std::string_view key, std::string_view upload_id, LockMode mode,
                      Naming naming = Naming::as_begun) const;
  Result<PartInfo> write_part(std::string_view key, std::string_view upload_id, int number, std::uint64_t size_bytes,
                              const WriteAt& write);
  Result<std::optional<Part>> read_part(const Upload& upload, int number) const;
  Result<std::vector<Part>> read_wanted(const Upload& upload, std::span<const PartInfo> wanted) const;
  Result<std::string> place(const Upload& upload, std::span<const Part> parts);
  Result<std::string> place_assembled(const Upload& upload, std::span<const Part> parts);
  void discard(const Upload& upload) const;

  ObjectFolders& folders_;
};

}  // namespace cairn
