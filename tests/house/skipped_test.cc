// What ./check says of tests that could not run: each by its name, with its reason, and nothing of the log around it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "house/source_text.h"
#include "support/scratch.h"

namespace cairn::house {
namespace {

namespace fs = std::filesystem;

// What the function of the script prints of a log.
std::string told_of(const std::string& log) {
  const testing::Scratch scratch("skipped");
  const fs::path folder = fs::path(scratch.path()) / "Testing" / "Temporary";
  fs::create_directories(folder);
  std::ofstream(folder / "LastTest.log") << log;
  const std::string out = scratch.path() + "/out";
  const std::string command = "LC_ALL=C bash -c 'source <(sed -n \"/^print_skipped/,/^}/p\" \"" CAIRN_SOURCE_DIR
                              "/check\"); print_skipped \"" + scratch.path() + "\" >\"" + out + "\"'";
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  return read_text(out);
}

TEST(Skipped, IsToldByItsNameWithItsReason) {
  EXPECT_EQ(told_of("\"s3.One\" start time: Nov 28 01:00 UTC\nOutput:\n---\n/x/y_test.cc:7: Skipped\nno server\n"
                    "[  SKIPPED ] S3/Each.One/twin (0 ms)\n[----------] 1 test\n<end of output>\nTest time = 1 sec\n"
                    "\"cli.two\" start time: Nov 28 01:00 UTC\nsomething else\n: Skipped\nno program\n  of that name\n"
                    "[  SKIPPED ] cli.two (0 ms)\n<end of output>\n"),
            "  S3/Each.One/twin: no server\n  cli.two: no program   of that name\n");
}

TEST(Skipped, OfOneThatRanButForAPartTheReasonsAreTold) {
  std::string log = "\"ceph.conformance\" start time: Nov 28 01:00 UTC\n/x.h:9: Skipped\nwants the key\n"
                    "/x.h:12: Skipped\n/x.h:14: Skipped\ntoo large\n[==========] 55 tests ran.\n<end of output>\n"
                    "Test time = 17 sec\n\"base.Three\" start time: Nov 28 01:00 UTC\n";
  log += "a line of another test's\n<end of output>\n";
  EXPECT_EQ(told_of(log), "  ceph.conformance: no reason given\n  ceph.conformance: too large\n"
                          "  ceph.conformance: wants the key\n");
}

}  // namespace
}  // namespace cairn::house
