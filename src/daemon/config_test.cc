#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "cairn/replicator.h"
#include "daemon/retention.h"
#include "fmt/format.h"

namespace cairn::daemon {
namespace {

using ::testing::ElementsAre;

const std::map<std::string, std::string> kEnvironment{{"HOME", "/home-of-me"}, {"EMPTY", ""}, {"BUCKET", "my-bucket"}};

Result<Config> parse(std::string_view text) {
  return parse_config(text, "c.toml", [](const std::string& name) {
    const auto found = kEnvironment.find(name);
    return found == kEnvironment.end() ? std::nullopt : std::optional(found->second);
  });
}

Config good(std::string_view text) {
  Result<Config> config = parse(text);
  EXPECT_TRUE(config) << (config ? "" : config.error().message());
  return config ? *config : Config();
}

std::string mistake(std::string_view text) {
  const Result<Config> config = parse(text);
  if (config) return "nothing is wrong";
  EXPECT_EQ(config.error().kind(), ErrorKind::invalid);
  return config.error().message();
}

// What stands behind one good entry.
std::string mistake_of_database(const std::string& keys) { return mistake("[[database]]\n" + keys + "\n"); }

TEST(Config, TheExampleOfTheDocumentsIsRead) {
  std::ifstream in(std::string(CAIRN_SOURCE_DIR) + "/docs/cairn.toml");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const Config config = good(text);
  EXPECT_EQ(config.state_dir, "/var/lib/cairn");
  EXPECT_EQ(config.stop_timeout_ms, 30'000);
  EXPECT_EQ(config.spool.size_bytes, 1u << 30);
  EXPECT_EQ(config.spool.drain_bytes_per_s, 64u << 20);
  ASSERT_EQ(config.databases.size(), 4u);
  const std::string main = "s3://my-bucket/this-machine", options = "?region=eu-central-1&profile=backup";
  EXPECT_EQ(config.databases[0].path, "/srv/app/app.db");
  EXPECT_EQ(config.databases[0].url, main + "/app.db" + options);
  EXPECT_EQ(config.databases[1].url, "/mnt/nas/cairn/shop/orders.db");
  EXPECT_EQ(config.databases[1].settings.interval_ms, 100);
  EXPECT_EQ(config.databases[2].directory, "/srv/tenants");
  EXPECT_EQ(config.databases[2].pattern, "*/data.db");
  EXPECT_EQ(replica_url(config.databases[2], "/srv/tenants/1/data.db", "1/data.db").value(),
            main + "/tenants/1/data.db" + options);
  EXPECT_EQ(config.databases[3].directory, "/srv/mail");
  EXPECT_EQ(config.databases[3].pattern, "*.sqlite3");
  EXPECT_EQ(config.databases[3].settings.interval_ms, 10'000);
  ASSERT_EQ(config.layers.size(), 2u);
  EXPECT_EQ(config.layers[0].url, main + "/layers" + options);
  EXPECT_EQ(config.layers[1].url, "/backup/layers");
  EXPECT_THAT(config.layers[1].lower, ElementsAre("/srv/image/rootfs"));
  EXPECT_EQ(config.layers[1].settings.interval_ms, 300'000);
  EXPECT_EQ(config.layers[1].settings.quiet_ms, 10'000);
}

TEST(Config, WhatIsNotSaidIsTheDefault) {
  const Config config = good("[[database]]\npath = \"/a.db\"\n[[layer]]\nname='w'\ndirectory='/u'\nto='/l'\n");
  EXPECT_EQ(config.state_dir, "");
  const DatabaseSettings& database = config.databases[0].settings;
  EXPECT_EQ(database.interval_ms, 1000);
  EXPECT_TRUE(database.wal_switch);
  EXPECT_EQ(database.spool_limit_bytes, 100u << 20);
  EXPECT_EQ(database.segment_level, 1);
  EXPECT_EQ(database.snapshot_level, 3);
  EXPECT_EQ(database.level_windows_ms, std::nullopt);
  EXPECT_EQ(database.kept_limit_bytes, 512u << 20);
  EXPECT_EQ(database.snapshot_interval_ms, 86'400'000);
  EXPECT_EQ(retention_text(database.retention), retention_text(PrunePolicy()));
  EXPECT_EQ(replica_url(config.databases[0], "/a.db", "").value(), "/a.db-cairn");
  const LayerSettings& layer = config.layers[0].settings;
  EXPECT_EQ(layer.interval_ms, 30'000);
  EXPECT_EQ(layer.quiet_ms, 2'000);
  EXPECT_EQ(layer.marks, "auto");
  EXPECT_EQ(layer.uploads, 4);
  EXPECT_EQ(layer.level, 3);
  EXPECT_EQ(layer.part_size_bytes, 64u << 20);
  EXPECT_EQ(layer.spool_limit_bytes, 256u << 20);
}

TEST(Config, RetentionIsSaidInTheWordsOfPrune) {
  const auto retention_of = [](const std::string& words) {
    const Config config = good("[[database]]\npath = \"/a.db\"\nretention = \"" + words + "\"\n");
    return retention_text(config.databases[0].settings.retention);
  };
  EXPECT_EQ(retention_of("all"), "all");
  EXPECT_EQ(retention_of("keep-all=7d, hourly=0,daily=90,weekly=4,monthly=12,grace=2h"),
            "keep-all=604800000ms,hourly=0,daily=90,weekly=4,monthly=12,grace=7200000ms");
  EXPECT_EQ(retention_of("monthly=0"),
            "keep-all=86400000ms,hourly=720,daily=365,weekly=0,monthly=0,grace=3600000ms");
  EXPECT_EQ(retention_of("daily=all"),
            "keep-all=86400000ms,hourly=720,daily=all,weekly=0,monthly=all,grace=3600000ms");
  for (const char* words : {"", "none", "hourly", "yearly=1", "hourly=-1", "hourly=1.5", "keep-all=24", "hourly=1,,"}) {
    EXPECT_THAT(mistake_of_database(fmt::format("path = '/a'\nretention = '{}'", words)),
                ::testing::HasSubstr("c.toml:3:13: "))
        << words;
  }
}

TEST(Config, DefaultsAreTakenWhereverTheyStandAndEntriesOverrideThem) {
  const Config config = good(R"(
[[database]]
path = "/a.db"
[[database]]
path = "/b.db"
interval = "5s"
wal_switch = true
segment_level = 9
[[layer]]
name = "w"
directory = "/u"
[[layer]]
name = "v"
directory = "/v"
spool_limit = "0"
level = 1
[defaults]
to = "/backup/"
interval = "2s"
wal_switch = false
spool_limit = "1GiB"
stop_timeout = "1m"
spool_limit_of_all = "2MiB"
drain_rate = "0"
state_dir = "/state/"
prices = "r2"
[defaults.layer]
interval = "1h"
spool_limit = "1GiB"
level = 7
)");
  EXPECT_EQ(config.state_dir, "/state");
  EXPECT_EQ(config.stop_timeout_ms, 60'000);
  EXPECT_EQ(config.spool.size_bytes, 2u << 20);
  EXPECT_EQ(config.spool.drain_bytes_per_s, 0u);
  ASSERT_TRUE(config.prices);
  EXPECT_EQ(config.databases[0].settings.interval_ms, 2000);
  EXPECT_FALSE(config.databases[0].settings.wal_switch);
  EXPECT_EQ(config.databases[0].url, "/backup/a.db");
  EXPECT_EQ(config.databases[1].settings.interval_ms, 5000);
  EXPECT_TRUE(config.databases[1].settings.wal_switch);
  EXPECT_EQ(config.databases[1].settings.spool_limit_bytes, 1u << 30);
  EXPECT_EQ(config.databases[1].settings.segment_level, 9);
  EXPECT_EQ(config.layers[0].url, "/backup/layers");
  EXPECT_EQ(config.layers[0].settings.level, 7);
  EXPECT_EQ(config.layers[1].settings.level, 1);
  EXPECT_EQ(config.layers[0].settings.spool_limit_bytes, 1u << 30);
  EXPECT_EQ(config.layers[1].settings.spool_limit_bytes, 0u);
  EXPECT_EQ(config.layers[1].settings.interval_ms, 3'600'000);
}

TEST(Config, StoresCarryTheOptionsOfTheirUrls) {
  const Config config = good(R"(
[stores.a]
url = "s3://bkt/p?region=r1"
endpoint = "http://127.0.0.1:9000"
tags = "k=v&l=w"
create_bucket = true
requester_pays = false
connections = 3
[[database]]
path = "/x/a b.db"
store = "a"
[[database]]
path = "/x/c.db"
store = "a"
to = "deep/c.db"
)");
  const std::string options =
      "?region=r1&endpoint=http%3A//127.0.0.1%3A9000&tags=k%3Dv%26l%3Dw&create_bucket=true&connections=3";
  EXPECT_EQ(config.databases[0].url, "s3://bkt/p/a%20b.db" + options);
  EXPECT_EQ(config.databases[1].url, "s3://bkt/p/deep/c.db" + options);
}

TEST(Config, TheEnvironmentIsPutIn) {
  const Config config = good(R"(
[[database]]
path = "${HOME}/a$$b$c.db"
to = "s3://${BUCKET}/${EMPTY:-there}/${NONE:-a/b}"
)");
  EXPECT_EQ(config.databases[0].path, "/home-of-me/a$b$c.db");
  EXPECT_EQ(config.databases[0].url, "s3://my-bucket/there/a/b");
}

TEST(Config, PatternsKeepWhatStandsBeforeTheFirstWildcard) {
  const Config config = good("[[database]]\nglob = '/a/b*/[cd]/**/*.db'\nto='/t'\n[[database]]\nglob = '/*.db'\n");
  EXPECT_EQ(config.databases[0].directory, "/a");
  EXPECT_EQ(config.databases[0].pattern, "b*/[cd]/**/*.db");
  EXPECT_EQ(config.databases[1].directory, "/");
  EXPECT_EQ(config.databases[1].pattern, "*.db");
  EXPECT_EQ(replica_url(config.databases[1], "/x.db", "x.db").value(), "/x.db-cairn");
}

TEST(Config, WhatIsNoTomlIsShownWhereItIs) {
  EXPECT_THAT(mistake("[defaults]\nto = \n"), ::testing::StartsWith("c.toml:2:6: this is not TOML: "));
  EXPECT_THAT(mistake("[[database]\n"), ::testing::StartsWith("c.toml:1:12: this is not TOML: "));
  EXPECT_THAT(mistake("a = 1\na = 2\n"), ::testing::StartsWith("c.toml:2:"));
  EXPECT_THAT(mistake("[=\n"), ::testing::StartsWith("c.toml:1:2: this is not TOML: "));
  EXPECT_THAT(mistake("\u00e9 = 1\n"), ::testing::StartsWith("c.toml:1:1: this is not TOML: "));
  EXPECT_THAT(mistake("[[database]] \u00e9\n"), ::testing::StartsWith("c.toml:1:14: this is not TOML: "));
  EXPECT_THAT(mistake("a = \"\xff\"\n"), ::testing::StartsWith("c.toml:1:"));
}

TEST(Config, UnknownKeysAreRefusedWithTheNearest) {
  EXPECT_EQ(mistake_of_database("path = '/a'\nintervall = '1s'"),
            "c.toml:3:1: [[database]] has no key 'intervall': did you mean 'interval'?");
  EXPECT_EQ(mistake("[default]\n"), "c.toml:1:2: this file has no key 'default': did you mean 'defaults'?");
  EXPECT_EQ(mistake("[defaults]\nquux_corge = 1\n"),
            "c.toml:2:1: [defaults] has no key 'quux_corge': there are store, to, state_dir, stop_timeout, "
            "sleep_after, spool_limit_of_all, drain_rate, prices, layer, control, interval, wal_switch, spool_limit, "
            "segment_level, snapshot_level, levels, kept_limit, snapshot_interval, retention, restore_if_missing");
  EXPECT_EQ(mistake("[stores.a]\nurl = 's3://bkt/p'\nsecret_access_key = 'x'\n"),
            "c.toml:3:1: [stores.a] has no key 'secret_access_key': secrets do not belong in here: give them in the "
            "environment or in the shared credentials file, and name its profile");
  EXPECT_EQ(mistake("[defaults.layer]\nquite = '1s'\n"),
            "c.toml:2:1: [defaults.layer] has no key 'quite': did you mean 'quiet'?");
}

TEST(Config, WrongTypesAreRefusedWithWhatToWrite) {
  EXPECT_EQ(mistake_of_database("path = '/a'\ninterval = 1"),
            "c.toml:3:12: 'interval' is a whole number: write a length of time in quotes, as \"1s\" or \"5m\"");
  EXPECT_EQ(mistake_of_database("path = '/a'\nspool_limit = 1.5"),
            "c.toml:3:15: 'spool_limit' is a number with a point: write a size in quotes, as \"100MiB\"");
  EXPECT_EQ(mistake_of_database("path = '/a'\nwal_switch = 'no'"),
            "c.toml:3:14: 'wal_switch' is text: write true or false, without quotes");
  EXPECT_EQ(mistake_of_database("path = '/a'\nsegment_level = '1'"),
            "c.toml:3:17: 'segment_level' is text: write a whole number, without quotes");
  EXPECT_EQ(mistake_of_database("path = ['/a']"), "c.toml:2:8: 'path' is a list: write text in quotes");
  EXPECT_EQ(mistake_of_database("path = 1979-05-27"), "c.toml:2:8: 'path' is a date: write text in quotes");
  EXPECT_EQ(mistake("[[layer]]\nname='w'\ndirectory='/u'\nto='/l'\nlower='/x'\n"),
            "c.toml:5:7: 'lower' is text: write a list of texts, as [\"/a\", \"/b\"]");
  EXPECT_EQ(mistake("[database]\npath = '/a'\n"),
            "c.toml:1:1: 'database' is a table: write [[database]] above each");
  EXPECT_EQ(mistake("defaults = 3\n"), "c.toml:1:12: 'defaults' is a whole number: write [defaults]");
  EXPECT_EQ(mistake("[stores]\na = '/x'\n"),
            "c.toml:2:5: 'stores.a' is text: write [stores.a] and a url below it");
}

TEST(Config, ValuesThatMeanNothingAreRefused) {
  EXPECT_EQ(mistake_of_database("path = '/a'\ninterval = 'soon'"),
            "c.toml:3:12: interval: 'soon' is not a length of time: write it like 250ms, 1s, 1.5s, 2m, 1h or 30d");
  EXPECT_EQ(mistake_of_database("path = '/a'\nspool_limit = '10'"),
            "c.toml:3:15: spool_limit: '10' is not a size: write it like 512KiB, 100MiB, 1.5GiB or 10MB");
  EXPECT_EQ(mistake_of_database("path = '/a'\nspool_limit = '0'"),
            "c.toml:3:15: 'spool_limit' is 0: give it room, as \"100MiB\"");
  EXPECT_EQ(mistake_of_database("path = '/a'\nlevels = '30s,45s'"),
            "c.toml:3:10: levels: each window of time has to be a multiple of the one before it, and larger: write "
            "them like 30s,5m,1h");
  EXPECT_EQ(mistake_of_database("path = '/a'\nsnapshot_level = 20"),
            "c.toml:3:18: 'snapshot_level' is 20: write a number from 1 to 19");
  EXPECT_EQ(mistake_of_database("path = ''"), "c.toml:2:8: 'path' is empty: give it a value, or leave it out");
  EXPECT_EQ(mistake_of_database("path = \"/a\\u0000b\""), "c.toml:2:8: 'path' has a NUL character: remove it");
  EXPECT_EQ(mistake_of_database("path = 'a.db'"), "c.toml:2:8: path: 'a.db' is no absolute path: begin it with /");
  EXPECT_EQ(mistake_of_database("path = '/a/..'"), "c.toml:2:8: path: '/a/..' is not the name of a database file");
  EXPECT_EQ(mistake("[[layer]]\nname='w'\ndirectory='/u'\nto='/l'\nmarks='podman'\n"),
            "c.toml:5:7: 'marks' is 'podman': write one of auto, kernel, fuse-overlayfs");
  EXPECT_EQ(mistake("[[layer]]\nname='w'\ndirectory='/u'\nto='/l'\ninterval='0'\n"),
            "c.toml:5:10: 'interval' is 0, and it would look all the time: give it some length, as \"30s\"");
  EXPECT_EQ(mistake("[[layer]]\nname='w'\ndirectory='/u'\nto='/l'\nlower=['x']\n"),
            "c.toml:5:7: lower: 'x' is no absolute path: begin it with /");
  EXPECT_THAT(mistake("[defaults]\nprices = 'cheap'\n"), ::testing::StartsWith("c.toml:2:10: prices: "));
}

TEST(Config, VariablesThatAreNotThereAreRefused) {
  EXPECT_EQ(mistake_of_database("path = '${HOMEX}/a'"),
            "c.toml:2:8: path: the environment has no variable 'HOMEX': set it, or write ${HOMEX:-default}");
  EXPECT_EQ(mistake_of_database("path = '${HOME/a'"),
            "c.toml:2:8: path: '${' is not closed: write ${NAME}, or $$ for a '$'");
  EXPECT_EQ(mistake_of_database("path = '${1}/a'"),
            "c.toml:2:8: path: '1' is no name of an environment variable: write ${NAME} or ${NAME:-default}, or $$ for "
            "a '$'");
}

TEST(Config, DatabasesThatAreNamedInNoWayOrTwoAreRefused) {
  EXPECT_EQ(mistake_of_database("interval = '1s'"),
            "c.toml:1:1: [[database]] names no database: give it a path, a glob or a directory");
  EXPECT_EQ(mistake_of_database("path = '/a'\ndirectory = '/b'"),
            "c.toml:1:1: [[database]] has more than one of path, glob and directory: make an entry of each");
  EXPECT_EQ(mistake_of_database("path = '/a'\npattern = '*'"),
            "c.toml:3:11: 'pattern' is for a directory: leave it out beside a path");
  EXPECT_EQ(mistake_of_database("glob = '/a*'\npattern = '*'"),
            "c.toml:3:11: 'pattern' is for a directory: write it into the glob");
  EXPECT_EQ(mistake_of_database("glob = '/a/b.db'"),
            "c.toml:2:8: glob: '/a/b.db' has no wildcard (*, ? or [): name it as a path");
  EXPECT_EQ(mistake_of_database("directory = '/a'\npattern = '../*'"),
            "c.toml:3:11: pattern: '../*' has '..' between slashes: write names and wildcards only");
  EXPECT_EQ(mistake_of_database("glob = '/a/x**/b'"),
            "c.toml:2:8: glob: '**' stands for any number of directories, and alone between slashes: 'x**' has more "
            "there");
  EXPECT_EQ(mistake_of_database("glob = '/a/**'"),
            "c.toml:2:8: glob: '**' means directories: say which files in them, as **/*.db");
  EXPECT_EQ(mistake("[defaults]\ninterval = '1s'\n"),
            "c.toml names nothing to replicate: add a [[database]] or a [[layer]]");
}

TEST(Config, PlacesThatAreNoneAreRefused) {
  EXPECT_EQ(mistake_of_database("path = '/a'\nto = 'backup'"),
            "c.toml:3:6: to: 'backup' is no place: write s3://bucket/prefix, file:///path or a path that begins with "
            "/");
  EXPECT_EQ(mistake_of_database("path = '/a'\nto = 'ftp://x/y'"),
            "c.toml:3:6: to: 'ftp://x/y' is no place: write s3://bucket/prefix, file:///path or a path that begins "
            "with /");
  EXPECT_THAT(mistake_of_database("path = '/a'\nto = 's3://bkt/p?regoin=x'"),
              ::testing::StartsWith("c.toml:3:6: to: s3://"));
  EXPECT_EQ(mistake_of_database("path = '/a'\nstore = 'mian'\n[stores.main]\nurl = '/x'"),
            "c.toml:3:9: there is no store 'mian': did you mean 'main'?");
  EXPECT_EQ(mistake_of_database("path = '/a'\nstore = 'other'"),
            "c.toml:3:9: there is no store 'other': declare it as [stores.other]");
  EXPECT_EQ(mistake_of_database("path = '/a'\nstore = 'm'\nto = '/x'\n[stores.m]\nurl = '/x'"),
            "c.toml:4:6: to: '/x' is no path in a store: write it like app/main.db");
  EXPECT_EQ(mistake_of_database("path = '/a'\nstore = 'm'\nto = 's3://bkt/p'\n[stores.m]\nurl = '/x'"),
            "c.toml:4:6: to: beside a store it is a path in it, not a URL: leave out one of them");
  EXPECT_EQ(mistake("[stores.m]\nregion = 'r'\n"),
            "c.toml:1:1: [stores.m] has no url: add one, as url = \"s3://bucket/prefix\"");
  EXPECT_EQ(mistake("[stores.m]\nurl = '/x'\nregion = 'r'\n"),
            "c.toml:2:7: [stores.m]: 'region' is for s3:// stores: leave it out");
  EXPECT_EQ(mistake("[[layer]]\nname='w'\ndirectory='/u'\n"),
            "c.toml:1:1: [[layer]] does not say where it goes: add to = \"URL\", or a store or to in [defaults]");
  EXPECT_EQ(mistake("[[layer]]\nname='w'\nto='/l'\n"),
            "c.toml:1:1: [[layer]] has no directory: add directory = \"...\"");
  EXPECT_EQ(mistake("[[layer]]\ndirectory='/u'\nto='/l'\n"), "c.toml:1:1: [[layer]] has no name: add name = \"...\"");
}

TEST(Config, WhatWouldGetInEachOthersWayIsRefused) {
  EXPECT_EQ(mistake("[[database]]\npath = '/x/a.db'\n[[database]]\npath = '/x/./a.db'\nto = '/t'\n"),
            "c.toml:3:1: /x/./a.db is named in line 1 already: name it once");
  EXPECT_EQ(mistake("[defaults]\nto = '/t/'\n[[database]]\npath = '/x/a.db'\n[[database]]\npath = '/y/a.db'\n"),
            "c.toml:5:1: /y/a.db would share the replica file:///t/a.db with /x/a.db of line 3: give one of them a to "
            "of its own");
  EXPECT_EQ(mistake("[[database]]\npath = '/x/a.db'\nto = 's3://bkt/p/'\n[[database]]\npath = '/y/b.db'\n"
                    "to = 'S3://bkt/p?region=x'\n"),
            "c.toml:4:1: /y/b.db would share the replica s3://bkt/p with /x/a.db of line 1: give one of them a to of "
            "its own");
  EXPECT_EQ(mistake("[[layer]]\nname='w'\ndirectory='/u'\nto='/l'\n[[layer]]\nname='w'\ndirectory='/v'\nto='/m'\n"),
            "c.toml:5:1: there is a layer called 'w' in line 1 already: give one of them another name");
  // Another server is another place.
  good("[[database]]\npath = '/x/a.db'\nto = 's3://bkt/p'\n[[database]]\npath = '/y/b.db'\n"
       "to = 's3://bkt/p?endpoint=http://127.0.0.1:1'\n");
}

TEST(Config, OfManyMistakesTheFirstInTheFileIsTold) {
  EXPECT_EQ(mistake("[[layer]]\nzzz = 1\n[defaults]\nyyy = 1\n[[database]]\nxxx = 1\n").substr(0, 10), "c.toml:1:1");
  EXPECT_EQ(mistake("[[database]]\npath = '/a'\nqqqqqqq = 1\n[defaults]\nyyyyyyyy = 1\n").substr(0, 10), "c.toml:3:1");
}

TEST(Config, HttpIsOffUntilItSaysWhereToListen) {
  const std::string database = "[[database]]\npath = \"/a.db\"\n";
  EXPECT_FALSE(good(database).http);
  const Config config = good(database + "[http]\nlisten = \"[::1]:9178\"\nhosts = [\"Backup.Example\"]\n");
  ASSERT_TRUE(config.http);
  EXPECT_EQ(config.http->listen, (ListenAddress{"::1", 9178, true}));
  EXPECT_THAT(config.http->hosts, ElementsAre("backup.example"));
  EXPECT_EQ(config.http->metrics_databases, 1000);
  EXPECT_EQ(good(database + "[http]\nlisten = \"0.0.0.0:1\"\nmetrics_databases = 0\n").http->metrics_databases, 0);
  const auto wrong = [&](const std::string& keys) { return mistake(database + "[http]\n" + keys + "\n"); };
  EXPECT_EQ(wrong(""), "c.toml:3:1: [http] does not say where to listen: add listen = \"127.0.0.1:9178\", or leave "
                       "it all out");
  EXPECT_EQ(wrong("listen = \"9178\""),
            "c.toml:4:10: listen: '9178' is no address with a port: write it like \"127.0.0.1:9178\"");
  EXPECT_EQ(wrong("listen = \"127.0.0.1:1\"\nhosts = [\"a:1\"]"),
            "c.toml:5:9: hosts: 'a:1' is no name of a machine: write it without a port");
  EXPECT_THAT(wrong("listen = \"127.0.0.1:1\"\nhost = []"), ::testing::HasSubstr("did you mean 'hosts'?"));
}

// Of a table, as the message about a key that is none lists them.
std::set<std::string> known_keys(const std::string& begin, const std::string& end = "") {
  const std::string words = mistake(begin + "zzzzzzzzzzzz = 1" + end), before = ": there are ";
  const std::size_t at = words.find(before);
  std::set<std::string> keys;
  if (at == std::string::npos) {
    ADD_FAILURE() << words;
    return keys;
  }
  std::istringstream list(words.substr(at + before.size()));
  for (std::string key; std::getline(list, key, ',');) keys.insert(key.substr(key.find_first_not_of(' ')));
  return keys;
}

// The fuzzers begin with that file.
TEST(Config, AllKeysAreInTheFileOfAllKeys) {
  std::ifstream in(std::string(CAIRN_SOURCE_DIR) + "/tests/data/config/all_keys.toml");
  std::map<std::string, std::set<std::string>> written;  // by table
  std::string table;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with('[')) {
      table = line.starts_with("[stores.") ? "[stores.NAME]" : line;
      continue;
    }
    const std::string key = line.substr(0, line.find(' '));
    written[table].insert(key);
    const std::size_t inner = line.find('{');
    if (inner == std::string::npos || key != "layer") continue;
    std::istringstream list(line.substr(inner + 1));
    for (std::string one; std::getline(list, one, ',');) {
      const std::size_t at = one.find_first_not_of(' ');
      written["layer = {}"].insert(one.substr(at, one.find(' ', at) - at));
    }
  }
  EXPECT_EQ(known_keys("[defaults]\n"), written["[defaults]"]);
  EXPECT_EQ(known_keys("[defaults]\nlayer = {", "}\n"), written["layer = {}"]);
  EXPECT_EQ(known_keys("[stores.a]\nurl = 'file:///x'\n"), written["[stores.NAME]"]);
  EXPECT_EQ(known_keys("[http]\nlisten = '127.0.0.1:1'\n"), written["[http]"]);
  EXPECT_EQ(known_keys("[[database]]\npath = '/a'\nto = '/b'\n"), written["[[database]]"]);
  EXPECT_EQ(known_keys("[[layer]]\nname = 'a'\ndirectory = '/a'\nto = '/b'\n"), written["[[layer]]"]);
}

}  // namespace
}  // namespace cairn::daemon
