#include "daemon/registered.h"

#include <fmt/format.h>

#include <optional>

#include "daemon/toml_section.h"

namespace cairn::daemon {

namespace {

constexpr std::string_view kRegisteredHead =
    "# Registered with a running cairn (cairn register, cairn unregister), which writes this file.\n";

// What toml_string() has doubled.
std::string with_single_dollars(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    plain.push_back(text[i]);
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '$') ++i;
  }
  return plain;
}

std::optional<std::string> toml_value(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return toml_string(with_single_dollars(*text));
  if (const auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  if (const auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
  return std::nullopt;
}

}  // namespace

std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04x}", byte);
    } else {
      quoted += c == '$' ? std::string("$$") : std::string(1, c);
    }
  }
  return quoted + "\"";
}

std::string registered_text(const std::vector<Registration>& registrations) {
  std::string text(kRegisteredHead);
  for (const Registration& one : registrations) {
    text += fmt::format("\n[[database]]\npath = {}\n", toml_string(one.path));
    if (!one.to.empty()) text += fmt::format("to = {}\n", toml_string(one.to));
    for (const auto& [key, value] : one.settings) text += fmt::format("{} = {}\n", key, value);
  }
  return text;
}

Result<std::vector<Registration>> parse_registered(std::string_view text, const std::string& file) {
  const toml::parse_result parsed = toml::parse(text);
  const auto refuse = [&] {
    return Error(ErrorKind::invalid, fmt::format("{}: this is not what cairn register writes: put it right, or remove "
                                                 "it and register its databases again", file));
  };
  if (!parsed) return refuse();
  std::vector<Registration> registrations;
  const toml::node* databases = parsed.table().get("database");
  if (databases == nullptr) return registrations;
  if (!databases->is_array()) return refuse();
  for (const toml::node& node : *databases->as_array()) {
    if (!node.is_table()) return refuse();
    Registration& one = registrations.emplace_back();
    for (const auto& [key, value] : *node.as_table()) {
      const std::string name(key.str());
      const std::optional<std::string> written = toml_value(value);
      if (!written) return refuse();
      const std::string plain = with_single_dollars(value.value_or(std::string()));
      if (name == "path") one.path = plain;
      else if (name == "to") one.to = plain;
      else one.settings.emplace_back(name, *written);
    }
    if (one.path.empty()) return refuse();
  }
  return registrations;
}

}  // namespace cairn::daemon
