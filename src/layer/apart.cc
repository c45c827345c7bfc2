#include "layer/apart.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/files.h"
#include "cairn/layer.h"
#include "layer/manager.h"
#include "store/file_url.h"

namespace cairn {
namespace layer {
namespace {

// Without links. (Of a target the last name is not followed: a link there would be replaced itself.)
std::filesystem::path without_links(const std::filesystem::path& path, std::error_code& error) {
  return std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error);
}

bool is_within(const std::filesystem::path& path, const std::filesystem::path& directory) {
  return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first == directory.end();
}

// Of what is there of a path. Nothing: this process may not know.
std::optional<std::uint64_t> mount_of(std::filesystem::path path) {
  struct ::statx status{};
  while (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &status) != 0) {
    if (errno != ENOENT || !path.has_relative_path()) return std::nullopt;
    path = path.parent_path();
  }
  return status.stx_mnt_id;
}

Error not_synced(const std::string& directory, std::string_view why) {
  return Error(ErrorKind::invalid, fmt::format("{} cannot be synced: {}: name another place for that", directory, why));
}

// What is mounted in the directory is not looked into, so it may be there.
Result<void> check_place(const std::string& directory, std::string_view what, const std::string& place) {
  std::error_code error;
  const std::filesystem::path synced = without_links(directory, error), other = without_links(place, error);
  if (error) return {};  // who cannot find that out cannot read the directory either
  const auto outer = mount_of(synced), inner = mount_of(other);
  const bool is_looked_into = !outer || !inner || *outer == *inner;
  if (is_within(other, synced) && is_looked_into) {
    return not_synced(directory, fmt::format("it holds {}, {}, so each sync would store what the one before has "
                                             "written", what, place));
  }
  if (!is_within(synced, other)) return {};
  return not_synced(directory, fmt::format("it lies in {}, {}, where what Cairn does not need is removed", what,
                                           place));
}

}  // namespace

Result<void> check_apart(const std::string& target, const std::string& kept) {
  std::string trimmed = target;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  std::error_code error;
  const std::filesystem::path above = without_links(parent_directory(trimmed), error);
  const std::filesystem::path place = above / std::filesystem::path(trimmed).filename();
  const std::filesystem::path other = without_links(kept, error);
  if (error) return Error(ErrorKind::io, fmt::format("finding out where {} lies: {}", target, error.message()));
  if (!is_within(other, place) && !is_within(place, other)) return {};
  return Error(ErrorKind::conflict, fmt::format("{} cannot be overwritten: that would damage {}, which is needed: "
                                                "restore to another directory", target, kept));
}

}  // namespace layer

Result<void> check_layer_places(const std::string& directory, const std::string& store_url,
                                const LayerOptions& options) {
  if (const auto folder = path_of_file_url(store_url)) {
    CAIRN_TRY(layer::check_place(directory, "its own store", *folder));
  }
  const LayerOptions places = layer::with_places(options);
  for (const std::string& place : {places.state_database, places.staging_directory}) {
    if (!place.empty()) CAIRN_TRY(layer::check_place(directory, "Cairn's state of it", place));
  }
  return {};
}

}  // namespace cairn
