// What the probe says of stores whose faults are known.
#include "s3/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "s3/dialect.h"
#include "twin/twin.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;

struct Probed {
  ProbeReport report;
  std::map<std::string, std::string> outcomes;
  std::vector<std::string> left_behind;
  std::size_t uploads_left = 0;
};

Probed probed(std::string_view dialect, const std::string& more = {}) {
  twin::TwinOptions options;
  options.dialect = *twin::dialect_named(dialect);
  twin::Twin server(options);
  EXPECT_TRUE(server.start());
  S3Options s3;
  s3.endpoint = server.url();
  s3.access_key_id = twin::AccessKey().id;
  s3.secret_access_key = twin::AccessKey().secret;
  Probed probed;
  auto report = probe("s3://bucket/prefix" + more, s3);
  EXPECT_TRUE(report) << report.error().message();
  if (report) probed.report = *report;
  for (const ProbeFinding& finding : probed.report.findings) {
    probed.outcomes[finding.name] = name_of(finding.outcome);
    EXPECT_EQ(finding.costs.empty(), finding.outcome != ProbeFinding::Outcome::missing) << finding.name;
    EXPECT_FALSE(finding.what.empty()) << finding.name;
  }
  probed.left_behind = server.keys_of("bucket");
  probed.uploads_left = server.upload_count("bucket");
  return probed;
}

TEST(Probe, StoreThatCanDoEverything) {
  Probed aws = probed("aws");
  EXPECT_TRUE(aws.report.usable) << aws.report.verdict;
  for (const auto& [name, outcome] : aws.outcomes) EXPECT_EQ(outcome, "works") << name;
  EXPECT_EQ(aws.outcomes.size(), std::size(kTraits));
  EXPECT_EQ(aws.report.url, "s3://bucket/prefix");
  EXPECT_THAT(aws.report.service, HasSubstr("http://127.0.0.1:"));
  EXPECT_THAT(aws.report.verdict, HasSubstr("nothing is missing"));
}

TEST(Probe, LeavesNothingBehind) {
  for (const char* dialect : {"aws", "ceph16", "nothing"}) {
    const Probed one = probed(dialect);
    EXPECT_TRUE(one.left_behind.empty()) << dialect << ": " << one.left_behind.front();
    EXPECT_EQ(one.uploads_left, 0u) << dialect;
  }
}

TEST(Probe, Ceph16CompletesWithoutConditionsAndWantsBareEtags) {
  Probed ceph = probed("ceph16");
  EXPECT_TRUE(ceph.report.usable);
  EXPECT_EQ(ceph.outcomes["create_only"], "works");
  EXPECT_EQ(ceph.outcomes["create_only_race"], "works");
  EXPECT_EQ(ceph.outcomes["compare_and_swap"], "works");
  EXPECT_EQ(ceph.outcomes["if_match_quoted"], "missing");
  EXPECT_EQ(ceph.outcomes["complete_create_only"], "missing");
  EXPECT_EQ(ceph.outcomes["checksum"], "missing");
  EXPECT_EQ(ceph.outcomes["signed_payload"], "works");
}

TEST(Probe, StoreWithoutConditionsIsUsableByASingleWriterOnly) {
  Probed swift = probed("swift230");
  EXPECT_FALSE(swift.report.usable);
  EXPECT_EQ(swift.outcomes["create_only"], "missing");
  EXPECT_EQ(swift.outcomes["compare_and_swap"], "missing");
  EXPECT_THAT(swift.report.verdict, HasSubstr("cannot"));
  EXPECT_TRUE(probed("swift230", "?accept_single_writer=true").report.usable);
}

TEST(Probe, ConditionsThatAreNotAtomicAreFoundByARace) {
  Probed swift = probed("swift238");
  EXPECT_EQ(swift.outcomes["create_only"], "works");
  EXPECT_EQ(swift.outcomes["create_only_race"], "missing");
  EXPECT_EQ(swift.outcomes["many_parts"], "missing");
  EXPECT_FALSE(swift.report.usable);
  EXPECT_TRUE(probed("swift238", "?accept_single_writer=true").report.usable);
}

TEST(Probe, WrongKeysAreAnErrorAndNotAReport) {
  twin::Twin server;
  ASSERT_TRUE(server.start());
  S3Options s3;
  s3.endpoint = server.url();
  s3.access_key_id = twin::AccessKey().id;
  s3.secret_access_key = "wrong";
  const auto report = probe("s3://bucket", s3);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind(), ErrorKind::denied);
  EXPECT_THAT(report.error().message(), HasSubstr("secret access key"));
}

}  // namespace
}  // namespace cairn::s3
