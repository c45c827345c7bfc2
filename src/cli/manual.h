// Manual pages, made from the command's own help.
#pragma once

#include <string>

#include "cli/command_tree.h"

namespace cairn::cli {

// The page of one command, for man(7)'s macros: cairn-layer-sync.1 of `cairn layer sync`. `root`: whose options each
// command takes too.
std::string manual_page(const CommandText& command, const CommandText& root, const std::string& version);
std::string manual_file_name(const CommandText& command);

}  // namespace cairn::cli
