#include "cli/status_report.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

namespace cairn::cli {
namespace {

// Whatever there is to tell, each line has the database, and once it is known the sequence.
TEST(StatusReport, EveryLineHasItsDatabaseAndSequence) {
  std::ostringstream out;
  const Log log(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out)),
                LogFormat::json);
  StatusReport report("/srv/a.db", "s3://b/a", log, JsonLines::never, [] { return Json(nullptr); });
  ReplicatorStatus status;
  status.hold = "pin";
  report.update(status);
  status.store_trouble = "the store is away";
  report.update(status);
  status.lineage = "0123";
  status.published_sequence = 7;
  status.phase = Phase::following;
  status.snapshots_published = 1;
  status.store_trouble.clear();
  status.database_trouble = "it is locked";
  report.update(status);
  status.published_sequence = 8;
  status.pruned_objects = status.pruned_points = 3;
  status.upkeep_trouble = status.copy_trouble = "no right to delete";
  status.phase = Phase::reconciling;
  report.update(status);
  status = {};  // closed, and being opened again
  report.update(status);

  std::vector<std::pair<std::string, std::int64_t>> lines;
  std::istringstream text(out.str());
  for (std::string line; std::getline(text, line);) {
    const Json json = Json::parse(line);
    EXPECT_EQ(json.value("database", ""), "/srv/a.db") << line;
    lines.emplace_back(json["message"].get<std::string>().substr(0, 12), json.value("sequence", -1));
  }
  const std::vector<std::pair<std::string, std::int64_t>> expected{
      {"the store do", -1}, {"the store is", -1}, {"attached to ", 7}, {"following it", 7}, {"snapshot pub", 7},
      {"it is locked", 7},  {"the store is", 7},  {"comparing it", 8}, {"no right to ", 8}, {"the past was", 8},
      {"no right to ", 8},  {"the database", 8},  {"copying what", 8}, {"merging and ", 8}};
  EXPECT_EQ(lines, expected);
}

}  // namespace
}  // namespace cairn::cli
