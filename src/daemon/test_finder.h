// A scratch folder with files in it, and what a configuration finds there.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/database_finder.h"
#include "support/scratch.h"

namespace cairn::daemon {

class FinderTest : public ::testing::Test {
 protected:
  void touch(const std::string& name) const {
    std::filesystem::create_directories(std::filesystem::path(scratch_ / name).parent_path());
    std::ofstream(scratch_ / name) << "x";
  }
  // With the scratch folder in place of $D.
  std::string filled(std::string text) const {
    for (std::size_t at; (at = text.find("$D")) != std::string::npos;) text.replace(at, 2, scratch_.path());
    return text;
  }
  FoundDatabases find(const std::string& text, const FoundDatabases& before = {},
                      const Patience& patience = {}) const {
    const Result<Config> config =
        parse_config(filled(text), "cairn.toml", [](const std::string&) { return std::nullopt; });
    EXPECT_TRUE(config) << (config ? "" : config.error().message());
    return config ? find_databases(*config, before, patience) : FoundDatabases();
  }

  const cairn::testing::Scratch scratch_{"finder"};
};

}  // namespace cairn::daemon
