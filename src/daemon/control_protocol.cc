#include "daemon/control_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/nearest.h"
#include "daemon/replicator_json.h"

namespace cairn::daemon {

namespace {

using Command = ControlRequest::Command;

struct Grammar {
  const char* name;
  Command command;
  std::vector<std::string> fields;  // beside id and command
};

const std::array<Grammar, 6> kGrammar{{
    {"status", Command::status, {"databases"}},
    {"sync", Command::sync, {"database", "wait", "timeout_ms"}},
    {"register", Command::register_database, {"database", "to", "settings"}},
    {"unregister", Command::unregister_database, {"database"}},
    {"reload", Command::reload, {}},
    {"stop", Command::stop, {"wait"}},
}};

constexpr std::size_t kLongestId = 128;
constexpr std::array<ErrorKind, 11> kErrorKinds{
    ErrorKind::not_found, ErrorKind::conflict, ErrorKind::busy,        ErrorKind::retry_later,
    ErrorKind::maybe_done, ErrorKind::denied,  ErrorKind::io,          ErrorKind::corrupt,
    ErrorKind::invalid,   ErrorKind::unsupported, ErrorKind::cancelled};

Error refused(std::string what) { return Error(ErrorKind::invalid, std::move(what)); }

bool is_id(const ControlJson& id) {
  return id.is_null() || id.is_number_integer() || (id.is_string() &&
      id.get_ref<const std::string&>().size() <= kLongestId);
}

std::string words_of(const ControlJson& json) { return json.dump(-1, ' ', false,
    ControlJson::error_handler_t::replace); }

const Grammar* grammar_of(const std::string& name) {
  const auto known = std::find_if(kGrammar.begin(), kGrammar.end(), [&](const Grammar& one) {
      return name == one.name; });
  return known == kGrammar.end() ? nullptr : &*known;
}

Error unknown_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Grammar& one : kGrammar) names.emplace_back(one.name);
  const std::string meant = nearest(name.substr(0, kLongestId), names);
  return Error(ErrorKind::unsupported,
               fmt::format("there is no command '{}': {}", name.substr(0, kLongestId),
                           meant.empty() ? "docs/control.md lists them" : fmt::format("did you mean '{}'?", meant)));
}

Result<std::string> path_of(const ControlJson& value, const char* field) {
  if (!value.is_string()) return refused(fmt::format("'{}' is to be a path in quotes", field));
  std::string path = value;
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos) {
    return refused(fmt::format("'{}' is to be an absolute path", field));
  }
  return path;
}

Result<void> read_settings(const ControlJson& settings, Registration& registration) {
  static constexpr std::array<std::string_view, 6> kNotSettings{"path", "glob", "directory", "pattern", "store", "to"};
  if (!settings.is_object()) return refused("'settings' is to be an object of keys that [[database]] has");
  for (const auto& [key, value] : settings.items()) {
    const bool is_plain = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || c == '_';
    });
    if (!is_plain || std::find(kNotSettings.begin(), kNotSettings.end(), key) != kNotSettings.end()) {
      return refused("'settings' has a key that is none of a database's settings: docs/operations.md lists them");
    }
    if (value.is_string()) registration.settings.emplace_back(key, toml_string(value.get_ref<const std::string&>()));
    else if (value.is_boolean()) registration.settings.emplace_back(key, value.get<bool>() ? "true" : "false");
    else if (value.is_number_integer()) registration.settings.emplace_back(key, words_of(value));
    else return refused(fmt::format("the setting '{}' is to be text, a whole number, true or false", key));
  }
  return {};
}

Result<void> read_field(const std::string& field, const ControlJson& value, ControlRequest& request) {
  if (field == "database") {
    CAIRN_ASSIGN(request.database, path_of(value, "database"));
    request.registration.path = request.database;
  } else if (field == "databases") {
    if (!value.is_array()) return refused("'databases' is to be a list of paths");
    for (const ControlJson& one : value) {
      CAIRN_ASSIGN(request.databases.emplace_back(), path_of(one, "databases"));
    }
  } else if (field == "to") {
    if (!value.is_string() ||
        value.get_ref<const std::string&>().empty()) return refused("'to' is to be a URL in quotes");
    request.registration.to = value;
  } else if (field == "settings") {
    return read_settings(value, request.registration);
  } else if (field == "wait") {
    if (!value.is_boolean()) return refused("'wait' is to be true or false");
    request.wait = value;
  } else if (field == "timeout_ms") {
    // As a signed number, so that one that does not fit is not taken for another.
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > 1'000'000'000'000) {
      return refused("'timeout_ms' is to be a whole number of milliseconds");
    }
    request.timeout_ms = value.get<std::int64_t>();
  }
  return {};
}

ControlJson failing_json(const std::optional<Failing>& failing) {
  if (!failing) return nullptr;
  ControlJson json;
  json["kind"] = name_of(failing->kind);
  json["message"] = failing->message;
  json["again_ms"] = failing->again_ms ? ControlJson(*failing->again_ms) : ControlJson(nullptr);
  return json;
}

ControlJson database_json(const DatabaseView& view, std::int64_t now_ms) {
  ControlJson json;
  json["database"] = view.path;
  json["replica"] = view.replica;
  json["open"] = view.is_open;
  json["asleep"] = view.is_asleep;
  json["lag_ms"] = lag_ms(view, now_ms);
  json.update(replicator_json(view.status));
  if (!view.is_open && !view.is_asleep) json["phase"] = nullptr;
  json["failing"] = failing_json(view.failing);
  return json;
}

ControlJson layer_json(const LayerView& view) {
  ControlJson json;
  json["container"] = view.name;
  json["directory"] = view.directory;
  json["store_url"] = view.replica;
  json["failing"] = failing_json(view.failing);
  return json;
}

}  // namespace

Result<ControlRequest> parse_request(std::string_view line, ControlJson& id) {
  id = nullptr;
  // A zero byte would be the end for the parser.
  const bool is_text = line.find('\0') == std::string_view::npos;
  const ControlJson json = is_text ? ControlJson::parse(line, nullptr, false)
      : ControlJson(ControlJson::value_t::discarded);
  if (json.is_discarded()) return refused("this line is not JSON: write one object a line, in UTF-8");
  if (!json.is_object()) return refused("a request is an object, as {\"id\": 1, \"command\": \"status\"}");
  if (const auto given = json.find("id"); given != json.end()) {
    if (!is_id(*given)) return refused("'id' is to be a whole number, or text of at most 128 bytes");
    id = *given;
  }
  const auto command = json.find("command");
  if (command == json.end() || !command->is_string()) return refused("'command' is to say in text what is wanted");
  const Grammar* grammar = grammar_of(*command);
  if (grammar == nullptr) return unknown_command(*command);
  ControlRequest request;
  request.command = grammar->command;
  for (const auto& [field, value] : json.items()) {
    if (field == "id" || field == "command") continue;
    if (std::find(grammar->fields.begin(), grammar->fields.end(), field) == grammar->fields.end()) {
      return refused(fmt::format("'{}' takes no '{}'", grammar->name, field.substr(0, kLongestId)));
    }
    CAIRN_TRY(read_field(field, value, request));
  }
  if (grammar->fields.size() > 0 && grammar->fields[0] == "database" && request.database.empty()) {
    return refused(fmt::format("'{}' needs a 'database'", grammar->name));
  }
  return request;
}

std::string result_line(const ControlJson& id, ControlJson result) {
  return words_of({{"id", id}, {"result", std::move(result)}}) + "\n";
}

std::string error_line(const ControlJson& id, const Error& error) {
  ControlJson body;
  body["kind"] = name_of(error.kind());
  body["message"] = error.message();
  return words_of({{"id", id}, {"error", std::move(body)}}) + "\n";
}

Result<ControlJson> status_result(const FleetView& view, const std::vector<std::string>& only) {
  ControlJson json;
  json["protocol"] = kControlProtocol;
  json["begun"] = time_json(view.begun_ms);
  json["now"] = time_json(view.now_ms);
  json["config"] = view.config;
  json["stopping"] = view.is_stopping;
  json["restored"] = view.restores;
  json["compression_cpu_ms"] = view.compression_cpu_us / 1000;
  json["databases"] = ControlJson::array();
  const auto is_wanted = [&](const std::string& path) {
    return only.empty() || std::find(only.begin(), only.end(), path) != only.end();
  };
  for (const DatabaseView& one : view.databases) {
    if (is_wanted(one.path)) json["databases"].push_back(database_json(one, view.now_ms));
  }
  for (const std::string& path : only) {
    const bool is_there = std::any_of(view.databases.begin(), view.databases.end(),
                                      [&](const DatabaseView& one) { return one.path == path; });
    if (!is_there) return Error(ErrorKind::not_found, fmt::format("{} is not replicated by this process", path));
  }
  json["layers"] = ControlJson::array();
  for (const LayerView& one : view.layers) {
    if (only.empty()) json["layers"].push_back(layer_json(one));
  }
  return json;
}

Result<ControlJson> parse_answer(std::string_view line) {
  const Error none(ErrorKind::corrupt, "what came over the control socket is no answer of cairn's");
  ControlJson json = ControlJson::parse(line, nullptr, false);
  if (!json.is_object()) return none;
  if (const auto result = json.find("result"); result != json.end()) return std::move(*result);
  const auto error = json.find("error");
  if (error == json.end() || !error->is_object()) return none;
  const std::string message = error->value("message", ControlJson()).is_string() ? (*error)["message"] : "";
  const std::string kind = error->value("kind", ControlJson()).is_string() ? (*error)["kind"] : "";
  for (const ErrorKind known : kErrorKinds) {
    if (name_of(known) == kind) return Error(known, message);
  }
  return none;
}

}  // namespace cairn::daemon
