// What the house rules read: the tree's files as lines, with and without comments and literals, and where functions
// begin and end. A scanner for this tree's own style, not a C++ parser: it knows comments, string, character and raw
// string literals and braces, and that is all that the rules need.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "support/whole_file.h"

namespace cairn::house {

inline std::string read_text(const std::filesystem::path& path) {
  return cairn::testing::whole_file(path);
}

inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

// UTF-8 code points.
inline std::size_t columns_of(std::string_view line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

enum class Literals { keep, blank };

// The text without comments (and without what stands in literals), every line where it was.
inline std::string code_of(std::string_view text, Literals literals) {
  std::string code;
  code.reserve(text.size());
  const auto skip_to = [&](std::size_t from, std::size_t end, bool keep) {
    for (std::size_t i = from; i < std::min(end, text.size()); ++i) {
      code += (keep || text[i] == '\n') ? text[i] : ' ';
    }
    return std::min(end, text.size());
  };
  const auto after = [&](std::string_view mark, std::size_t from) {
    const std::size_t at = text.find(mark, from);
    return at == std::string_view::npos ? text.size() : at + mark.size();
  };
  const bool keep = literals == Literals::keep;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const bool in_word = i > 0 && (std::isalnum(static_cast<unsigned char>(text[i - 1])) || text[i - 1] == '_');
    if (text.substr(i, 2) == "//") {
      i = skip_to(i, std::min(text.find('\n', i), text.size()), false);
    } else if (text.substr(i, 2) == "/*") {
      i = skip_to(i, after("*/", i + 2), false);
    } else if (text.substr(i, 2) == "R\"" && !in_word) {
      const std::size_t open = text.find('(', i);
      const std::string close = ")" + std::string(text.substr(i + 2, open - i - 2)) + "\"";
      i = skip_to(i, after(close, open), keep);
    } else if (c == '"' || (c == '\'' && !in_word)) {  // 1'000 is a number
      std::size_t end = i + 1;
      while (end < text.size() && text[end] != c && text[end] != '\n') end += text[end] == '\\' ? 2 : 1;
      i = skip_to(i, end + 1, keep);
    } else {
      code += c;
      ++i;
    }
  }
  return code;
}

struct Function {
  std::size_t first_line = 0;  // from 1: the line of the brace
  std::size_t lines = 0;
};

enum class Scope { space, type, function, inner };

// What the brace after `head` (the text since the last ';', '{' or '}') opens, seen from inside `outer`.
inline Scope scope_opened(const std::string& head, Scope outer) {
  static const std::regex kSpace(R"(\b(namespace|extern)\b)");
  static const std::regex kType(R"(^[^(=]*\b(class|struct|union|enum)\b)");
  if (outer == Scope::function || outer == Scope::inner) return Scope::inner;
  if (std::regex_search(head, kSpace)) return Scope::space;
  if (std::regex_search(head, kType)) return Scope::type;
  return head.find('(') != std::string::npos ? Scope::function : Scope::inner;
}

inline std::vector<Function> functions_of(std::string_view text) {
  std::vector<Function> functions;
  std::vector<Scope> scopes{Scope::space};
  std::vector<std::size_t> begun;
  std::string head;
  std::size_t line_number = 0;
  bool macro = false;  // inside a #define or another directive
  for (const std::string& line : lines_of(code_of(text, Literals::blank))) {
    ++line_number;
    const std::size_t first = line.find_first_not_of(' ');
    const bool directive = macro || (first != std::string::npos && line[first] == '#');
    macro = directive && !line.empty() && line.back() == '\\';
    if (directive) continue;
    for (const char c : line) {
      if (c == '{') {
        scopes.push_back(scope_opened(head, scopes.back()));
        begun.push_back(line_number);
      } else if (c == '}' && scopes.size() > 1) {
        if (scopes.back() == Scope::function) functions.push_back({begun.back(), line_number - begun.back() + 1});
        scopes.pop_back();
        begun.pop_back();
      }
      if (c == '{' || c == '}' || c == ';') {
        head.clear();
      } else {
        head += c;
      }
    }
    head += ' ';
  }
  return functions;
}

struct Include {
  std::size_t line = 0;
  std::string name;      // what stands between the quotes or brackets
  bool system = false;   // <...>
};

inline std::vector<Include> includes_of(std::string_view text) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> includes;
  std::size_t number = 0;
  for (const std::string& line : lines_of(code_of(text, Literals::keep))) {
    ++number;
    std::smatch match;
    if (std::regex_search(line, match, kInclude)) includes.push_back({number, match[2], match[1] == "<"});
  }
  return includes;
}

}  // namespace cairn::house
