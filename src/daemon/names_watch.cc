#include "daemon/names_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>

#include <cerrno>
#include <cstring>

#include "daemon/database_finder.h"

namespace cairn::daemon {

namespace {

constexpr std::uint32_t kTreeNames = kNameEvents | IN_DELETE_SELF | IN_MOVE_SELF;

}  // namespace

Result<std::unique_ptr<NamesWatch>> NamesWatch::open(AddWatch add_watch) {
  CAIRN_ASSIGN(Notifier notifier, Notifier::open(add_watch));
  return std::unique_ptr<NamesWatch>(new NamesWatch(std::move(notifier)));
}

bool NamesWatch::watch(const std::set<std::string>& directories) {
  trouble_.clear();
  bool all = true;
  for (const std::string& directory : directories) {
    const int error_number = notifier_.is_watching() ? notifier_.add(directory, kTreeNames) : notifier_.error();
    if (error_number == 0) continue;
    all = false;
    if (error_number == ENOENT || error_number == ENOTDIR || !trouble_.empty()) continue;
    trouble_ = fmt::format("{} cannot be watched for new databases ({}), so it is looked at every two seconds{}",
                           directory, std::strerror(error_number), inotify_remedy(error_number));
  }
  return all;
}

bool NamesWatch::wait(std::int64_t timeout_us) {
  if (notifier_.wait(timeout_us, Notifier::WaitFor::anything) != Notifier::Wake::event) return false;
  bool ours = false;
  notifier_.drain([&](std::uint32_t mask, std::string_view name) {
    if ((mask & IN_IGNORED) != 0) return;  // the directory has gone, and that was told
    ours |= name.empty() || !is_beside_a_database(name);
  });
  return ours;
}

}  // namespace cairn::daemon
