#include "sqlite/file_stamp.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <cerrno>

#include "base/os.h"

namespace cairn::sqlite {

Result<FileStamp> file_stamp(int directory, const std::string& name) {
  struct stat info {};
  if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return FileStamp{};
    return os_error(errno, name);
  }
  const auto ns = [](const timespec& time) {  // in some far year they begin anew
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec);
  };
  return FileStamp{info.st_ino, static_cast<std::uint64_t>(info.st_size), ns(info.st_mtim), ns(info.st_ctim)};
}

bool is_settled(const FileStamp& stamp) {
  constexpr std::int64_t kNsPerSecond = 1'000'000'000, kNsPerMs = 1'000'000;
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t age_ns = now.tv_sec * kNsPerSecond + now.tv_nsec - stamp.ctime_ns;
  const bool has_whole_seconds = stamp.ctime_ns % kNsPerSecond == 0;  // as far as is known, that is all it keeps
  return age_ns >= (has_whole_seconds ? 2 * kNsPerSecond : kSettleMs * kNsPerMs);
}

}  // namespace cairn::sqlite
