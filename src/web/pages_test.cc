#include "web/pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "web/metrics.h"
#include "web/status.h"
#include "web/test_client.h"
#include "web/text.h"

namespace cairn::web {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

class PagesTest : public ::testing::Test {
 public:
  PagesTest() { fleet_.now = fleet_of({following("/srv/a.db"), following("/srv/b.db")}); }
  HttpReply ask(const std::string& target, const std::string& host = "127.0.0.1:9178") {
    return pages_.answer({target, host});
  }
  daemon::DatabaseView& database(std::size_t i) { return fleet_.now.databases[i]; }

  TestFleet fleet_;
  Pages pages_{fleet_, {"1.2.3", {"backup.example"}, 10}, [] { return std::string("0123456789abcdef"); }};
};

TEST_F(PagesTest, AnswersOnlyWhoAsksByAKnownName) {
  for (const char* host : {"127.0.0.1:9178", "localhost", "LOCALHOST:1", "[::1]:9178", "10.1.2.3", "Backup.example"}) {
    EXPECT_EQ(ask("/readyz", host).status, 200) << host;
  }
  for (const char* host : {"evil.example", "evil.example:9178", "127.0.0.1.evil.org", "", "[evil]", "localhost.evil"}) {
    for (const char* path : {"/", "/status.json", "/metrics", "/healthz", "/readyz"}) {
      EXPECT_EQ(ask(path, host).status, 403) << host;
    }
  }
}

TEST_F(PagesTest, AnUnknownPathIsToldWhatThereIs) {
  for (const char* path : {"/x", "", "*", "/metrics/", "//", "/../etc/passwd", "http://other/"}) {
    const HttpReply reply = ask(path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_THAT(reply.body, HasSubstr("/status.json"));
  }
}

TEST_F(PagesTest, IsReadyWhenEveryDatabaseIsFollowed) {
  EXPECT_EQ(ask("/readyz").status, 200);
  database(1).status.phase = Phase::first_snapshot;
  HttpReply reply = ask("/readyz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, HasSubstr("/srv/b.db: first_snapshot"));
  database(1) = following("/srv/b.db");
  database(0).is_open = false;
  database(0).is_asleep = true;
  EXPECT_EQ(ask("/readyz").status, 200);
  database(0).is_asleep = false;
  EXPECT_THAT(ask("/readyz").body, HasSubstr("/srv/a.db: not open yet"));
  database(0).failing = daemon::Failing{ErrorKind::conflict, "another writer has published", std::nullopt};
  EXPECT_THAT(ask("/readyz").body, HasSubstr("/srv/a.db: another writer has published"));
  database(0) = following("/srv/a.db");
  fleet_.now.layers.push_back(
      {"web", "/up", "/to", daemon::Failing{ErrorKind::io, "the disk is full", 1000}, std::nullopt, {}});
  EXPECT_THAT(ask("/readyz").body, HasSubstr("layer web: the disk is full"));
  EXPECT_THAT(ask("/metrics").body, HasSubstr("cairn_layer_failing{layer=\"web\"} 1\n"));
  fleet_.now.layers[0].failing.reset();
  fleet_.now.layers[0].counts = {.syncs = 3, .sent_bytes = 4'000, .torn_files = 2, .last_ms = 1'500, .sequence = 12};
  const std::string metrics = ask("/metrics").body, status = ask("/status.json").body;
  for (const char* line : {"failing{layer=\"web\"} 0", "last_sync_timestamp_seconds{layer=\"web\"} 1.5",
                           "sequence{layer=\"web\"} 12", "syncs_total{layer=\"web\"} 3",
                           "sent_bytes_total{layer=\"web\"} 4000", "torn_files_total{layer=\"web\"} 2"}) {
    EXPECT_THAT(metrics, HasSubstr(std::string("\ncairn_layer_") + line + "\n"));
  }
  EXPECT_THAT(status, HasSubstr("\"last_sync\":\"1970-01-01T00:00:01.500Z\""));
  fleet_.now.layers.clear();
  fleet_.now.is_stopping = true;
  EXPECT_EQ(ask("/readyz").status, 503);
}

TEST_F(PagesTest, ManyReasonsAreShort) {
  for (int i = 0; i < 1000; ++i) {
    fleet_.now.databases.push_back(following("/srv/x.db"));
    fleet_.now.databases.back().is_open = false;
  }
  EXPECT_THAT(ask("/readyz").body, HasSubstr("and 980 more"));
}

TEST_F(PagesTest, IsAliveWhileItsLoopsMove) {
  EXPECT_EQ(ask("/healthz").status, 200);
  fleet_.now.now_ms += 400'000;
  HttpReply reply = ask("/healthz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, HasSubstr("no database was looked at for 400 s"));
  ++database(0).status.looks;
  EXPECT_EQ(ask("/healthz").status, 200);
  fleet_.now.still_ms = 400'000;
  reply = ask("/healthz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, HasSubstr("the main loop has not come round for 400 s"));
}

TEST_F(PagesTest, WithoutADatabaseThatIsWellNothingHasToMove) {
  fleet_.now.databases.resize(1);
  database(0).status.database_trouble = "it cannot be read";
  EXPECT_EQ(ask("/healthz").status, 200);
  fleet_.now.now_ms += 400'000;
  EXPECT_EQ(ask("/healthz").status, 200);
}

TEST_F(PagesTest, ThePageRunsNoScriptButItsOwn) {
  const HttpReply reply = ask("/");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.type, "text/html; charset=utf-8");
  ASSERT_EQ(reply.headers[0].first, "Content-Security-Policy");
  EXPECT_THAT(reply.headers[0].second, HasSubstr("default-src 'none'"));
  EXPECT_THAT(reply.headers[0].second, HasSubstr("script-src 'nonce-0123456789abcdef'"));
  EXPECT_THAT(reply.body, HasSubstr("<script nonce=\"0123456789abcdef\">"));
  EXPECT_THAT(reply.body, Not(HasSubstr("{{nonce}}")));
  EXPECT_THAT(reply.body, Not(HasSubstr("innerHTML")));
  for (const auto& [name, value] : reply.headers) EXPECT_NE(name, "Access-Control-Allow-Origin");
}

TEST_F(PagesTest, StatusTellsOfEveryDatabase) {
  database(0).status.unpublished_since_ms = kNow_ms - 4'000;
  database(0).status.unpublished_commits = 7;
  database(0).status.store_trouble = "the store is away";
  database(0).before.usage.writes = 10;
  database(0).before.service = "s3.amazonaws.com";
  database(0).store_status.usage.writes = 5;
  fleet_.now.prices = *parse_prices("write=1");
  auto line = std::make_shared<daemon::TimeSlots>();
  line->slots = {{kNow_ms - 60'000, 9, 1, 2}};
  database(0).restore_points = line;
  const Json status = Json::parse(ask("/status.json").body);
  EXPECT_EQ(status["version"], "1.2.3");
  EXPECT_EQ(status["sums"]["databases"], 2);
  EXPECT_EQ(status["sums"]["in_trouble"], 1);
  EXPECT_EQ(status["sums"]["max_lag_ms"], 4000);
  EXPECT_EQ(status["sums"]["stores"][0]["requests"]["write"], 15);
  const Json& one = status["databases"][0];
  EXPECT_EQ(one["database"], "/srv/a.db");
  EXPECT_EQ(one["state"], "in_trouble");
  EXPECT_EQ(one["lag_ms"], 4000);
  EXPECT_EQ(one["lag_commits"], 7);
  EXPECT_EQ(one["requests"]["write"], 15);
  EXPECT_DOUBLE_EQ(one["cost_usd"], 0.015);
  EXPECT_EQ(one["restore_points"]["slots"], Json::parse("[[1795679940000, 9, 1, 2]]"));
  EXPECT_EQ(one["troubles"][0]["message"], "the store is away");
}

TEST_F(PagesTest, StatusIsSearchedSortedAndPaged) {
  fleet_.now = fleet_of(
      {following("/srv/a.db"), following("/srv/b.db"), following("/srv/c d.db"), following("/x/e.db")});
  database(1).status.unpublished_since_ms = kNow_ms - 4'000;
  database(2).status.spool_bytes = 10;
  database(3).is_open = false;
  database(3).failing = daemon::Failing{ErrorKind::denied, "no", 1000};
  const auto names = [&](const std::string& query) {
    std::vector<std::string> found;
    const Json status = Json::parse(ask("/status.json?" + query).body);
    for (const Json& one : status["databases"]) found.push_back(one["database"]);
    return found;
  };
  EXPECT_THAT(names(""), ElementsAre("/srv/a.db", "/srv/b.db", "/srv/c d.db", "/x/e.db"));
  EXPECT_THAT(names("sort=trouble"), ElementsAre("/x/e.db", "/srv/b.db", "/srv/a.db", "/srv/c d.db"));
  EXPECT_THAT(names("sort=lag&limit=1"), ElementsAre("/srv/b.db"));
  EXPECT_THAT(names("sort=spool&limit=1"), ElementsAre("/srv/c d.db"));
  EXPECT_THAT(names("search=C%20D"), ElementsAre("/srv/c d.db"));
  EXPECT_THAT(names("offset=1&limit=2"), ElementsAre("/srv/b.db", "/srv/c d.db"));
  EXPECT_THAT(names("offset=99999999999999999999&limit=-1&sort=zz&search&=&%zz=%"), ::testing::SizeIs(4));
  EXPECT_EQ(Json::parse(ask("/status.json?search=srv&limit=1").body)["matching"], 3);
}

TEST_F(PagesTest, NamesOfAnyBytesAreText) {
  database(0).path = "/srv/\xff\"\\<script>\n.db";
  const Json status = Json::parse(ask("/status.json").body);
  EXPECT_EQ(status["databases"][0]["database"], "/srv/\xEF\xBF\xBD\"\\<script>\n.db");
  EXPECT_THAT(ask("/metrics").body,
              HasSubstr("cairn_database_healthy{database=\"/srv/\xEF\xBF\xBD\\\"\\\\<script>\\n.db\"} 1\n"));
}

TEST_F(PagesTest, LagIsTheAgeOfTheOldestCommitThatIsNotPublished) {
  database(0).status.unpublished_since_ms = kNow_ms - 2'500;
  database(1).is_open = false;
  database(1).closed_since_ms = kNow_ms - 60'000;
  const std::string metrics = ask("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("cairn_database_lag_seconds{database=\"/srv/a.db\"} 2.5\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_database_lag_seconds{database=\"/srv/b.db\"} 60\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_max_lag_seconds 60\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_lagging_databases 2\n"));
}

// No two fields have the same value, and none is zero.
TEST_F(PagesTest, EachMetricHasTheValueOfItsOwnField) {
  daemon::DatabaseView& a = database(0);
  a.status.unpublished_since_ms = kNow_ms - 3'000;
  a.status.unpublished_commits = 11;
  a.status.published_time_ms = kNow_ms - 9'500;
  a.status.newest_snapshot_time_ms = kNow_ms - 70'250;
  a.status.spool_bytes = 1'013;
  a.status.wal_bytes = 2'027;
  a.status.page_count = 3;
  a.status.page_size = 4'096;
  a.status.kept_bytes = 5'051;
  a.status.captured_commits = 61;
  a.status.published_segments = 62;
  a.status.published_bytes = 6'301;
  a.status.snapshots_published = 64;
  a.status.merged_objects = 65;
  a.status.merged_bytes = 6'607;
  a.status.replaced_objects = 67;
  a.status.reconciles = 68;
  a.status.rollovers = 69;
  a.status.wal_restarts = 71;
  a.status.database_errors[static_cast<std::size_t>(ErrorKind::busy)] = 72;
  a.store_status.usage = {.writes = 2'000, .lists = 74, .reads = 75, .deletes = 76, .unanswered = 77,
                          .sent_bytes = 7'801, .received_bytes = 500'000'000};
  a.store_status.retries = 79;
  database(1).status.unpublished_commits = 100;
  database(1).status.spool_bytes = database(1).status.wal_bytes = database(1).status.kept_bytes = 100'000;
  fleet_.now.prices = *parse_prices("write=1,received=2");
  fleet_.now.restores = 83;
  fleet_.now.compression_cpu_us = 84'250'000;
  const std::string metrics = "\n" + ask("/metrics").body;
  const std::string one = "{database=\"/srv/a.db\"} ", store = "{store=\"s3://bucket\"} ";
  for (const std::string& line : {
           std::string("max_lag_seconds 3"), std::string("lagging_databases 1"), std::string("lag_commits 111"),
           std::string("spool_bytes 101013"), std::string("wal_bytes 102027"), std::string("database_bytes 12288"),
           std::string("kept_bytes 105051"), std::string("commits_total 61"),
           std::string("published_segments_total 62"), std::string("published_bytes_total 6301"),
           std::string("snapshots_total 64"), std::string("merged_objects_total 65"),
           std::string("merged_bytes_total 6607"), std::string("replaced_objects_total 67"),
           std::string("reconciles_total 68"), std::string("rollovers_total 69"), std::string("wal_restarts_total 71"),
           std::string("restores_total 83"), std::string("compression_cpu_seconds_total 84.25"),
           std::string("max_last_durable_commit_age_seconds 9.5"),
           "store_sent_bytes_total" + store + "7801", "store_received_bytes_total" + store + "500000000",
           "store_retries_total" + store + "79", "store_cost_dollars_total" + store + "3",
           "database_lag_seconds" + one + "3", "database_lag_commits" + one + "11",
           "database_last_durable_commit_timestamp_seconds" + one + "1795679990.5",
           "database_last_snapshot_timestamp_seconds" + one + "1795679929.75",
           "database_spool_bytes" + one + "1013", "database_wal_bytes" + one + "2027",
           "database_size_bytes" + one + "12288", "database_commits_total" + one + "61",
           "database_published_bytes_total" + one + "6301", "database_errors_total" + one + "72"}) {
    EXPECT_THAT(metrics, HasSubstr("\ncairn_" + line + "\n"));
  }
  for (const auto& [kind, count] : {std::pair("write", 2'000), std::pair("list", 74), std::pair("read", 75),
                                    std::pair("delete", 76), std::pair("unanswered", 77)}) {
    EXPECT_THAT(metrics, HasSubstr("\ncairn_store_requests_total{store=\"s3://bucket\",kind=\"" + std::string(kind) +
                                   "\"} " + std::to_string(count) + "\n"));
  }
}

// Of those that lag alone: what nobody writes to is as old as its last commit, and well.
TEST_F(PagesTest, TheAgeOfTheLastDurableCommitIsThereForAnyNumberOfDatabases) {
  const auto expect = [&](const char* age) {
    EXPECT_THAT(ask("/metrics").body,
                HasSubstr(std::string("cairn_max_last_durable_commit_age_seconds ") + age + "\n"));
  };
  for (int i = 0; i < 20; ++i) fleet_.now.databases.push_back(following("/srv/" + std::to_string(i)));
  database(3).status.published_time_ms = kNow_ms - 900'000;
  expect("0");
  for (const std::size_t lags : {5u, 6u, 7u}) database(lags).status.unpublished_since_ms = kNow_ms - 1'000;
  database(5).status.published_time_ms = kNow_ms - 2'500;
  database(6).status.published_time_ms = kNow_ms - 7'500;
  database(7).status.published_time_ms = 0;  // not known
  expect("7.5");
}

TEST_F(PagesTest, HoldsOfTheWriteLockAreAHistogram) {
  database(0).status.write_lock_counts[0] = 3;
  database(1).status.write_lock_counts[2] = 4;
  database(1).before.write_lock_counts.back() = 1;
  database(1).status.write_lock_us_total = 2'500'000;
  const std::string metrics = ask("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("cairn_write_lock_hold_seconds_count 8\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_write_lock_hold_seconds_sum 2.5\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_write_lock_hold_seconds_bucket{le=\"0.0001\"} 3\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_write_lock_hold_seconds_bucket{le=\"1\"} 7\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_write_lock_hold_seconds_bucket{le=\"+Inf\"} 8\n"));
}

TEST_F(PagesTest, CountersNeverGoDownWhenADatabaseIsLetGoOf) {
  database(0).status.store_errors[static_cast<std::size_t>(ErrorKind::denied)] = 3;
  database(0).store_status.usage.reads = 40;
  const auto expect = [&] {
    const std::string metrics = ask("/metrics").body;
    EXPECT_THAT(metrics, HasSubstr("cairn_errors_total{origin=\"store\",kind=\"denied\"} 3\n"));
    EXPECT_THAT(metrics, HasSubstr("cairn_store_requests_total{store=\"s3://bucket\",kind=\"read\"} 40\n"));
  };
  expect();
  const daemon::Totals totals = totals_of(database(0));
  database(0).before = totals;  // closed, and opened again
  database(0).status = {};
  database(0).store_status = {};
  expect();
  fleet_.now.databases.erase(fleet_.now.databases.begin());
  fleet_.now.gone["s3://bucket"] = totals;
  expect();
}

TEST_F(PagesTest, ManyDatabasesAreSumsAlone) {
  for (int i = 0; i < 20; ++i) fleet_.now.databases.push_back(following("/srv/" + std::to_string(i)));
  const std::string metrics = ask("/metrics").body;
  EXPECT_THAT(metrics, Not(HasSubstr("database=\"")));
  EXPECT_THAT(metrics, HasSubstr("cairn_database_series 0\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_databases{state=\"following\"} 22\n"));
  EXPECT_LT(metrics.size(), 20'000u);
}

TEST_F(PagesTest, BreakersAreCountedByStore) {
  database(0).store_status.breaker = BreakerState::open;
  const std::string metrics = ask("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("cairn_store_circuit_breakers{store=\"s3://bucket\",state=\"open\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_store_circuit_breakers{store=\"s3://bucket\",state=\"closed\"} 1\n"));
}

TEST(Text, IsDecodedAndMadeReadable) {
  EXPECT_EQ(percent_decoded("a%20b%2Fc+%zz%4"), "a b/c+%zz%4");
  EXPECT_EQ(readable("\xC3\xA4\xC3"), "\xC3\xA4\xEF\xBF\xBD");
}

}  // namespace
}  // namespace cairn::web
