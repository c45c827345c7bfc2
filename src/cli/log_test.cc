#include "cli/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace cairn::cli {
namespace {

class Logged : public ::testing::Test {
 protected:
  Log log(LogFormat format) {
    auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out_));
    return {logger, format};
  }
  // Without the time and the level before it.
  std::string text() {
    const std::string line = out_.str();
    return line.substr(line.find(" info ") + 6);
  }

  std::ostringstream out_;
};

TEST_F(Logged, TextSaysOnceWhatItIsAbout) {
  log(LogFormat::text).about_database("/srv/a.db", 7).info("following it, {}", "at last");
  EXPECT_EQ(text(), "/srv/a.db: following it, at last [sequence 7]\n");
  out_.str("");
  log(LogFormat::text).about_database("/srv/a.db").info("/srv/a.db is gone");
  EXPECT_EQ(text(), "/srv/a.db is gone\n");
  out_.str("");
  log(LogFormat::text).about_container("web_1").info("{}", "{braces} are no format");
  EXPECT_EQ(text(), "web_1: {braces} are no format\n");
}

TEST_F(Logged, JsonIsAnObjectALineWhateverTheBytes) {
  log(LogFormat::json).about_database("/srv/\"\xff\n.db", 0).warn("no \x01 {}", "way");
  const std::string line = out_.str();
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::ordered_json::parse(line);
  EXPECT_EQ(json["level"], "warning");
  EXPECT_EQ(json["message"], "no \x01 way");
  EXPECT_EQ(json["database"], "/srv/\"\xef\xbf\xbd\n.db");
  EXPECT_EQ(json["sequence"], 0);
  EXPECT_TRUE(json.contains("time"));
  EXPECT_FALSE(json.contains("container"));
}

TEST_F(Logged, WhatIsBelowTheLevelIsNotWritten) {
  log(LogFormat::json).debug("nobody wants it");
  EXPECT_EQ(out_.str(), "");
}

}  // namespace
}  // namespace cairn::cli
