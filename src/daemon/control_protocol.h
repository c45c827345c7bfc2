// What is said over the control socket: a JSON object a line, each way. docs/control.md is its manual.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "daemon/fleet.h"
#include "daemon/registered.h"

namespace cairn::daemon {

using ControlJson = nlohmann::ordered_json;

inline constexpr int kControlProtocol = 1;
inline constexpr std::size_t kLongestRequest = 64 << 10;  // bytes, without the line's end

struct ControlRequest {
  enum class Command { status, sync, register_database, unregister_database, reload, stop };
  Command command = Command::status;
  std::string database;
  std::vector<std::string> databases;      // of status; empty: all
  Registration registration;
  bool wait = false;
  std::optional<std::int64_t> timeout_ms;  // of sync with wait; none: as long as it takes
};

// What a line says. `id` is given also when the rest is wrong, so that the answer can carry it.
// invalid: what is wrong with it, and what to write.
Result<ControlRequest> parse_request(std::string_view line, ControlJson& id);

// Each with the line's end.
std::string result_line(const ControlJson& id, ControlJson result);
std::string error_line(const ControlJson& id, const Error& error);

// The result of `status`. not_found: one of `only` is no database of this process.
Result<ControlJson> status_result(const FleetView& view, const std::vector<std::string>& only);

// The other side: what an answer to a request says. The error is that of the answer; corrupt: it is none.
Result<ControlJson> parse_answer(std::string_view line);

}  // namespace cairn::daemon
