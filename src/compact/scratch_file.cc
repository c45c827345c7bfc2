#include "compact/scratch_file.h"

#include <fmt/format.h>

namespace cairn::compact {
namespace {

constexpr int kScratchNames = 1000;

}  // namespace

Result<std::unique_ptr<File>> open_scratch_file(FileSystem& files, const std::string& directory) {
  CAIRN_TRY(files.make_directories(directory));
  for (int i = 0; i < kScratchNames; ++i) {
    const std::string path = join_path(directory, fmt::format("merge-{}", i));
    auto file = files.open(path, OpenMode::create_new);
    if (!file && file.error().kind() == ErrorKind::conflict) continue;
    if (!file) return file.error();
    CAIRN_TRY(files.remove(path));
    return std::move(*file);
  }
  return Error(ErrorKind::io, fmt::format("{} is full of files merge-0 to merge-{}: remove them", directory,
                                          kScratchNames - 1));
}

}  // namespace cairn::compact
