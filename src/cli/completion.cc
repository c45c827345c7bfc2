#include "cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace cairn::cli {

namespace {

void each_command(const CommandText& command, const std::function<void(const CommandText&)>& look) {
  look(command);
  for (const CommandText& one : command.commands) each_command(one, look);
}

// Its own, and those of the root, which stand behind every command.
std::vector<OptionText> options_of(const CommandText& command, const CommandText& root) {
  std::vector<OptionText> options = command.options;
  for (const OptionText& option : root.options) {
    const bool is_own = std::any_of(options.begin(), options.end(),
                                    [&](const OptionText& own) { return own.names == option.names; });
    if (!is_own) options.push_back(option);
  }
  return options;
}

// In single quotes: the only character that needs care is the quote itself.
std::string in_quotes(const std::string& text, std::string_view quote_in_quotes = "'\\''") {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string(quote_in_quotes) : std::string(1, c);
  return out + "'";
}

std::string names_of(const std::vector<CommandText>& commands) {
  std::vector<std::string> names;
  for (const CommandText& one : commands) names.push_back(one.name());
  return fmt::format("{}", fmt::join(names, " "));
}

std::string names_of(const std::vector<OptionText>& options) {
  std::vector<std::string> names;
  for (const OptionText& one : options) names.insert(names.end(), one.names.begin(), one.names.end());
  return fmt::format("{}", fmt::join(names, " "));
}

// 'cairn layer'|'cairn layer sync': which words go on to a command.
std::string paths_below(const CommandText& root) {
  std::vector<std::string> paths;
  each_command(root, [&](const CommandText& one) {
    if (one.words.size() > 1) paths.push_back(in_quotes(one.path(" ")));
  });
  return fmt::format("{}", fmt::join(paths, "|"));
}

std::string choices_case(const std::string& patterns, const OptionText& option, const std::string& set_values) {
  return fmt::format("    {}) {} ;;\n", patterns,
                     fmt::format(fmt::runtime(set_values), fmt::join(option.choices, " ")));
}

// 'cairn replicate --adopt') ... : behind which words one of which values stands.
std::string choices_cases(const CommandText& root, const std::string& set_values) {
  std::string out;
  each_command(root, [&](const CommandText& command) {
    const bool is_root = &command == &root;  // its options stand behind any command
    for (const OptionText& option : command.options) {
      if (option.choices.empty()) continue;
      std::vector<std::string> before;
      for (const std::string& name : option.names) {
        before.push_back(is_root ? "*" + in_quotes(" " + name) : in_quotes(command.path(" ") + " " + name));
      }
      out += choices_case(fmt::format("{}", fmt::join(before, "|")), option, set_values);
    }
    for (const OptionText& positional : command.positionals) {
      if (!positional.choices.empty()) out += choices_case(in_quotes(command.path(" ") + " " + command.name()), positional, set_values);
    }
  });
  return out;
}

std::string fish_condition(const CommandText& command) {
  if (command.words.size() == 1) return "__fish_use_subcommand";
  std::string out;
  for (std::size_t i = 1; i < command.words.size(); ++i) {
    out += (i == 1 ? "" : "; and ") + ("__fish_seen_subcommand_from " + command.words[i]);
  }
  if (!command.commands.empty()) out += "; and not __fish_seen_subcommand_from " + names_of(command.commands);
  return out;
}

// Fish knows \' in single quotes, and therefore \\ too.
std::string fish_text(const std::string& text) {
  std::string doubled;
  for (const char c : text) doubled += c == '\\' ? std::string("\\\\") : std::string(1, c);
  return in_quotes(doubled, "\\'");
}

std::string fish_option(const CommandText& command, const OptionText& option) {
  std::string out = "complete -c cairn -n " + in_quotes(fish_condition(command));
  for (const std::string& name : option.names) {
    out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.choices.empty()) {
    out += " -x -a " + in_quotes(fmt::format("{}", fmt::join(option.choices, " ")));
  } else if (!option.value.empty()) {
    out += " -r";
  }
  return out + " -d " + fish_text(option.description) + "\n";
}

}  // namespace

std::string bash_completion(const CommandText& root) {
  std::string words, options;
  each_command(root, [&](const CommandText& command) {
    const std::string path = in_quotes(command.path(" "));
    if (!command.commands.empty()) words += fmt::format("    {}) words={} ;;\n", path, in_quotes(names_of(command.commands)));
    options += fmt::format("    {}) options={} ;;\n", path, in_quotes(names_of(options_of(command, root))));
  });
  return fmt::format(R"(# Completes the command line of cairn in bash: made by `cairn completion bash`.
_cairn() {{
  local word at=cairn words= options= values= current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$at $word" in
      {}) at+=" $word" ;;
    esac
  done
  case "$at $before" in
{}  esac
  case "$at" in
{}  esac
  case "$at" in
{}  esac
  COMPREPLY=()
  if [ -n "$values" ]; then
    mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
  elif [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}}
complete -o bashdefault -o default -F _cairn cairn
)",
                     paths_below(root), choices_cases(root, "values='{}'"), words, options);
}

std::string zsh_completion(const CommandText& root) {
  // In _describe a colon ends the name.
  const auto described = [](const std::string& name, const std::string& what) {
    std::string safe;
    for (const char c : name + "\n" + what) safe += c == ':' ? std::string("\\:") : std::string(1, c == '\n' ? ':' : c);
    return in_quotes(safe);
  };
  std::string lists;
  each_command(root, [&](const CommandText& command) {
    std::vector<std::string> commands, options;
    for (const CommandText& one : command.commands) commands.push_back(described(one.name(), one.summary));
    for (const OptionText& option : options_of(command, root)) {
      for (const std::string& name : option.names) options.push_back(described(name, option.description));
    }
    lists += fmt::format("    {})\n      commands=({})\n      options=({}) ;;\n", in_quotes(command.path(" ")),
                         fmt::join(commands, " "), fmt::join(options, " "));
  });
  return fmt::format(R"(#compdef cairn
# Completes the command line of cairn in zsh: made by `cairn completion zsh`.
_cairn() {{
  local word at=cairn
  local -a commands options values
  for word in ${{words[2,CURRENT-1]}}; do
    case "$at $word" in
      {}) at+=" $word" ;;
    esac
  done
  case "$at ${{words[CURRENT-1]}}" in
{}  esac
  case "$at" in
{}  esac
  if (( $#values )); then
    compadd -a values
  elif [[ $PREFIX == -* ]]; then
    _describe -o option options
  else
    (( $#commands )) && _describe command commands
    _files
  fi
}}
if [ "$funcstack[1]" = _cairn ]; then _cairn "$@"; else compdef _cairn cairn; fi
)",
                     paths_below(root), choices_cases(root, "values=({})"), lists);
}

std::string fish_completion(const CommandText& root) {
  std::string out = "# Completes the command line of cairn in fish: made by `cairn completion fish`.\n";
  each_command(root, [&](const CommandText& command) {
    for (const CommandText& one : command.commands) {
      out += fmt::format("complete -c cairn -n {} -a {} -d {}\n", in_quotes(fish_condition(command)), one.name(),
                         fish_text(one.summary));
    }
    for (const OptionText& option : command.options) out += fish_option(command, option);
  });
  return out;
}

}  // namespace cairn::cli
