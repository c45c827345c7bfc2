// What every request has, and how one is sent once more, against answers of a script.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "s3/checksum.h"
#include "s3/scripted_store.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Signing once more

TEST(Redirect, RightRegionIsTakenFromTheAnswerOnce) {
  ScriptedStore f("?region=us-east-1");
  f.http.say_code(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>");
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_EQ(f.asked(0).origin, "https://bkt.s3.us-east-1.amazonaws.com");
  EXPECT_EQ(f.asked(1).origin, "https://bkt.s3.eu-west-1.amazonaws.com");
  EXPECT_THAT(f.asked(1).header("Authorization"), HasSubstr("/eu-west-1/s3/"));
  f.http.say_code(301, "PermanentRedirect", "<Region>ap-south-1</Region>");
  f.http.say_code(301, "PermanentRedirect", "<Region>us-west-2</Region>");
  const auto elsewhere = f.store.get("k", 0, std::nullopt);
  EXPECT_EQ(kind_of(elsewhere), "denied");
  EXPECT_THAT(elsewhere.error().message(), HasSubstr("the bucket is not in the region ap-south-1 of"));
  EXPECT_THAT(elsewhere.error().message(), HasSubstr("but in us-west-2: check region and endpoint"));
}

TEST(ServerClock, IsTheStoresAfterItRefused) {
  ScriptedStore f;
  f.http.say(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", {{"date", "Sat, 21 Nov 2026 15:00:00 GMT"}});
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_EQ(f.asked(0).header("x-amz-date"), "20261121T120000Z");
  EXPECT_EQ(f.asked(1).header("x-amz-date"), "20261121T150000Z");
}

// Two answers of one second, between which this machine's clock was set.
TEST(ServerClock, IsHeardInARefusalAlsoWhenItSaysWhatItSaidBefore) {
  const std::pair<std::string, std::string> date{"date", "Sat, 21 Nov 2026 12:00:00 GMT"};
  ScriptedStore f;
  auto well = object("e", "1");
  well.push_back(date);
  f.http.say(200, "x", well);
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  f.clock.wall_ms += 3'600'000;
  f.http.say(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", {date});
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_EQ(f.asked(1).header("x-amz-date"), "20261121T130000Z");
  EXPECT_EQ(f.asked(2).header("x-amz-date"), "20261121T120000Z");
}

// Several servers behind one name, of which one has a wrong clock.
TEST(ServerClock, MayBeAnotherOnesTheNextTime) {
  constexpr const char* kSkewed = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
  constexpr const char* kWrong = "Sat, 21 Nov 2026 15:00:00 GMT";
  constexpr const char* kRight = "Sat, 21 Nov 2026 12:00:00 GMT";
  ScriptedStore f;
  f.http.say(403, kSkewed, {{"date", kWrong}});
  f.http.say(403, kSkewed, {{"date", kRight}});
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_EQ(f.asked(2).header("x-amz-date"), "20261121T120000Z");
  // For ever: the request had no effect, and the next one may meet the right one.
  for (int i = 0; i < 2; ++i) {
    f.http.say(403, kSkewed, {{"date", kWrong}});
    f.http.say(403, kSkewed, {{"date", kRight}});
  }
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "retry_later");
  // Who says the time that the request had, and refuses it for its time, is not pleased by the same again.
  f.http.say(403, kSkewed, {{"date", kRight}});
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "denied");
}

TEST(Keys, ThatHaveExpiredAreFetchedAnewOnce) {
  ScriptedStore f;
  f.credentials.next_id = "NEW";
  f.http.say_code(400, "ExpiredToken");
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_THAT(f.asked(1).header("Authorization"), HasSubstr("Credential=NEW/"));
  f.http.say_code(400, "ExpiredToken");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "denied");  // the same keys again: nothing to try
}
// Options

TEST(Options, GoWithWhatTheyConcern) {
  S3Options s3;
  s3.customer_key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
  ScriptedStore f("?endpoint=https://h&storage_class=STANDARD_IA&tags=a%3Db&requester_pays=1", all_honoured(), s3);
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");
  EXPECT_EQ(f.asked(0).header("x-amz-storage-class"), "STANDARD_IA");
  EXPECT_EQ(f.asked(0).header("x-amz-tagging"), "a=b");
  EXPECT_EQ(f.asked(0).header("x-amz-request-payer"), "requester");
  EXPECT_EQ(f.asked(0).header("x-amz-server-side-encryption-customer-algorithm"), "AES256");
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_EQ(f.asked(1).header("x-amz-storage-class"), "-");
  EXPECT_NE(f.asked(1).header("x-amz-server-side-encryption-customer-key"), "-");
}

// Every operation once, each with an answer that lets it succeed.
std::map<std::string, Asked> every_request(const std::string& options, const S3Options& s3) {
  ScriptedStore f(options, all_honoured(), s3);
  std::map<std::string, Asked> asked;
  const auto made = [&](const std::string& name, const auto& result) {
    EXPECT_EQ(kind_of(result), "ok") << name << (result ? "" : ": " + result.error().message());
    asked[name] = f.http.asked.back();
  };
  const std::string kEtag = "<ETag>e</ETag>";
  f.http.say(200, {}, {{"etag", "\"e\""}});
  made("put_new", f.put_new());
  f.http.say(200, {}, {{"etag", "\"e\""}});
  made("put_if", f.put_if());
  f.http.say(200, "x", object("e", "1"));
  made("get", f.store.get("k", 0, std::nullopt));
  f.http.say(200, "x", object("e", "1"));
  made("get_suffix", f.store.get_suffix("k", 1));
  f.http.say(200, {}, object("e", "1"));
  made("head", f.store.head("k"));
  f.http.say(200, listing({}, "false"));
  made("list", f.store.list("", "", 0));
  f.http.say(204);
  made("remove", f.store.remove("k"));
  f.http.say(200, "<DeleteResult/>");
  made("remove_many", f.store.remove_many(std::vector<std::string>{"a", "b"}));
  f.http.say(200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
  made("begin_upload", f.store.begin_upload("k"));
  f.http.say(200, {}, {{"etag", "\"p\""}});
  made("put_part", f.store.put_part("k", "u", 1, BytesSource(as_bytes("x"))));
  f.http.say(200, {}, object("e", "1"));
  f.http.say(200, "<CopyPartResult>" + kEtag + "</CopyPartResult>");
  made("copy_part", f.store.copy_part("k", "u", 2, "source", 0, 1));
  f.http.say(200, "<ListPartsResult/>");
  made("list_parts", f.store.list_parts("k", "u"));
  f.http.say(200, "<CompleteMultipartUploadResult>" + kEtag + "</CompleteMultipartUploadResult>");
  made("complete_new", f.store.complete_new("k", "u", std::vector<PartInfo>{{1, "p", 1}}));
  f.http.say(204);
  made("abort_upload", f.store.abort_upload("k", "u"));
  f.http.say(200, "<ListMultipartUploadsResult/>");
  made("list_uploads", f.store.list_uploads(""));
  return asked;
}

// On which requests a header stands, and on which it must not: some stores refuse one that means nothing there.
void expect_only_on(const std::map<std::string, Asked>& asked, const std::string& header,
                    const std::set<std::string>& operations) {
  for (const auto& [name, request] : asked) {
    EXPECT_EQ(request.header(header) != "-", operations.contains(name)) << header << " on " << name;
  }
}

const std::set<std::string> kMakeObjects{"put_new", "put_if", "begin_upload"};

TEST(Options, WhatANewObjectIsToBeStandsWhereOneIsMade) {
  const auto asked = every_request("?endpoint=http://h&storage_class=STANDARD_IA&tags=a%3Db", {});
  expect_only_on(asked, "x-amz-storage-class", kMakeObjects);
  expect_only_on(asked, "x-amz-tagging", kMakeObjects);
  expect_only_on(asked, "x-amz-acl", {});
  expect_only_on(asked, "x-amz-server-side-encryption", {});
  EXPECT_EQ(asked.at("begin_upload").header("x-amz-tagging"), "a=b");
}

TEST(Options, TheStoresKeysStandWhereAnObjectIsMade) {
  const auto kms = every_request("?endpoint=http://h&encryption=aws:kms&kms_key_id=arn:aws:kms:k", {});
  expect_only_on(kms, "x-amz-server-side-encryption", kMakeObjects);
  expect_only_on(kms, "x-amz-server-side-encryption-aws-kms-key-id", kMakeObjects);
  EXPECT_EQ(kms.at("put_new").header("x-amz-server-side-encryption"), "aws:kms");
  EXPECT_EQ(kms.at("begin_upload").header("x-amz-server-side-encryption-aws-kms-key-id"), "arn:aws:kms:k");
  const auto s3 = every_request("?endpoint=http://h&encryption=AES256", {});
  expect_only_on(s3, "x-amz-server-side-encryption", kMakeObjects);
  expect_only_on(s3, "x-amz-server-side-encryption-aws-kms-key-id", {});
  EXPECT_EQ(s3.at("put_if").header("x-amz-server-side-encryption"), "AES256");
}

TEST(Options, TheCustomersKeyStandsWhereverBytesAreReadOrWritten) {
  S3Options s3;
  s3.customer_key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
  const auto asked = every_request("?endpoint=http://127.0.0.1", s3);
  for (const char* one : {"algorithm", "key", "key-MD5"}) {
    expect_only_on(asked, std::string("x-amz-server-side-encryption-customer-") + one,
                   {"put_new", "put_if", "get", "get_suffix", "head", "begin_upload", "put_part", "copy_part",
                    "list_parts", "complete_new"});
    expect_only_on(asked, std::string("x-amz-copy-source-server-side-encryption-customer-") + one, {"copy_part"});
  }
  expect_only_on(asked, "x-amz-server-side-encryption", {});
  EXPECT_EQ(asked.at("get").header("x-amz-server-side-encryption-customer-key-MD5"), "hRasmdxgYDKV3nvbahU1MA==");
}

TEST(Options, WhoPaysStandsEverywhere) {
  const auto asked = every_request("?endpoint=http://h&requester_pays=1", {});
  for (const auto& [name, request] : asked) EXPECT_EQ(request.header("x-amz-request-payer"), "requester") << name;
}

TEST(EveryRequest, HasALimitToWhatItWaitsForAndAWholeSignedBody) {
  for (const char* endpoint : {"http://h", "https://h"}) {
    for (const auto& [name, request] : every_request(std::string("?endpoint=") + endpoint, {})) {
      EXPECT_GT(request.stall_ms, 0) << name;
      EXPECT_LE(request.stall_ms, 300'000) << name;
      // Neither chunks with signatures of their own nor trailers: many stores take none.
      const std::string payload = request.header("x-amz-content-sha256");
      EXPECT_TRUE(payload == "UNSIGNED-PAYLOAD" || payload.size() == 64) << name << ": " << payload;
      EXPECT_TRUE(std::string_view(endpoint) != "http://h" || payload.size() == 64) << name << ": " << payload;
      EXPECT_EQ(request.header("x-amz-trailer"), "-") << name;
      EXPECT_EQ(request.header("Transfer-Encoding"), "-") << name;
    }
  }
}
TEST(Errors, RetryAfterIsCarried) {
  ScriptedStore f;
  f.http.say(503, "<Error><Code>SlowDown</Code></Error>", {{"retry-after", "7"}});
  const auto page = f.store.list("", "", 0);
  ASSERT_EQ(kind_of(page), "retry_later");
  EXPECT_EQ(page.error().retry_after_ms(), 7000);
}

TEST(Errors, RetryAfterMayBeADateOfTheStoresClock) {
  const auto wait_ms = [](const std::string& until) {
    ScriptedStore f;
    f.http.say(503, "<Error><Code>SlowDown</Code></Error>",
               {{"retry-after", until}, {"date", "Wed, 21 Oct 2015 07:28:00 GMT"}});
    return f.store.list("", "", 0).error().retry_after_ms();
  };
  EXPECT_EQ(wait_ms("Wed, 21 Oct 2015 07:28:30 GMT"), 30'000);
  EXPECT_EQ(wait_ms("Wed, 21 Oct 2015 07:27:00 GMT"), 0) << "over already";
  EXPECT_EQ(wait_ms("Thu, 21 Oct 2025 07:28:00 GMT"), 3600'000) << "no longer than an hour";
  EXPECT_EQ(wait_ms("soon"), 0);
  EXPECT_EQ(wait_ms("99999999999999999999"), 0);
}

}  // namespace
}  // namespace cairn::s3
