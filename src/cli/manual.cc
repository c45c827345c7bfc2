#include "cli/manual.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <sstream>

namespace cairn::cli {

namespace {

constexpr int kSection = 1;

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// A backslash begins an escape; a plain "-" may be printed as another character, which nobody can paste.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

// A line of its own: a dot or an apostrophe at its beginning would be a request.
std::string line(const std::string& text) {
  const bool is_request = text.starts_with('.') || text.starts_with('\'');
  return (is_request ? "\\&" : "") + escaped(text) + "\n";
}

std::string paragraph_of_names(const OptionText& option) {
  std::string out;
  for (const std::string& name : option.names) out += (out.empty() ? "" : ", ") + ("\\fB" + escaped(name) + "\\fR");
  if (!option.value.empty()) out += " \\fI" + escaped(option.value) + "\\fR";
  return out + "\n";
}

std::string entry(const OptionText& option) {
  const bool is_sentence = option.description.ends_with('.') || option.description.empty();
  std::string out = ".TP\n" + paragraph_of_names(option) + line(option.description + (is_sentence ? "" : "."));
  if (!option.choices.empty() && option.value.find('|') == std::string::npos) {
    out += line(fmt::format("One of: {}.", fmt::join(option.choices, ", ")));
  }
  if (!option.default_value.empty()) out += line(fmt::format("Default: {}.", option.default_value));
  return out;
}

std::string synopsis(const CommandText& command) {
  std::string out = "\\fB" + escaped(command.path(" ")) + "\\fR";
  if (!command.options.empty()) out += " [\\fIOPTIONS\\fR]";
  for (const OptionText& option : command.options) {
    if (option.required) out += " " + escaped(option.names.back()) + " \\fI" + escaped(option.value) + "\\fR";
  }
  for (const OptionText& positional : command.positionals) {
    const std::string name = "\\fI" + escaped(positional.names.front()) + (positional.repeated ? "...\\fR" : "\\fR");
    out += " " + (positional.required ? name : "[" + name + "]");
  }
  if (!command.commands.empty()) out += " \\fICOMMAND\\fR";
  return out + "\n";
}

// "Examples:", and below it lines that are indented: a section. Text that begins in the first column: paragraphs.
std::string sections_of_footer(const std::string& footer) {
  std::istringstream lines(footer);
  std::string out;
  bool in_section = false, preformatted = false, new_paragraph = true;
  const auto leave_preformatted = [&] {
    if (std::exchange(preformatted, false)) out += ".fi\n";
  };
  for (std::string text; std::getline(lines, text);) {
    if (text.empty()) {
      if (preformatted) out += ".sp\n";
      new_paragraph = true;
    } else if (text.starts_with("  ")) {
      if (!std::exchange(preformatted, true)) out += ".nf\n";
      out += line(text.substr(2));
    } else if (text.ends_with(':') && new_paragraph && text.size() < 40) {
      leave_preformatted();
      out += ".SH " + upper(escaped(text.substr(0, text.size() - 1))) + "\n";
      in_section = true;
      new_paragraph = false;
    } else {
      leave_preformatted();
      if (new_paragraph && in_section) {
        out += ".SH NOTES\n";
        in_section = false;
      } else if (new_paragraph) {
        out += out.empty() ? ".SH NOTES\n" : ".PP\n";
      }
      out += line(text);
      new_paragraph = false;
    }
  }
  leave_preformatted();
  return out;
}

std::string reference(const CommandText& command) {
  return "\\fB" + escaped(command.path("-")) + "\\fR(" + std::to_string(kSection) + ")";
}

}  // namespace

std::string manual_page(const CommandText& command, const CommandText& root, const std::string& version) {
  const bool is_root = command.words.size() == 1;
  std::string out = fmt::format(".TH {} {} \"\" \"cairn {}\" \"User Commands\"\n", upper(escaped(command.path("-"))),
                                kSection, version);
  out += ".SH NAME\n" + escaped(command.path("-")) + " \\- " + escaped(command.summary) + "\n";
  out += ".SH SYNOPSIS\n" + synopsis(command);
  out += ".SH DESCRIPTION\n" + line(command.description);
  if (!command.positionals.empty()) {
    out += ".SH ARGUMENTS\n";
    for (const OptionText& positional : command.positionals) out += entry(positional);
  }
  if (!command.commands.empty()) {
    out += ".SH COMMANDS\n";
    for (const CommandText& each : command.commands) out += ".TP\n" + reference(each) + "\n" + line(each.summary + ".");
  }
  out += ".SH OPTIONS\n";
  for (const OptionText& option : command.options) out += entry(option);
  if (!is_root) {
    for (const OptionText& option : root.options) {
      const bool is_own = std::any_of(command.options.begin(), command.options.end(),
                                      [&](const OptionText& own) { return own.names == option.names; });
      if (!is_own) out += entry(option);
    }
  }
  out += sections_of_footer(command.footer);
  if (!is_root) out += ".SH SEE ALSO\n" + reference(root) + "\n";
  return out;
}

std::string manual_file_name(const CommandText& command) {
  return fmt::format("{}.{}", command.path("-"), kSection);
}

}  // namespace cairn::cli
