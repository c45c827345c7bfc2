// The databases that were registered with a running process, as the file keeps them: a configuration's [[database]]
// tables and nothing else, written by Cairn alone.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/error.h"

namespace cairn::daemon {

struct Registration {
  std::string path, to;  // absolute; URL, "": where [defaults] says
  // Keys of [[database]] with their values as TOML has them: "10s" with its quotes, true, 3.
  std::vector<std::pair<std::string, std::string>> settings;
};

// `text` as a TOML string that means just that, '$' included.
std::string toml_string(std::string_view text);

std::string registered_text(const std::vector<Registration>& registrations);
// invalid: not what registered_text() writes; the message begins with `file`.
Result<std::vector<Registration>> parse_registered(std::string_view text, const std::string& file);

}  // namespace cairn::daemon
