#include "daemon/names_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "daemon/database_finder.h"
#include "daemon/inquiry.h"

namespace cairn::daemon {

namespace {

constexpr std::uint32_t kTreeNames = kNameEvents | IN_DELETE_SELF | IN_MOVE_SELF;

}  // namespace

Result<std::unique_ptr<NamesWatch>> NamesWatch::open(AddWatch add_watch, const Patience& patience) {
  CAIRN_ASSIGN(Notifier notifier, Notifier::open(add_watch));
  return std::unique_ptr<NamesWatch>(new NamesWatch(std::move(notifier), patience));
}

bool NamesWatch::watch(const std::set<std::string>& directories) {
  trouble_.clear();
  const std::map<std::string, int> outcomes = add(directories);
  bool all = true;
  for (const std::string& directory : directories) {
    const auto outcome = outcomes.find(directory);
    if (outcome != outcomes.end() && outcome->second == 0) continue;
    all = false;
    const int error_number = outcome != outcomes.end() ? outcome->second : ENOENT;  // finding tells what is silent
    if (error_number == ENOENT || error_number == ENOTDIR || !trouble_.empty()) continue;
    trouble_ = fmt::format("{} cannot be watched for new databases ({}), so it is looked at every two seconds{}",
                           directory, std::strerror(error_number), inotify_remedy(error_number));
  }
  return all;
}

// 0, or an errno, of each that answers.
std::map<std::string, int> NamesWatch::add(const std::set<std::string>& directories) const {
  std::map<std::string, int> outcomes;
  if (!notifier_->is_watching()) {
    for (const std::string& directory : directories) outcomes.emplace(directory, notifier_->error());
    return outcomes;
  }
  const Look add_one = [notifier = notifier_](const std::string&, const std::string& real) {
    return std::optional(std::to_string(notifier->add(real, kTreeNames)));
  };
  const auto mounts = std::make_shared<const MountTable>(read_mounts());
  const std::int64_t end_ms = monotonic_ms() + patience_.all_ms;
  Names names;
  for (const std::string& directory : directories) names.elsewhere.push_back({directory, directory});
  for (int round = 0; round < kMostRounds && !names.elsewhere.empty(); ++round) {
    std::vector<Inquiry> inquiries;
    inquire_about(names, add_one, "watches", mounts, inquiries);
    ask(inquiries, {patience_.step_ms, std::max<std::int64_t>(end_ms - monotonic_ms(), 0)});
  }
  for (const auto& [directory, error_number] : names.answers) outcomes.emplace(directory, std::stoi(error_number));
  return outcomes;
}

bool NamesWatch::wait(std::int64_t timeout_us) {
  if (notifier_->wait(timeout_us, Notifier::WaitFor::anything) != Notifier::Wake::event) return false;
  bool ours = false;
  notifier_->drain([&](std::uint32_t mask, std::string_view name) {
    if ((mask & IN_IGNORED) != 0) return;  // the directory has gone, and that was told
    ours |= name.empty() || !is_beside_a_database(name);
  });
  return ours;
}

}  // namespace cairn::daemon
