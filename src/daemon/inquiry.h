// What is asked of file systems, a question for each device, and what becomes of the answers. What lies on a device may
// lead to others, so it is asked in rounds until nothing leads on.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/file_walk.h"
#include "daemon/mounts.h"
#include "daemon/patient.h"

namespace cairn::daemon {

using SharedMounts = std::shared_ptr<const MountTable>;

struct Inquiry {
  Question question;
  std::function<void(const Question& asked)> take;
};

inline constexpr int kMostRounds = 16;  // a way leads to another device as often at most

std::map<std::string, std::vector<Way>> by_device(const std::vector<Way>& ways, const MountTable& mounts);

// About what is in `elsewhere` of the names, which is empty then. `what`: before the device in the questions' names.
void inquire_about(Names& names, const Look& look, const std::string& what, const SharedMounts& mounts,
                   std::vector<Inquiry>& inquiries);
// Side by side; all answers are taken by the caller's thread.
void ask(std::vector<Inquiry>& inquiries, const Patience& patience);

}  // namespace cairn::daemon
