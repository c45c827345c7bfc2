// The command line as data: what manual pages and shell completions are made from, so that they say what --help says.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cairn::cli {

struct OptionText {
  std::vector<std::string> names;    // "-o", "--output"; of a positional: what stands for it, "DB"
  std::string value;                 // what it takes, for people: "TIME"; "": nothing
  std::string default_value;
  std::vector<std::string> choices;  // the only values that it takes; empty: any
  std::string description;           // one paragraph
  bool required = false, repeated = false;
};

struct CommandText {
  std::vector<std::string> words;  // "cairn", "layer", "sync"
  std::string summary;             // the first sentence of what it does
  std::string description;         // all of it, one paragraph
  std::string footer;              // examples and notes as they stand in --help
  std::vector<OptionText> positionals, options;
  std::vector<CommandText> commands;  // without those that are hidden

  std::string name() const { return words.back(); }
  std::string path(const char* joined_by) const;  // "cairn layer sync"
};

// Of `app`, which is called `cairn`, and of everything below it.
CommandText command_text(const CLI::App& app);

}  // namespace cairn::cli
