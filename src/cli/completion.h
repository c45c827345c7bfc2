// Scripts that complete the command line in a shell, made from the command's own help.
#pragma once

#include <string>

#include "cli/command_tree.h"

namespace cairn::cli {

std::string bash_completion(const CommandText& root);
std::string zsh_completion(const CommandText& root);
std::string fish_completion(const CommandText& root);

}  // namespace cairn::cli
