// The page for people, in a real browser: headless Chromium, where it is installed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/scratch.h"
#include "web/pages.h"
#include "web/test_client.h"

namespace cairn::web {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

std::string output_of(const std::string& command) {
  std::string output;
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  char bytes[4096];
  for (std::size_t got = 0; (got = std::fread(bytes, 1, sizeof bytes, pipe)) > 0;) output.append(bytes, got);
  ::pclose(pipe);
  return output;
}

// A thousand databases, of which some are in trouble, and one is called what would be markup.
daemon::FleetView many_databases() {
  std::vector<daemon::DatabaseView> databases;
  for (int i = 0; i < 1000; ++i) {
    databases.push_back(following("/srv/tenants/" + std::to_string(i) + "/data.db"));
    daemon::DatabaseView& one = databases.back();
    one.status.page_size = 4096;
    one.status.page_count = 1000 + 7 * i;
    one.status.wal_bytes = 100'000 + 4'000 * (i % 100);
    one.status.published_sequence = 3'000 + i;
    one.status.captured_commits = 9'000 + i;
    one.status.published_time_ms = kNow_ms - 1'000 * (i % 900);
    one.store_status.usage = {.writes = 400u + i, .lists = 3, .reads = 5, .sent_bytes = 50'000'000u + i};
    auto line = std::make_shared<daemon::TimeSlots>();
    line->width_ms = 80'000;
    for (int slot = 0; slot < 90; ++slot) {
      if ((i + slot) % 7 < 3) continue;
      line->slots.push_back({kNow_ms - 7'200'000 + slot * 80'000, 1u + (i * 13u + slot * slot) % 80u,
                             slot == 20 ? 1u : 0u, slot % 15 == 14 ? 1u : 0u});
    }
    one.restore_points = line;
  }
  databases[10].path = "/srv/<img src=x onerror=document.title='owned'>.db";
  databases[10].status.store_trouble = "<script>document.title='owned'</script> does not answer";
  databases[10].status.unpublished_since_ms = kNow_ms - 480'000;
  databases[10].status.unpublished_commits = 3'218;
  databases[10].status.spool_bytes = 48'000'000;
  databases[10].store_status.breaker = BreakerState::open;
  databases[500].is_open = false;
  databases[500].closed_since_ms = kNow_ms - 5'000'000;
  databases[500].failing = daemon::Failing{
      ErrorKind::conflict, "another writer has published to this replica: look at both, then choose", std::nullopt};
  databases[700].status.phase = Phase::first_snapshot;
  databases[700].status.has_snapshot = false;
  databases[700].status.unpublished_since_ms = kNow_ms - 42'000;
  databases[700].status.snapshot_pages_done = 700;
  databases[700].status.snapshot_pages_total = 1'000;
  databases[900].status.upkeep_trouble = "the credentials may not delete (S3: s3:DeleteObject)";
  databases[900].status.upkeep_trouble_kind = ErrorKind::denied;
  daemon::FleetView view = fleet_of(std::move(databases));
  const std::string upper = "/var/lib/containers/web_1/upper", url = "s3://bucket/layers";
  view.layers.push_back({"web_1", upper, url, std::nullopt, std::nullopt, {}});
  view.layers[0].counts = {
      .syncs = 3, .sent_bytes = 5'000'000, .torn_files = 0, .last_ms = kNow_ms - 7'000, .sequence = 12};
  const daemon::Failing failing{ErrorKind::not_found, "the directory is not there", 60'000};
  view.layers.push_back({"web_2", upper + "2", url, failing, std::nullopt, {}});
  return view;
}

TEST(Browser, ThePageShowsAThousandDatabasesAndRunsNothingOfTheirNames) {
  const std::string chromium = output_of("command -v chromium || command -v chromium-browser");
  if (chromium.empty()) GTEST_SKIP() << "chromium (Debian: chromium) is not there";
  TestFleet fleet;
  fleet.now = many_databases();
  Pages pages(fleet, {"1.2.3", {}, 1000}, [] { return std::string("0123456789abcdef0123456789abcdef"); });
  daemon::ListenAddress address;
  address.host = "127.0.0.1";
  const auto server =
      HttpServer::open(address, {}, [&](const HttpRequest& request) { return pages.answer(request); });
  ASSERT_TRUE(server) << server.error().message();
  const testing::Scratch scratch("browser");
  // CAIRN_PICTURE: where to keep the picture; CAIRN_CHROMIUM: more options, as --force-dark-mode.
  const char* const kept = std::getenv("CAIRN_PICTURE");
  const char* const more = std::getenv("CAIRN_CHROMIUM");
  const std::string picture = kept != nullptr ? kept : scratch.path() + "/page.png";
  const std::string dom = output_of(
      "HOME='" + scratch.path() + "' timeout 120 '" + chromium.substr(0, chromium.find('\n')) +
      "' --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-proxy-server --hide-scrollbars"
      " --user-data-dir='" + scratch.path() + "/profile' --window-size=1440,1000 --virtual-time-budget=2500 " +
      (more != nullptr ? more : "") + " --dump-dom --screenshot='" + picture + "' 'http://" +
      text_of((*server)->address()) + "/' 2>'" + scratch.path() + "/said'");
  ASSERT_FALSE(dom.empty()) << output_of("cat '" + scratch.path() + "/said'");

  EXPECT_THAT(dom, HasSubstr("data-shown="));
  EXPECT_THAT(dom, HasSubstr("<title>(3) Cairn</title>"));  // as the script has set it, and no name of a database
  EXPECT_THAT(dom, HasSubstr("2 failing, 1 in trouble"));
  EXPECT_THAT(dom, HasSubstr("another writer has published to this replica"));
  EXPECT_THAT(dom, HasSubstr("&lt;img src=x onerror=document.title='owned'&gt;.db"));
  EXPECT_THAT(dom, HasSubstr("&lt;script&gt;document.title='owned'&lt;/script&gt; does not answer"));
  EXPECT_THAT(dom, Not(HasSubstr("<img")));
  EXPECT_THAT(dom, HasSubstr("first snapshot 70%"));
  EXPECT_THAT(dom, HasSubstr("8 min"));
  EXPECT_THAT(dom, HasSubstr("3,218 commits"));
  EXPECT_THAT(dom, HasSubstr("show more (900 not shown)"));
  EXPECT_THAT(dom, HasSubstr("restore points, 1 snapshots"));
  EXPECT_THAT(dom, HasSubstr("the directory is not there"));
  EXPECT_THAT(dom, HasSubstr("<td class=\"number\">45.8 MiB</td>"));  // that waits for the store that is away
  EXPECT_THAT(dom, HasSubstr("<b>45.8 MiB</b><span>spool</span>"));
  EXPECT_THAT(dom, HasSubstr("<td class=\"name\">s3://bucket</td><td class=\"number\">898,600</td>"));  // its requests
  EXPECT_THAT(dom, HasSubstr("<b>906,592</b><span>requests since it began</span>"));
  EXPECT_THAT(dom, HasSubstr("<b>$4.51</b><span>at list prices</span>"));
  EXPECT_LT(dom.find("another writer"), dom.find("does not answer"));  // what fails comes first
  std::error_code error;
  EXPECT_GT(fs::file_size(picture, error), 20'000u) << "no picture was made";
}

}  // namespace
}  // namespace cairn::web
