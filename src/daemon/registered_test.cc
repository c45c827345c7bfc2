#include "daemon/registered.h"

#include <gtest/gtest.h>

#include "daemon/config.h"

namespace cairn::daemon {
namespace {

std::optional<std::string> no_variables(const std::string&) { return std::nullopt; }

Result<Config> parsed(const std::string& text, const std::vector<Registration>& registered) {
  return parse_config(text, "cairn.toml", no_variables, {registered_text(registered), "registered.toml"});
}

TEST(Registered, WhatIsWrittenIsReadAsItWas) {
  const std::vector<Registration> all{
      {"/srv/a \"b\"\\ ${HOME} $$ é\t.db", "s3://bucket/x?endpoint=http://h&tags=a$b", {{"interval", "\"250ms\""},
          {"wal_switch", "false"}}},
      {"/srv/b.db", "", {{"segment_level", "7"}}}};
  const auto read = parse_registered(registered_text(all), "registered.toml");
  ASSERT_TRUE(read) << read.error().message();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ(read->at(0).path, all[0].path);
  EXPECT_EQ(read->at(0).to, all[0].to);
  EXPECT_EQ(read->at(1).settings, all[1].settings);
  EXPECT_EQ(registered_text(*read), registered_text(all));
  // And means just that where it is used.
  const auto config = parsed("[defaults]\ninterval = \"5s\"\ncontrol = \"/run/x\"\nto = \"/backup\"", all);
  ASSERT_TRUE(config) << config.error().message();
  ASSERT_EQ(config->databases.size(), 2u);
  EXPECT_EQ(config->databases[0].path, all[0].path);
  EXPECT_EQ(config->databases[0].url, all[0].to);
  EXPECT_EQ(config->databases[0].settings.interval_ms, 250);
  EXPECT_EQ(config->databases[1].settings.interval_ms, 5000);
  EXPECT_EQ(config->databases[1].url, "/backup/b.db");
  EXPECT_TRUE(config->databases[1].is_registered);
}

TEST(Registered, AMistakeIsNamedInItsOwnFile) {
  const auto config = parsed("[[database]]\npath = \"/a.db\"", {{"/b.db", "", {{"intervall", "3"}}}});
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message().rfind("registered.toml:", 0), 0u) << config.error().message();
}

TEST(Registered, AnythingElseIsRefused) {
  for (const char* text : {"[", "database = 3", "[[database]]\n", "database = [1]", "[[database]]\npath = [1]"}) {
    EXPECT_FALSE(parse_registered(text, "registered.toml")) << text;
  }
  EXPECT_TRUE(parse_registered("", "registered.toml"));
}

TEST(Registered, AConfigurationThatNamesNothingNeedsASocketOrOneOfThem) {
  EXPECT_FALSE(parse_config("", "cairn.toml", no_variables));
  EXPECT_FALSE(parse_config("[defaults]\ncontrol = \"off\"", "cairn.toml", no_variables));
  EXPECT_TRUE(parse_config("[defaults]\ncontrol = \"/run/x\"", "cairn.toml", no_variables));
  EXPECT_TRUE(parsed("", {{"/b.db", "", {}}}));
  EXPECT_FALSE(parse_config("[defaults]\ncontrol = \"relative\"", "cairn.toml", no_variables));
}

}  // namespace
}  // namespace cairn::daemon
