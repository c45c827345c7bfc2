// Writing, against answers of a script: what is asked, in which order, and what is made of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/checksum.h"
#include "s3/scripted_store.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;

// put_new

TEST(PutNew, IsOneConditionalRequestWithAToken) {
  ScriptedStore f;
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(*f.put_new(), "e");
  EXPECT_EQ(f.asked(0).line(), "PUT /bkt/pre/k");
  EXPECT_EQ(f.asked(0).header("If-None-Match"), "*");
  EXPECT_EQ(f.asked(0).header("x-amz-meta-cairn-token").size(), 32u);
  EXPECT_EQ(f.asked(0).header("x-amz-content-sha256"), hex(sha256(as_bytes("x"))));  // over http
}

TEST(PutNew, RefusedIsAConflictUnlessTheObjectIsOurs) {
  ScriptedStore f;
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
    ScriptedStore f;
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
  ScriptedStore f;
  f.http.say(200, {}, {{"etag", "\"e\""}});
  (void)f.put_new();  // the bucket has been seen
  f.http.fail(ErrorKind::maybe_done);
  f.http.say(404);
  f.http.say(200, {}, {{"etag", "\"e2\""}});
  EXPECT_EQ(*f.put_new(), "e2");
  EXPECT_EQ(f.asked(1).header("x-amz-meta-cairn-token"), f.asked(3).header("x-amz-meta-cairn-token"));
}

TEST(PutNew, WhatStaysOpenIsMaybeDone) {
  ScriptedStore f;
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
  ScriptedStore f("?endpoint=http://h", Dialect());
  f.http.say_code(412, "PreconditionFailed");
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");
  EXPECT_EQ(f.asked(0).line(), "PUT /bkt/pre/.cairn-probe");
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");  // and never again
}

TEST(Learning, StoreThatIgnoresConditionsIsRefusedByName) {
  ScriptedStore f("?endpoint=http://h", Dialect());
  f.http.say(200, {}, {{"etag", "\"e\""}});
  f.http.say(200, {}, {{"etag", "\"e\""}});
  const auto put = f.put_new();
  ASSERT_EQ(kind_of(put), "unsupported");
  EXPECT_THAT(put.error().message(), HasSubstr("accept_single_writer=true"));
  EXPECT_FALSE(f.store.capabilities().create_only);
}

TEST(Learning, SingleWriterLooksFirst) {
  ScriptedStore f("?endpoint=http://h&accept_single_writer=true", Dialect());
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
  ScriptedStore f("?endpoint=http://h", Dialect());
  f.http.say_code(409, "ConditionalRequestConflict");
  EXPECT_EQ(kind_of(f.put_new()), "retry_later");
  EXPECT_EQ(f.store.dialect().put_new, Condition::unknown);
}

TEST(Learning, BucketIsMadeOnlyWhenAsked) {
  ScriptedStore asked_for("?endpoint=http://h&create_bucket=true", Dialect());
  asked_for.http.say_code(404, "NoSuchBucket");
  asked_for.http.say(404);
  asked_for.http.say(200);
  asked_for.http.say_code(412, "PreconditionFailed");
  asked_for.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(asked_for.put_new()), "ok");
  EXPECT_EQ(asked_for.asked(2).line(), "PUT /bkt");
  ScriptedStore not_asked("?endpoint=http://h", Dialect());
  not_asked.http.say_code(404, "NoSuchBucket");
  const auto put = not_asked.put_new();
  ASSERT_EQ(kind_of(put), "denied");
  EXPECT_THAT(put.error().message(), HasSubstr("no bucket 'bkt'"));
}

TEST(Learning, BucketThatSomebodyElseMakesAtThatMomentIsThere) {
  ScriptedStore f("?endpoint=http://h&create_bucket=true", Dialect());
  f.http.say_code(404, "NoSuchBucket");
  f.http.say(200);
  f.http.say_code(412, "PreconditionFailed");
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new()), "ok");
}

// put_if

TEST(PutIf, NamesTheEtagInQuotesAndNotesWhatItReplaces) {
  ScriptedStore f;
  f.http.say(200, {}, {{"etag", "\"new\""}});
  EXPECT_EQ(*f.put_if(), "new");
  EXPECT_EQ(f.asked(0).header("If-Match"), "\"old\"");
  EXPECT_EQ(f.asked(0).header("x-amz-meta-cairn-replaces"), "old");
}

TEST(PutIf, RefusedAlthoughItIsTheOneGoesOnWithoutQuotes) {
  ScriptedStore f;
  f.http.say_code(412, "PreconditionFailed");
  f.http.say(200, {}, object("old", "1"));
  f.http.say(200, {}, {{"etag", "\"new\""}});
  EXPECT_EQ(*f.put_if(), "new");
  EXPECT_EQ(f.asked(2).header("If-Match"), "old");
  EXPECT_EQ(f.store.dialect().put_if_quotes, EtagQuotes::without);
}

TEST(PutIf, GoneIsAConflict) {
  ScriptedStore f;
  f.http.say_code(404, "NoSuchKey");
  f.http.say(404);
  f.http.say(200);
  EXPECT_EQ(kind_of(f.put_if()), "conflict");
  EXPECT_EQ(kind_of(f.put_if("")), "conflict");
  EXPECT_EQ(kind_of(f.put_if("a \"b\"")), "conflict");
}

TEST(PutIf, After500OnlyWhatReplacedOurVersionShowsThatOursDidNot) {
  ScriptedStore f;
  f.http.say_code(500, "InternalError");
  auto replaced = object("theirs", "1");
  replaced.emplace_back("x-amz-meta-cairn-replaces", "old");
  f.http.say(200, {}, replaced);
  EXPECT_EQ(kind_of(f.put_if()), "conflict");
  f.http.say_code(500, "InternalError");
  f.http.say(200, {}, object("later", "1"));  // ours may have lain between
  EXPECT_EQ(kind_of(f.put_if()), "maybe_done");
}
// Checksums over TLS

TEST(Checksums, BelievedOnlyWhenEchoed) {
  ScriptedStore f("?endpoint=https://h");
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
  ScriptedStore f("?endpoint=https://h");
  for (int i = 0; i < 3; ++i) f.http.say(200, {}, {{"etag", "\"e\""}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(kind_of(f.put_new()), "ok");
  EXPECT_NE(f.asked(1).header("x-amz-checksum-crc32c"), "-");
  EXPECT_EQ(f.asked(2).header("x-amz-content-sha256"), hex(sha256(as_bytes("x"))));
}

// Uploads

TEST(Complete, SuccessThatCarriesAnErrorIsLookedInto) {
  ScriptedStore f;
  const PartInfo part{1, "p", 1};
  f.http.say(200, "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>");
  ASSERT_EQ(*f.store.begin_upload("k"), "id");
  f.http.say(200, "  <Error><Code>InternalError</Code></Error>");
  f.http.say_ours();
  EXPECT_EQ(*f.store.complete_new("k", "id", {&part, 1}), "ours");
}

TEST(Complete, LostReplyIsFoundInTheObject) {
  ScriptedStore f;
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

}  // namespace
}  // namespace cairn::s3
