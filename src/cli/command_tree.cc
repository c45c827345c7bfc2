#include "cli/command_tree.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

namespace cairn::cli {

namespace {

// --help breaks lines where its column ends.
std::string one_paragraph(const std::string& text) {
  std::istringstream words(text);
  std::string paragraph;
  for (std::string word; words >> word;) paragraph += (paragraph.empty() ? "" : " ") + word;
  return paragraph;
}

std::string first_sentence(const std::string& paragraph) {
  const std::size_t end = paragraph.find_first_of(".:");
  return paragraph.substr(0, end);
}

// CLI11 writes a set of values behind the type: "TEXT:{a,b}".
std::vector<std::string> choices_of(const std::string& type) {
  const std::size_t open = type.find('{'), close = type.find('}');
  std::vector<std::string> choices;
  if (open == std::string::npos || close == std::string::npos) return choices;
  std::istringstream list(type.substr(open + 1, close - open - 1));
  for (std::string choice; std::getline(list, choice, ',');) choices.push_back(choice);
  return choices;
}

OptionText option_text(const CLI::Option& option) {
  OptionText text;
  if (option.get_positional()) {
    text.names = {option.get_name(true)};
  } else {
    for (const std::string& name : option.get_snames()) text.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) text.names.push_back("--" + name);
  }
  const bool takes_value = option.get_type_size() != 0 && !option.get_positional();
  const std::string type = option.get_type_name();
  text.choices = choices_of(type);
  if (takes_value) {
    text.value = type.substr(0, type.find(':'));
    if (text.value.empty()) text.value = fmt::format("{}", fmt::join(text.choices, "|"));
    text.default_value = option.get_default_str();
  }
  text.description = one_paragraph(option.get_description());
  text.required = option.get_required();
  text.repeated = option.get_items_expected_max() > 1;
  return text;
}

CommandText below(const CLI::App& app, std::vector<std::string> words) {
  CommandText text;
  words.push_back(app.get_name());
  text.words = words;
  text.description = one_paragraph(app.get_description());
  text.summary = first_sentence(text.description);
  text.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    (option->get_positional() ? text.positionals : text.options).push_back(option_text(*option));
  }
  for (const CLI::App* command : app.get_subcommands({})) {
    if (!command->get_group().empty()) text.commands.push_back(below(*command, words));
  }
  return text;
}

}  // namespace

std::string CommandText::path(const char* joined_by) const { return fmt::format("{}", fmt::join(words, joined_by)); }

CommandText command_text(const CLI::App& app) { return below(app, {}); }

}  // namespace cairn::cli
