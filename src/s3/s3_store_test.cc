// Each rule of the store against answers of a script: what is asked, in which order, and what is made of it.
#include "s3/s3_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "s3/checksum.h"
#include "s3/scripted_http.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Dialect all_honoured() {
  Dialect dialect;
  dialect.put_new = dialect.put_if = dialect.complete = Condition::honoured;
  return dialect;
}

class FixedClock final : public Clock {
 public:
  Time now() override { return {wall_ms, 0}; }
  std::int64_t wall_ms = *parse_time("2026-11-21T12:00:00Z");
};

struct Fixture {
  explicit Fixture(const std::string& options = "?endpoint=http://h", const Dialect& known = all_honoured(),
                   const S3Options& s3 = {})
      : store(*make_settings(
                  *parse_s3_url("s3://bkt/pre" + options, s3),
                  [](const std::string&) { return std::optional<std::string>(); }, ""),
              S3Parts{http, credentials, clock, random}, known) {}
  ~Fixture() { EXPECT_TRUE(http.is_over()) << "more answers than questions"; }

  Result<std::string> put_new(std::string_view text = "x") { return store.put_new("k", BytesSource(as_bytes(text))); }
  Result<std::string> put_if(std::string_view etag = "old") {
    return store.put_if("k", BytesSource(as_bytes("x")), etag);
  }
  const Asked& asked(std::size_t i) const { return http.asked.at(i); }

  ScriptedHttp http;
  FixedCredentials credentials;
  FixedClock clock;
  SeededRandom random{1};
  S3Store store;
};

ScriptedHttp::Headers object(const std::string& etag, const std::string& length) {
  return {{"etag", "\"" + etag + "\""}, {"content-length", length}};
}

// put_new

TEST(PutNew, IsOneConditionalRequestWithAToken) {
  Fixture f;
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(*f.put_new(), "e");
  EXPECT_EQ(f.asked(0).line(), "PUT /bkt/pre/k");
  EXPECT_EQ(f.asked(0).header("If-None-Match"), "*");
  EXPECT_EQ(f.asked(0).header("x-amz-meta-cairn-token").size(), 32u);
  EXPECT_EQ(f.asked(0).header("x-amz-content-sha256"), hex(sha256(as_bytes("x"))));  // over http
}

TEST(PutNew, RefusedIsAConflictUnlessTheObjectIsOurs) {
  Fixture f;
  f.http.say_code(412, "PreconditionFailed");
  f.http.say(200, {}, object("other", "1"));
  EXPECT_EQ(kind_of(f.put_new()), "conflict");
  EXPECT_EQ(f.asked(1).line(), "HEAD /bkt/pre/k");
  f.http.say_code(412, "PreconditionFailed");
  f.http.say_ours();
  EXPECT_EQ(*f.put_new(), "ours");
}

TEST(PutNew, RaceLosersMayBeTold409Or500) {
  for (const int status : {409, 500}) {
    Fixture f;
    f.http.say_code(status, "Whatever");
    f.http.say(200, {}, object("other", "1"));
    EXPECT_EQ(kind_of(f.put_new()), "conflict") << status;
    f.http.say_code(status, "Whatever");
    f.http.say_ours();
    EXPECT_EQ(*f.put_new(), "ours") << status;
    f.http.say_code(status, "Whatever");
    f.http.say(404);
    EXPECT_EQ(kind_of(f.put_new()), "retry_later") << status;
  }
}

TEST(PutNew, UnansweredIsSentAgainWithTheSameToken) {
  Fixture f;
  f.http.say(200, {}, {{"etag", "\"e\""}});
  (void)f.put_new();  // the bucket has been seen
  f.http.fail(ErrorKind::maybe_done);
  f.http.say(404);
  f.http.say(200, {}, {{"etag", "\"e2\""}});
  EXPECT_EQ(*f.put_new(), "e2");
  EXPECT_EQ(f.asked(1).header("x-amz-meta-cairn-token"), f.asked(3).header("x-amz-meta-cairn-token"));
}

TEST(PutNew, WhatStaysOpenIsMaybeDone) {
  Fixture f;
  f.http.say(200, {}, {{"etag", "\"e\""}});
  (void)f.put_new();
  for (int i = 0; i < 3; ++i) {
    f.http.fail(ErrorKind::maybe_done);
    f.http.say(404);
  }
  EXPECT_EQ(kind_of(f.put_new()), "maybe_done");
  f.http.fail(ErrorKind::maybe_done);
  f.http.say(404);
  f.http.say_code(503, "SlowDown");  // of the second one; the first may still arrive
  EXPECT_EQ(kind_of(f.put_new()), "maybe_done");
  f.http.say_code(503, "SlowDown");
  EXPECT_EQ(kind_of(f.put_new()), "retry_later");
  f.http.fail(ErrorKind::retry_later);
  EXPECT_EQ(kind_of(f.put_new()), "retry_later");
}

// Learning

TEST(Learning, OneRequestWhereTheProbeObjectIsThere) {
  Fixture f("?endpoint=http://h", Dialect());
  f.http.say_code(412, "PreconditionFailed");
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");
  EXPECT_EQ(f.asked(0).line(), "PUT /bkt/pre/.cairn-probe");
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");  // and never again
}

TEST(Learning, StoreThatIgnoresConditionsIsRefusedByName) {
  Fixture f("?endpoint=http://h", Dialect());
  f.http.say(200, {}, {{"etag", "\"e\""}});
  f.http.say(200, {}, {{"etag", "\"e\""}});
  const auto put = f.put_new();
  ASSERT_EQ(kind_of(put), "unsupported");
  EXPECT_THAT(put.error().message(), HasSubstr("accept_single_writer=true"));
  EXPECT_FALSE(f.store.capabilities().create_only);
}

TEST(Learning, SingleWriterLooksFirst) {
  Fixture f("?endpoint=http://h&accept_single_writer=true", Dialect());
  f.http.say_code(501, "NotImplemented");
  f.http.say(404);
  f.http.say(200);  // the bucket is there
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");
  EXPECT_EQ(f.http.asked.back().header("If-None-Match"), "-");
  f.http.say(200, {}, object("e", "1"));
  EXPECT_EQ(kind_of(f.put_new()), "conflict");
}

TEST(Learning, ConflictProvesNothing) {
  Fixture f("?endpoint=http://h", Dialect());
  f.http.say_code(409, "ConditionalRequestConflict");
  EXPECT_EQ(kind_of(f.put_new()), "retry_later");
  EXPECT_EQ(f.store.dialect().put_new, Condition::unknown);
}

TEST(Learning, BucketIsMadeOnlyWhenAsked) {
  Fixture asked_for("?endpoint=http://h&create_bucket=true", Dialect());
  asked_for.http.say_code(404, "NoSuchBucket");
  asked_for.http.say(404);
  asked_for.http.say(200);
  asked_for.http.say_code(412, "PreconditionFailed");
  asked_for.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(asked_for.put_new()), "ok");
  EXPECT_EQ(asked_for.asked(2).line(), "PUT /bkt");
  Fixture not_asked("?endpoint=http://h", Dialect());
  not_asked.http.say_code(404, "NoSuchBucket");
  const auto put = not_asked.put_new();
  ASSERT_EQ(kind_of(put), "denied");
  EXPECT_THAT(put.error().message(), HasSubstr("no bucket 'bkt'"));
}

TEST(Learning, BucketThatSomebodyElseMakesAtThatMomentIsThere) {
  Fixture f("?endpoint=http://h&create_bucket=true", Dialect());
  f.http.say_code(404, "NoSuchBucket");
  f.http.say(200);
  f.http.say_code(412, "PreconditionFailed");
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");
}

// put_if

TEST(PutIf, NamesTheEtagInQuotesAndNotesWhatItReplaces) {
  Fixture f;
  f.http.say(200, {}, {{"etag", "\"new\""}});
  EXPECT_EQ(*f.put_if(), "new");
  EXPECT_EQ(f.asked(0).header("If-Match"), "\"old\"");
  EXPECT_EQ(f.asked(0).header("x-amz-meta-cairn-replaces"), "old");
}

TEST(PutIf, RefusedAlthoughItIsTheOneGoesOnWithoutQuotes) {
  Fixture f;
  f.http.say_code(412, "PreconditionFailed");
  f.http.say(200, {}, object("old", "1"));
  f.http.say(200, {}, {{"etag", "\"new\""}});
  EXPECT_EQ(*f.put_if(), "new");
  EXPECT_EQ(f.asked(2).header("If-Match"), "old");
  EXPECT_EQ(f.store.dialect().put_if_quotes, EtagQuotes::without);
}

TEST(PutIf, GoneIsAConflict) {
  Fixture f;
  f.http.say_code(404, "NoSuchKey");
  f.http.say(404);
  f.http.say(200);
  EXPECT_EQ(kind_of(f.put_if()), "conflict");
  EXPECT_EQ(kind_of(f.put_if("")), "conflict");
  EXPECT_EQ(kind_of(f.put_if("a \"b\"")), "conflict");
}

TEST(PutIf, After500OnlyWhatReplacedOurVersionShowsThatOursDidNot) {
  Fixture f;
  f.http.say_code(500, "InternalError");
  auto replaced = object("theirs", "1");
  replaced.emplace_back("x-amz-meta-cairn-replaces", "old");
  f.http.say(200, {}, replaced);
  EXPECT_EQ(kind_of(f.put_if()), "conflict");
  f.http.say_code(500, "InternalError");
  f.http.say(200, {}, object("later", "1"));  // ours may have lain between
  EXPECT_EQ(kind_of(f.put_if()), "maybe_done");
}

// get

TEST(Get, RangeIsNamedAndChecked) {
  Fixture f;
  auto headers = object("e", "3");
  headers.emplace_back("content-range", "bytes 2-4/10");
  f.http.say(206, "cde", headers);
  const auto object_read = f.store.get("k", 2, 3);
  ASSERT_TRUE(object_read) << object_read.error().message();
  EXPECT_EQ(as_text(object_read->bytes), "cde");
  EXPECT_EQ(object_read->info.size_bytes, 10u);
  EXPECT_EQ(f.asked(0).header("Range"), "bytes=2-4");
  headers.back().second = "bytes 3-5/10";
  f.http.say(206, "def", headers);
  EXPECT_EQ(kind_of(f.store.get("k", 2, 3)), "corrupt");
}

TEST(Get, BrokenBodyIsResumedOfTheSameObject) {
  Fixture f;
  f.http.say(200, "abcd", object("e", "10"));
  f.http.and_break_off();
  auto headers = object("e", "6");
  headers.emplace_back("content-range", "bytes 4-9/10");
  f.http.say(206, "ef", headers);
  f.http.and_break_off();
  headers = object("e", "4");
  headers.emplace_back("content-range", "bytes 6-9/10");
  f.http.say(206, "ghij", headers);
  const auto read = f.store.get("k", 0, std::nullopt);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(as_text(read->bytes), "abcdefghij");
  EXPECT_EQ(f.asked(1).header("Range"), "bytes=4-9");
  EXPECT_EQ(f.asked(1).header("If-Match"), "\"e\"");
}

TEST(Get, RestOfAnotherObjectIsNotJoined) {
  Fixture f;
  f.http.say(200, "abcd", object("e", "6"));
  f.http.and_break_off();
  auto headers = object("other", "2");
  headers.emplace_back("content-range", "bytes 4-5/6");
  for (int i = 0; i < 3; ++i) f.http.say(206, "xx", headers);
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "retry_later");
}

TEST(Get, WrongChecksumIsCorrupt) {
  Fixture f;
  auto headers = object("e", "3");
  headers.emplace_back("x-amz-checksum-crc64nvme", base64_be(crc64nvme(0, as_bytes("abc"))));
  f.http.say(200, "abc", headers);
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  f.http.say(200, "abX", headers);
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "corrupt");
}

// read: as what comes is taken, and not held

struct Taken {
  Store::TakePiece take() {
    return [this](const ObjectInfo& whole, ByteView piece) -> Result<void> {
      size_bytes = whole.size_bytes;
      text += as_text(piece);
      if (text.size() >= most) return Error(ErrorKind::retry_later, "enough");
      return {};
    };
  }
  std::string text;
  std::uint64_t size_bytes = 0;
  std::size_t most = 1000;
};

ScriptedHttp::Headers range_of(const std::string& etag, const std::string& range, const std::string& length) {
  auto headers = object(etag, length);
  headers.emplace_back("content-range", "bytes " + range);
  return headers;
}

TEST(Read, GoesOnBehindWhatWasTakenWithTheSameObject) {
  Fixture f;
  f.http.say(206, "cdef", range_of("e", "2-9/12", "8"));
  f.http.and_break_off();
  f.http.fail(ErrorKind::maybe_done);
  f.http.say(206, "", range_of("e", "6-9/12", "4"));
  f.http.and_break_off();
  f.http.say(206, "ghij", range_of("e", "6-9/12", "4"));
  Taken taken;
  const auto read = f.store.read("k", 2, 8, taken.take());
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(taken.text, "cdefghij");
  EXPECT_EQ(taken.size_bytes, 12u);
  EXPECT_EQ(read->size_bytes, 12u);
  EXPECT_EQ(f.asked(0).header("Range"), "bytes=2-9");
  EXPECT_EQ(f.asked(3).header("Range"), "bytes=6-9");
  EXPECT_EQ(f.asked(3).header("If-Match"), "\"e\"");
}

TEST(Read, NothingIsTakenOfWhatDoesNotFit) {
  Fixture f;
  Taken taken;
  f.http.say(206, "defg", range_of("e", "3-6/12", "4"));  // another range
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "corrupt");
  f.http.say(206, "cdefg", range_of("e", "2-5/12", "4"));  // more than it says
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "corrupt");
  EXPECT_EQ(taken.text, "cde");
  f.http.say_code(503, "SlowDown");  // a document
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "retry_later");
  f.http.say_code(404, "NoSuchKey");
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "not_found");
  f.http.say(200, "abcdefghijkl", object("e", "12"));  // ranges are not known there
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "corrupt");
  EXPECT_EQ(taken.text, "cde");
}

TEST(Read, RestOfAnotherObjectIsNotTaken) {
  Fixture f;
  f.http.say(206, "abcd", range_of("e", "0-5/6", "6"));
  f.http.and_break_off();
  for (int i = 0; i < 2; ++i) f.http.say(206, "xx", range_of("other", "4-5/6", "2"));
  f.http.say(206, "xx", range_of("e", "4-5/7", "2"));
  Taken taken;
  EXPECT_EQ(kind_of(f.store.read("k", 0, 6, taken.take())), "retry_later");
  EXPECT_EQ(taken.text, "abcd");
}

TEST(Read, WhoHasEnoughIsNotAskedAgain) {
  Fixture f;
  f.http.say(206, "abcdef", range_of("e", "0-5/6", "6"));
  Taken taken;
  taken.most = 3;
  EXPECT_EQ(f.store.read("k", 0, 6, taken.take()).error().message(), "enough");
  EXPECT_EQ(taken.text, "abc");
  f.http.say(206, "abc", range_of("e", "0-5/6", "6"));
  f.http.and_break_off();
  f.http.say(206, "def", range_of("e", "3-5/6", "3"));
  taken = {.text = {}, .most = 5};
  EXPECT_EQ(f.store.read("k", 0, 6, taken.take()).error().message(), "enough");
}

TEST(Get, OnlyAReal404IsNotFound) {
  Fixture f;
  f.http.say_code(404, "NoSuchKey");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "not_found");
  f.http.say_code(404, "NoSuchBucket");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "denied");
  f.http.say(404, "<html>not here</html>");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "invalid");
  f.http.say(404, "<Err");
  f.http.and_break_off();
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "retry_later");
  f.http.fail(ErrorKind::maybe_done);
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "retry_later");  // reading has no effect
}

TEST(Head, MissingBucketIsNoMissingObject) {
  Fixture f;
  f.http.say(404);
  f.http.say(404);
  const auto head = f.store.head("k");
  ASSERT_EQ(kind_of(head), "denied");
  EXPECT_EQ(f.asked(1).line(), "HEAD /bkt");
}

TEST(Head, RefusalIsAskedAboutInWords) {
  Fixture f;
  f.http.say(403);
  f.http.say_code(403, "InvalidAccessKeyId");
  const auto head = f.store.head("k");
  ASSERT_EQ(kind_of(head), "denied");
  EXPECT_THAT(head.error().message(), HasSubstr("does not know the access key id (from the test)"));
  EXPECT_THAT(head.error().message(), Not(HasSubstr("hunter2")));
}

// Signing once more

TEST(Redirect, RightRegionIsTakenFromTheAnswerOnce) {
  Fixture f("?region=us-east-1");
  f.http.say_code(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>");
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_EQ(f.asked(0).origin, "https://bkt.s3.us-east-1.amazonaws.com");
  EXPECT_EQ(f.asked(1).origin, "https://bkt.s3.eu-west-1.amazonaws.com");
  EXPECT_THAT(f.asked(1).header("Authorization"), HasSubstr("/eu-west-1/s3/"));
  f.http.say_code(301, "PermanentRedirect", "<Region>ap-south-1</Region>");
  f.http.say_code(301, "PermanentRedirect", "<Region>us-west-2</Region>");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "denied");
}

TEST(ServerClock, IsTheStoresAfterItRefused) {
  Fixture f;
  f.http.say(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", {{"date", "Sat, 21 Nov 2026 15:00:00 GMT"}});
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_EQ(f.asked(0).header("x-amz-date"), "20261121T120000Z");
  EXPECT_EQ(f.asked(1).header("x-amz-date"), "20261121T150000Z");
}

// Several servers behind one name, of which one has a wrong clock.
TEST(ServerClock, MayBeAnotherOnesTheNextTime) {
  constexpr const char* kSkewed = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
  constexpr const char* kWrong = "Sat, 21 Nov 2026 15:00:00 GMT";
  constexpr const char* kRight = "Sat, 21 Nov 2026 12:00:00 GMT";
  Fixture f;
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
  Fixture f;
  f.credentials.next_id = "NEW";
  f.http.say_code(400, "ExpiredToken");
  f.http.say(200, "x", object("e", "1"));
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "ok");
  EXPECT_THAT(f.asked(1).header("Authorization"), HasSubstr("Credential=NEW/"));
  f.http.say_code(400, "ExpiredToken");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "denied");  // the same keys again: nothing to try
}

// Checksums over TLS

TEST(Checksums, BelievedOnlyWhenEchoed) {
  Fixture f("?endpoint=https://h");
  const std::string crc = base64_be(crc64nvme(0, as_bytes("x")));
  f.http.say(200, {}, {{"etag", "\"e\""}, {"x-amz-checksum-crc64nvme", crc}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");
  EXPECT_EQ(f.asked(0).header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
  EXPECT_EQ(f.asked(0).header("x-amz-checksum-crc64nvme"), crc);
  EXPECT_EQ(f.asked(0).header("x-amz-sdk-checksum-algorithm"), "CRC64NVME");
  EXPECT_TRUE(f.store.dialect().checksum_echoed);
  f.http.say(200, {}, {{"etag", "\"e\""}, {"x-amz-checksum-crc64nvme", "AAAAAAAAAAA="}});
  EXPECT_EQ(kind_of(f.put_new()), "corrupt");
}

TEST(Checksums, StoreThatKnowsNoneGetsSignedBodies) {
  Fixture f("?endpoint=https://h");
  for (int i = 0; i < 3; ++i) f.http.say(200, {}, {{"etag", "\"e\""}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(kind_of(f.put_new()), "ok");
  EXPECT_NE(f.asked(1).header("x-amz-checksum-crc32c"), "-");
  EXPECT_EQ(f.asked(2).header("x-amz-content-sha256"), hex(sha256(as_bytes("x"))));
}

// Uploads

TEST(Complete, SuccessThatCarriesAnErrorIsLookedInto) {
  Fixture f;
  const PartInfo part{1, "p", 1};
  f.http.say(200, "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>");
  ASSERT_EQ(*f.store.begin_upload("k"), "id");
  f.http.say(200, "  <Error><Code>InternalError</Code></Error>");
  f.http.say_ours();
  EXPECT_EQ(*f.store.complete_new("k", "id", {&part, 1}), "ours");
}

TEST(Complete, LostReplyIsFoundInTheObject) {
  Fixture f;
  const PartInfo part{1, hex(md5(as_bytes("x"))), 1};
  f.http.say(200, "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>");
  ASSERT_TRUE(f.store.begin_upload("k"));
  f.http.say_code(404, "NoSuchUpload");
  f.http.say_ours();
  EXPECT_EQ(*f.store.complete_new("k", "id", {&part, 1}), "ours");
  // Begun by another process: the parts tell.
  f.http.say_code(404, "NoSuchUpload");
  f.http.say(200, {}, object(hex(md5(md5(as_bytes("x")))) + "-1", "1"));
  EXPECT_EQ(kind_of(f.store.complete_new("k", "other", {&part, 1})), "ok");
  f.http.say_code(404, "NoSuchUpload");
  f.http.say(200, {}, object("another-1", "1"));
  EXPECT_EQ(kind_of(f.store.complete_new("k", "other", {&part, 1})), "not_found");
}

// Listing

std::string listing(const std::vector<std::string>& keys, const char* truncated) {
  std::string text = "<ListBucketResult><IsTruncated>" + std::string(truncated) + "</IsTruncated>";
  for (const std::string& key : keys)
    text += "<Contents><Key>" + key + "</Key><Size>1</Size><ETag>e</ETag></Contents>";
  return text + "</ListBucketResult>";
}

TEST(List, BucketThatSomebodyElseMakesAtThatMomentIsThere) {
  Fixture f("?endpoint=http://h&create_bucket=true", Dialect());
  f.http.say_code(404, "NoSuchBucket");
  f.http.say(200);
  f.http.say(200, listing({"pre/a"}, "false"));
  const auto page = f.store.list("", "", 0);
  ASSERT_EQ(kind_of(page), "ok");
  EXPECT_EQ(page->objects.size(), 1u);
}

TEST(Get, BucketIsMadeWhenItWasAskedForAndNothingIsThere) {
  Fixture f("?endpoint=http://h&create_bucket=true", Dialect());
  f.http.say_code(404, "NoSuchBucket");
  f.http.say(404);  // a look whether it is there
  f.http.say(200);  // made
  f.http.say_code(404, "NoSuchKey");
  EXPECT_EQ(kind_of(f.store.get("a", 0, std::nullopt)), "not_found");
  EXPECT_EQ(f.asked(2).method, "PUT");

  Fixture not_asked("?endpoint=http://h", Dialect());
  not_asked.http.say_code(404, "NoSuchBucket");
  EXPECT_EQ(kind_of(not_asked.store.get("a", 0, std::nullopt)), "denied");
}

TEST(List, LeavesOutWhatIsNoKeyAndGoesOn) {
  Fixture f;
  f.http.say(200, listing({"pre/.cairn-probe", "pre/a/"}, "true"));
  f.http.say(200, listing({"pre/b", "pre/c"}, "false"));
  const auto page = f.store.list("", "", 2);
  ASSERT_TRUE(page) << page.error().message();
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].key, "b");
  EXPECT_FALSE(page->more);
  EXPECT_THAT(f.asked(1).target, HasSubstr("start-after=pre%2Fa%2F"));
}

TEST(List, DisorderAndBrokenListsAreErrors) {
  Fixture f;
  f.http.say(200, listing({"pre/b", "pre/a"}, "false"));
  EXPECT_EQ(kind_of(f.store.list("", "", 0)), "corrupt");  // which is asked for again
  f.http.say(200, listing({"pre/aa", "pre/b"}, "false"));
  EXPECT_EQ(kind_of(f.store.list("a", "", 0)), "corrupt");
  f.http.say(200, listing({"pre/b"}, "false"));
  f.http.and_break_off();
  EXPECT_EQ(kind_of(f.store.list("", "", 0)), "retry_later");
}

// Options

TEST(Options, GoWithWhatTheyConcern) {
  S3Options s3;
  s3.customer_key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
  Fixture f("?endpoint=https://h&storage_class=STANDARD_IA&tags=a%3Db&requester_pays=1", all_honoured(), s3);
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
  Fixture f(options, all_honoured(), s3);
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
      if (std::string_view(endpoint) == "http://h") EXPECT_NE(payload, "UNSIGNED-PAYLOAD") << name;
      EXPECT_EQ(request.header("x-amz-trailer"), "-") << name;
      EXPECT_EQ(request.header("Transfer-Encoding"), "-") << name;
    }
  }
}

// Deleting many

std::vector<std::string> many_keys(std::size_t count) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) keys.push_back("k" + std::to_string(i));
  return keys;
}

TEST(RemoveMany, IsOneRequestWithItsKeysAndTheirDigest) {
  Fixture f;
  f.http.say(200, "<DeleteResult/>");
  const auto left = f.store.remove_many(std::vector<std::string>{"a b", "<&>\"'", "\xc3\xa4"});
  ASSERT_TRUE(left) << left.error().message();
  EXPECT_TRUE(left->empty());
  EXPECT_EQ(f.asked(0).line(), "POST /bkt?delete");
  EXPECT_EQ(f.asked(0).header("Content-MD5"), base64(md5(as_bytes(f.asked(0).body))));
  EXPECT_EQ(f.asked(0).header("x-amz-content-sha256"), hex(sha256(as_bytes(f.asked(0).body))));
  EXPECT_THAT(f.asked(0).body, HasSubstr("<Quiet>true</Quiet><Object><Key>pre/a b</Key></Object>"
                                         "<Object><Key>pre/&lt;&amp;&gt;&quot;'</Key></Object>"
                                         "<Object><Key>pre/\xc3\xa4</Key></Object>"));
}

TEST(RemoveMany, TheStoreSaysOfEachKeyWhatWentWrong) {
  Fixture f;
  f.http.say(200,
             "<DeleteResult><Error><Key>pre/k0</Key><Code>AccessDenied</Code></Error>"
             "<Error><Key>pre/k1</Key><Code>InternalError</Code></Error>"
             "<Error><Key>pre/k2</Key><Code>SlowDown</Code></Error>"
             "<Error><Key>pre/k3</Key><Code>NoSuchKey</Code></Error></DeleteResult>");
  const auto left = f.store.remove_many(many_keys(5));
  ASSERT_TRUE(left) << left.error().message();
  ASSERT_EQ(left->size(), 3u);
  EXPECT_EQ((*left)[0].key, "k0");
  EXPECT_EQ((*left)[0].error.kind(), ErrorKind::denied);
  EXPECT_THAT((*left)[0].error.message(), HasSubstr("s3://bkt/pre/k0"));
  EXPECT_EQ((*left)[1].error.kind(), ErrorKind::maybe_done);
  EXPECT_EQ((*left)[2].error.kind(), ErrorKind::retry_later);
}

TEST(RemoveMany, AThousandARequest) {
  Fixture f;
  for (int i = 0; i < 3; ++i) f.http.say(200, "<DeleteResult/>");
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2500))), "ok");
  ASSERT_EQ(f.http.asked.size(), 3u);
  EXPECT_THAT(f.asked(1).body, HasSubstr("<Key>pre/k1000</Key>"));
  EXPECT_THAT(f.asked(1).body, Not(HasSubstr("<Key>pre/k999</Key>")));
  EXPECT_THAT(f.asked(2).body, HasSubstr("<Key>pre/k2499</Key>"));
}

TEST(RemoveMany, OneByOneWhereBatchesAreNotTaken) {
  Fixture f;
  f.http.say_code(501, "NotImplemented");
  f.http.say(204);
  f.http.say_code(403, "AccessDenied");
  const auto left = f.store.remove_many(many_keys(2));
  ASSERT_TRUE(left) << left.error().message();
  ASSERT_EQ(left->size(), 1u);
  EXPECT_EQ((*left)[0].key, "k1");
  EXPECT_EQ((*left)[0].error.kind(), ErrorKind::denied);
  EXPECT_EQ(f.asked(2).line(), "DELETE /bkt/pre/k1");
  // It is remembered.
  f.http.say(204);
  f.http.say(204);
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "ok");
  EXPECT_EQ(f.asked(3).line(), "DELETE /bkt/pre/k0");
}

TEST(RemoveMany, KeysThatXmlCannotNameGoByThemselves) {
  Fixture f;
  f.http.say(204);
  f.http.say(204);
  f.http.say(200, "<DeleteResult/>");
  EXPECT_EQ(kind_of(f.store.remove_many(std::vector<std::string>{"a\x01", "b", "c\r\n", "d"})), "ok");
  EXPECT_EQ(f.asked(0).line(), "DELETE /bkt/pre/a%01");
  EXPECT_EQ(f.asked(1).line(), "DELETE /bkt/pre/c%0D%0A");
  EXPECT_EQ(f.asked(2).line(), "POST /bkt?delete");
}

TEST(RemoveMany, AnAnswerThatCannotBeUnderstoodIsNoSuccess) {
  Fixture f;
  f.http.say(200, "<DeleteResult><Error><Key>pre/other</Key><Code>AccessDenied</Code></Error></DeleteResult>");
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "corrupt");
  f.http.say(200, "");
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "corrupt");
  f.http.say(200, "<DeleteResult><Err");
  f.http.and_break_off();
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "maybe_done");
  f.http.say_code(200, "InternalError");
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "maybe_done");
}

TEST(Errors, RetryAfterIsCarried) {
  Fixture f;
  f.http.say(503, "<Error><Code>SlowDown</Code></Error>", {{"retry-after", "7"}});
  const auto page = f.store.list("", "", 0);
  ASSERT_EQ(kind_of(page), "retry_later");
  EXPECT_EQ(page.error().retry_after_ms(), 7000);
}

TEST(Errors, RetryAfterMayBeADateOfTheStoresClock) {
  const auto wait_ms = [](const std::string& until) {
    Fixture f;
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
