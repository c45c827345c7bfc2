// A store lists by the bytes of whole keys, a directory gives names in no order. Sorting each folder's names gives
// the order of keys only if a folder's name counts with its '/': "a-b" (0x2d) comes before "a/x" (0x2f), and that
// before "a0" (0x30), although "a" sorts before both. So folders are sorted as "a/" and entered where they come up.
//
// Folders wholly before `start_after` or beside `prefix` are not entered. Of a folder's names, no more than the page
// can still take are held, the smallest ones, however large the folder; when these were not enough (empty folders
// among them), the folder is read again from there on. A page costs one reading of each folder that it touches.

#include "store/directory_list.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <queue>
#include <vector>

#include "base/files.h"
#include "base/os.h"
#include "store/directory_files.h"
#include "store/key.h"

namespace cairn {

namespace {

// Reading a folder of 100,000 names takes tens of milliseconds: pages are larger than S3's for that.
constexpr std::size_t kPageSize = 10000;

enum class EntryType { file, folder, neither };

class Listing {
 public:
  Listing(const std::string& root, std::string_view prefix, std::string_view start_after, std::size_t limit,
          StoreUse use)
      : root_(root), prefix_(prefix), start_after_(start_after), limit_(limit), use_(use) {}

  // Lists all keys below `folder`, which is "" or ends in '/'.
  Result<void> visit(const std::string& folder) {
    std::string after;
    for (;;) {
      CAIRN_ASSIGN(const Names names, read_names(folder, after));
      for (const std::string& name : names.smallest) {
        CAIRN_TRY(name.back() == '/' ? visit(folder + name) : add(folder + name));
        if (page_.more) return {};
      }
      if (!names.more) return {};
      after = names.smallest.back();
    }
  }

  ListPage take() { return std::move(page_); }

 private:
  struct Names {
    std::vector<std::string> smallest;  // ascending; folders end in '/'
    bool more = false;
  };

  // The smallest names of a folder that are greater than `after` and may lead to keys that are asked for.
  Result<Names> read_names(const std::string& folder, std::string_view after) const {
    const std::string path = join_path(root_, folder);
    std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (!directory) return names_of_unreadable(folder, path);
    const std::size_t room = limit_ - page_.objects.size() + 1;  // one more than fits tells that there is more
    std::priority_queue<std::string> largest_first;
    Names names;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      CAIRN_ASSIGN(std::string name, name_in_order(folder, *entry));
      if (name.empty() || name <= after) continue;
      largest_first.push(std::move(name));
      if (largest_first.size() > room) {
        largest_first.pop();
        names.more = true;
      }
    }
    if (errno != 0) return os_error(errno, fmt::format("listing {}", path));
    if (use_ == StoreUse::publishing) CAIRN_TRY(sync_names(::dirfd(directory.get()), path));
    for (; !largest_first.empty(); largest_first.pop()) names.smallest.push_back(largest_first.top());
    std::reverse(names.smallest.begin(), names.smallest.end());
    return names;
  }

  // Who made one of these may have died before its name was synced, and who publishes relies on it. Some network and
  // FUSE file systems have nothing to sync in a folder, and say EINVAL. Who only reads does not even try: a disk tells
  // just once of what it has lost, and that is for who publishes to hear.
  static Result<void> sync_names(int folder, const std::string& path) {
    if (::fsync(folder) == 0 || errno == EINVAL || errno == EROFS) return {};
    return os_error(errno, fmt::format("syncing the folder {}", path));
  }

  // A folder that is not there (any more) holds nothing. lost+found belongs to the file system, at the root of many.
  Result<Names> names_of_unreadable(const std::string& folder, const std::string& path) const {
    const int error_number = errno;
    struct stat status{};
    if (::stat(root_.c_str(), &status) == 0 && !S_ISDIR(status.st_mode)) {
      return Error(ErrorKind::io, fmt::format("the store {} is a file, not a directory: give another path", root_));
    }
    if (error_number == ENOENT || error_number == ENOTDIR || folder == "lost+found/") return Names{};
    return os_error(error_number, fmt::format("listing {}", path));
  }

  // The entry's name, with a '/' when it is a folder; empty: it is of no interest.
  Result<std::string> name_in_order(const std::string& folder, const dirent& entry) const {
    std::string name = entry.d_name;
    if (!is_key(folder + name)) return std::string();
    CAIRN_ASSIGN(const EntryType type, type_of(folder, entry));
    if (type == EntryType::neither) return std::string();
    if (type == EntryType::folder) name.push_back('/');
    return is_wanted(folder + name, type) ? Result<std::string>(std::move(name)) : Result<std::string>(std::string());
  }

  Result<EntryType> type_of(const std::string& folder, const dirent& entry) const {
    if (entry.d_type == DT_REG) return EntryType::file;
    if (entry.d_type == DT_DIR) return EntryType::folder;
    if (entry.d_type != DT_LNK && entry.d_type != DT_UNKNOWN) return EntryType::neither;
    const std::string path = join_path(root_, folder + entry.d_name);
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
      if (errno == ENOENT || errno == ELOOP) return EntryType::neither;
      return os_error(errno, fmt::format("listing {}", path));
    }
    return S_ISREG(status.st_mode)   ? EntryType::file
           : S_ISDIR(status.st_mode) ? EntryType::folder
                                     : EntryType::neither;
  }

  bool is_wanted(std::string_view path, EntryType type) const {
    if (type == EntryType::file) return path.starts_with(prefix_) && path > start_after_;
    return (path.starts_with(prefix_) || prefix_.starts_with(path)) &&
           (path > start_after_ || start_after_.starts_with(path));
  }

  Result<void> add(const std::string& key) {
    struct stat status{};
    if (::stat(join_path(root_, key).c_str(), &status) != 0) {
      if (errno == ENOENT) return {};  // removed meanwhile
      return os_error(errno, fmt::format("listing {}", key));
    }
    if (page_.objects.size() == limit_) {
      page_.more = true;
    } else {
      page_.objects.push_back(object_info(key, status));
    }
    return {};
  }

  const std::string& root_;
  std::string_view prefix_;
  std::string_view start_after_;
  std::size_t limit_;
  const StoreUse use_;
  ListPage page_;
};

}  // namespace

Result<ListPage> list_directory(const std::string& root, std::string_view prefix, std::string_view start_after,
                                int limit, StoreUse use) {
  CAIRN_TRY(check_prefix(prefix));
  Listing listing(root, prefix, start_after, limit > 0 ? static_cast<std::size_t>(limit) : kPageSize, use);
  const std::size_t slash = prefix.rfind('/');
  CAIRN_TRY(listing.visit(std::string(slash == std::string_view::npos ? "" : prefix.substr(0, slash + 1))));
  return listing.take();
}

}  // namespace cairn
