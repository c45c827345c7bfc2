// cairn completion, and what the build makes manual pages with: both print what the command line itself says.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/manual.h"
#include "cli/output.h"

namespace cairn::cli {

namespace {

constexpr const char* kCompletionExamples = R"(Examples:
  . <(cairn completion bash)                                             in this shell
  cairn completion bash > ~/.local/share/bash-completion/completions/cairn
  cairn completion zsh > ~/.zfunc/_cairn                                 a folder that is in $fpath
  cairn completion fish > ~/.config/fish/completions/cairn.fish

The package has all three installed.)";

const CLI::App& root_of(const CLI::App& app) {
  const CLI::App* root = &app;
  while (root->get_parent() != nullptr) root = root->get_parent();
  return *root;
}

int print_completion(const std::string& shell, const CommandText& root) {
  std::string script = shell == "bash" ? bash_completion(root) : shell == "zsh" ? zsh_completion(root)
                                                                                : fish_completion(root);
  script.pop_back();  // print_line has its own end of the line
  print_line(script);
  return kDone;
}

Result<void> write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) return Error(ErrorKind::io, fmt::format("{} could not be written", path.string()));
  return {};
}

Result<void> write_pages(const CommandText& command, const CommandText& root, const std::filesystem::path& folder) {
  CAIRN_TRY(write_file(folder / manual_file_name(command), manual_page(command, root, CAIRN_VERSION)));
  for (const CommandText& one : command.commands) CAIRN_TRY(write_pages(one, root, folder));
  return {};
}

int write_manual(const std::string& folder, const CommandText& root) {
  const Result<void> written = write_pages(root, root, folder);
  return written ? kDone : report({written.error()}, Style::text);
}

}  // namespace

void add_completion(CLI::App& app, Run& run) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "completion", "Prints a script with which a shell completes cairn's command line.\n"
                    "It is made from what --help says.");
  command->add_option("SHELL", *shell, "bash, zsh or fish")->check(CLI::IsMember({"bash", "zsh", "fish"}))->required();
  command->footer(kCompletionExamples);
  command->callback([shell, command, &run] {
    run = [shell, command](const Tools&) { return print_completion(*shell, command_text(root_of(*command))); };
  });
}

void add_manual(CLI::App& app, Run& run) {
  const auto folder = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("manual", "Writes a manual page of each command into a folder.");
  command->group("");  // for the build
  command->add_option("DIR", *folder, "the folder, which exists")->required();
  command->callback([folder, command, &run] {
    run = [folder, command](const Tools&) { return write_manual(*folder, command_text(root_of(*command))); };
  });
}

}  // namespace cairn::cli
