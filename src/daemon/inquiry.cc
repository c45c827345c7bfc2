#include "daemon/inquiry.h"

#include <utility>

#include "daemon/path_text.h"

namespace cairn::daemon {

std::map<std::string, std::vector<Way>> by_device(const std::vector<Way>& ways, const MountTable& mounts) {
  std::map<std::string, std::vector<Way>> all;
  for (const Way& way : ways) all[mounts.device_of(normal(way.real))].push_back(way);
  return all;
}

void inquire_about(Names& names, const Look& look, const std::string& what, const SharedMounts& mounts,
                   std::vector<Inquiry>& inquiries) {
  for (const auto& of_device : by_device(std::exchange(names.elsewhere, {}), *mounts)) {
    const std::string& device = of_device.first;
    const std::vector<Way>& ways = of_device.second;
    const auto answer = std::make_shared<Names>();
    const auto work = [answer, ways, look, mounts, device](Steps& steps) {
      *answer = look_at_names(ways, look, *mounts, device, steps);
    };
    const auto take = [answer, ways, &names](const Question& asked) {
      if (!asked.is_answered) {
        for (const Way& way : ways) names.failed.insert(way.path);
        return;
      }
      names.answers.merge(answer->answers);
      names.failed.merge(answer->failed);
      names.elsewhere.insert(names.elsewhere.end(), answer->elsewhere.begin(), answer->elsewhere.end());
    };
    inquiries.push_back({{what + " on " + device, device, work}, take});
  }
}

void ask(std::vector<Inquiry>& inquiries, const Patience& patience) {
  std::vector<Question> questions;
  for (Inquiry& one : inquiries) questions.push_back(std::move(one.question));
  ask_all(questions, patience);
  for (std::size_t i = 0; i < questions.size(); ++i) inquiries[i].take(questions[i]);
}

}  // namespace cairn::daemon
