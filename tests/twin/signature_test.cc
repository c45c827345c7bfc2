// Signatures: against the examples of the S3 documentation, and what the twin refuses.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "base/bytes.h"
#include "twin/client.h"
#include "twin/digests.h"
#include "twin/text.h"
#include "twin/twin.h"

namespace cairn::twin {
namespace {

constexpr const char* kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// The examples "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
std::string example_signature(const std::string& method, const std::string& target, std::vector<Header> headers,
                              const std::string& payload_hash = kEmptyHash) {
  Request request;
  request.method = method;
  request.target = target;
  request.headers = std::move(headers);
  request.headers.push_back({"host", "examplebucket.s3.amazonaws.com"});
  request.headers.push_back({"x-amz-content-sha256", payload_hash});
  request.headers.push_back({"x-amz-date", "20130524T000000Z"});
  (void)understand(request, "s3.amazonaws.com");
  std::vector<std::string> names;
  for (const Header& header : request.headers) names.push_back(header.name);
  std::sort(names.begin(), names.end());
  const std::string canonical = canonical_request(request, names, payload_hash);
  const std::string to_sign = "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n" +
                              hex(sha256(as_bytes(canonical)));
  return signature_of("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", to_sign);
}

TEST(Signature, ExamplesOfTheDocumentation) {
  EXPECT_EQ(example_signature("GET", "/test.txt", {{"range", "bytes=0-9"}}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(example_signature("PUT", "/test%24file.text",
                              {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                               {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                              hex(sha256(as_bytes("Welcome to Amazon S3.")))),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  EXPECT_EQ(example_signature("GET", "/?lifecycle", {}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(example_signature("GET", "/?max-keys=2&prefix=J", {}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

class SignatureRules : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(twin_.start()); }
  // Status and code of what the twin says to a call.
  std::string verdict(const Call& call) { return verdict(Client(twin_), call); }
  static std::string verdict(Client&& client, const Call& call) {
    const Reply reply = client.send(call);
    return reply.code().empty() ? std::to_string(reply.status) : fmt::format("{} {}", reply.status, reply.code());
  }
  static Call a_put() { return {.method = "PUT", .target = "/bucket/key", .body = "hello"}; }

  Twin twin_;
};

TEST_F(SignatureRules, ARightOneIsGood) { EXPECT_EQ(verdict(a_put()), "200"); }

TEST_F(SignatureRules, NoneIsDenied) {
  Call call = a_put();
  call.is_signed = false;
  EXPECT_EQ(verdict(call), "403 AccessDenied");
  EXPECT_FALSE(twin_.text_of("bucket", "key"));
}

TEST_F(SignatureRules, AWrongSecretDoesNotMatchAndTheAnswerShowsNoSecret) {
  Client client(twin_, {.secret = "another"});
  const Reply reply = client.send(a_put());
  EXPECT_EQ(reply.status, 403);
  EXPECT_EQ(reply.code(), "SignatureDoesNotMatch");
  EXPECT_NE(reply.element("CanonicalRequest").find("PUT\n/bucket/key\n"), std::string::npos);
  EXPECT_EQ(reply.body.find(AccessKey().secret), std::string::npos);
}

TEST_F(SignatureRules, AnUnknownKeyIsInvalid) {
  EXPECT_EQ(verdict(Client(twin_, {.id = "nobody"}), a_put()), "403 InvalidAccessKeyId");
}

TEST_F(SignatureRules, AnotherRegionIsMalformedAndTheRightOneIsNamed) {
  Call call = a_put();
  call.region = "eu-central-1";
  const Reply reply = Client(twin_).send(call);
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.code(), "AuthorizationHeaderMalformed");
  EXPECT_EQ(reply.element("Region"), "us-east-1");
  EXPECT_EQ(reply.header("x-amz-bucket-region"), "us-east-1");
}

TEST_F(SignatureRules, AnotherRegionIsRedirectedWhereTheDialectDoesThat) {
  Dialect dialect;
  dialect.redirects = true;
  twin_.set_dialect(dialect);
  Call call = a_put();
  call.region = "eu-central-1";
  const Reply reply = Client(twin_).send(call);
  EXPECT_EQ(reply.status, 301);
  EXPECT_EQ(reply.code(), "PermanentRedirect");
  EXPECT_EQ(reply.header("x-amz-bucket-region"), "us-east-1");
}

TEST_F(SignatureRules, AScopeOfAnotherServiceOrDayIsMalformed) {
  Call call = a_put();
  call.service = "sts";
  EXPECT_EQ(verdict(call), "400 AuthorizationHeaderMalformed");
  call = a_put();
  call.scope_date = "20200101";
  EXPECT_EQ(verdict(call), "400 AuthorizationHeaderMalformed");
}

TEST_F(SignatureRules, AClockThatIsAQuarterOfAnHourOffIsRefused) {
  Call call = a_put();
  call.clock_offset_ms = 14 * 60'000;
  EXPECT_EQ(verdict(call), "200");
  for (const std::int64_t minutes : {16, -16}) {
    call.clock_offset_ms = minutes * 60'000;
    const Reply reply = Client(twin_).send(call);
    EXPECT_EQ(reply.status, 403);
    EXPECT_EQ(reply.code(), "RequestTimeTooSkewed");
    EXPECT_FALSE(reply.element("ServerTime").empty());
    EXPECT_FALSE(reply.header("date").empty());
  }
}

TEST_F(SignatureRules, TheServersClockMayBeTheOneThatIsWrong) {
  twin_.set_clock_offset_ms(3600'000);
  EXPECT_EQ(verdict(a_put()), "403 RequestTimeTooSkewed");
  Call call = a_put();
  call.clock_offset_ms = 3600'000;
  EXPECT_EQ(verdict(call), "200");
}

TEST_F(SignatureRules, EveryHeaderMustBeSigned) {
  for (const char* const name : {"content-type", "x-amz-meta-a", "x-amz-date", "x-amz-content-sha256", "host", "accept",
                                 "user-agent"}) {
    Call call = a_put();
    call.headers = {{"content-type", "text/plain"}, {"x-amz-meta-a", "b"}, {"accept", "*/*"}, {"user-agent", "test"}};
    EXPECT_EQ(verdict(call), "200") << name;
    call.unsigned_headers = {name};
    const Reply reply = Client(twin_).send(call);
    EXPECT_EQ(reply.status, 403) << name;
    EXPECT_EQ(reply.element("HeadersNotSigned"), name);
  }
}

TEST_F(SignatureRules, AHeaderThatIsChangedOnTheWayDoesNotMatch) {
  Call call = a_put();
  call.headers = {{"x-amz-meta-a", "one  two "}};
  std::string text = Client(twin_).text_of(call);
  EXPECT_EQ(Client(twin_).send_raw(text, "PUT").status, 200);
  text.replace(text.find("two"), 3, "six");
  EXPECT_EQ(Client(twin_).send_raw(text, "PUT").code(), "SignatureDoesNotMatch");
}

TEST_F(SignatureRules, ASignedHeaderThatIsNotSentDoesNotMatch) {
  Call call = a_put();
  call.headers = {{"x-amz-meta-a", "b"}};
  std::string text = Client(twin_).text_of(call);
  text.erase(text.find("x-amz-meta-a: b\r\n"), 17);
  EXPECT_EQ(Client(twin_).send_raw(text, "PUT").code(), "SignatureDoesNotMatch");
}

TEST_F(SignatureRules, TheBodyMustBeTheOneThatWasHashed) {
  Call call = a_put();
  call.payload_hash = hex(sha256(as_bytes("other")));
  EXPECT_EQ(verdict(call), "400 XAmzContentSHA256Mismatch");
  call.payload_hash = "none";
  EXPECT_EQ(verdict(call), "400 InvalidRequest");
  call.payload_hash = "E3B0";
  EXPECT_EQ(verdict(call), "400 InvalidArgument");
  call.payload_hash = "UNSIGNED-PAYLOAD";  // over http
  EXPECT_EQ(verdict(call), "400 InvalidRequest");
  call.payload_hash = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
  EXPECT_EQ(verdict(call), "501 NotImplemented");
  EXPECT_FALSE(twin_.text_of("bucket", "key"));
}

TEST_F(SignatureRules, SessionTokens) {
  const AccessKey temporary{.id = "temporary", .secret = "s", .session_token = "token+/="};
  AccessKey expired{.id = "expired", .secret = "s", .session_token = "old"};
  expired.expired = true;
  twin_.set_keys({AccessKey(), temporary, expired});
  EXPECT_EQ(verdict(Client(twin_, temporary), a_put()), "200");
  AccessKey wrong = temporary;
  wrong.session_token = "other";
  EXPECT_EQ(verdict(Client(twin_, wrong), a_put()), "400 InvalidToken");
  wrong.session_token = "";
  EXPECT_EQ(verdict(Client(twin_, wrong), a_put()), "403 InvalidAccessKeyId");
  EXPECT_EQ(verdict(Client(twin_, expired), a_put()), "400 ExpiredToken");
}

TEST_F(SignatureRules, KeysMayBeReadOnlyOrUnableToList) {
  AccessKey reader{.id = "reader"};
  reader.read_only = true;
  AccessKey blind{.id = "blind"};
  blind.may_list = false;
  twin_.set_keys({AccessKey(), reader, blind});
  EXPECT_EQ(verdict(Client(twin_, reader), a_put()), "403 AccessDenied");
  EXPECT_EQ(Client(twin_, reader).get("key").status, 404);
  EXPECT_EQ(Client(twin_, reader).list("").status, 200);
  EXPECT_EQ(verdict(Client(twin_, blind), a_put()), "200");
  EXPECT_EQ(Client(twin_, blind).get("key").status, 200);
  EXPECT_EQ(Client(twin_, blind).list("").status, 403);
  // What is not there is not told either.
  EXPECT_EQ(Client(twin_, blind).get("no").status, 403);
  EXPECT_EQ(Client(twin_, blind).head("no").status, 403);
}

TEST(SignatureLenience, AmazonsOwnRuleWhenAskedFor) {
  TwinOptions options;
  options.all_headers_signed = false;
  options.signed_payload_over_http = false;
  Twin twin(options);
  ASSERT_TRUE(twin.start());
  Call call{.method = "PUT", .target = "/bucket/key", .headers = {{"accept", "*/*"}}, .body = "hello"};
  call.unsigned_headers = {"accept"};
  call.payload_hash = "UNSIGNED-PAYLOAD";
  EXPECT_EQ(Client(twin).send(call).status, 200);
  call.headers = {{"x-amz-meta-a", "b"}};
  call.unsigned_headers = {"x-amz-meta-a"};
  EXPECT_EQ(Client(twin).send(call).status, 403);
}

TEST(Requests, WhatHasNoLengthOrComesInChunksIsRefused) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  Call call{.method = "PUT", .target = "/bucket/key"};
  call.sends_length = false;
  EXPECT_EQ(Client(twin).send(call).status, 411);
  call.headers = {{"transfer-encoding", "chunked"}};
  EXPECT_EQ(Client(twin).send(call).status, 501);
  call = {.method = "PUT", .target = "/bucket/key", .headers = {{"content-encoding", "aws-chunked"}}, .body = "x"};
  EXPECT_EQ(Client(twin).send(call).status, 501);
  EXPECT_EQ(twin.keys_of("bucket").size(), 0u);
}

TEST(Requests, WhatIsNotKnownIsRefusedByName) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  Client client(twin);
  EXPECT_EQ(client.put("k", "v", {{"x-amz-metadata-directive", "COPY"}}).status, 501);
  EXPECT_NE(client.put("k", "v", {{"x-amz-acl", "private"}}).body.find("x-amz-acl"), std::string::npos);
  EXPECT_EQ(client.get("k", {{"if-modified-since", "x"}}).status, 501);
  EXPECT_EQ(client.send({.target = "/bucket/k?partNumber=1"}).status, 501);
  EXPECT_EQ(client.send({.target = "/bucket?prefix=x"}).status, 501);  // listing, version 1
  EXPECT_EQ(client.send({.method = "PATCH", .target = "/bucket/k"}).status, 501);
  EXPECT_EQ(client.send({.target = "/bucket/k?x-id=GetObject"}).code(), "NoSuchKey");
}

TEST(Requests, TargetsThatTwoReadersWouldReadInTwoWaysAreRefused) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  Client client(twin);
  for (const char* const target : {"/bucket?list-type=2&prefix=a+b", "/bucket/%zz", "/bucket/%4", "/bucket/a|b",
                                   "/bucket/%FF", "/bucket?list-type=2&list-type=2"}) {
    EXPECT_EQ(client.send({.target = target}).code(), "InvalidURI") << target;
  }
  EXPECT_EQ(client.get(std::string(1025, 'k')).code(), "KeyTooLongError");
  EXPECT_EQ(client.get(std::string(1024, 'k')).code(), "NoSuchKey");
}

TEST(Requests, WhatIsNoHttpIsAnswered) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  EXPECT_EQ(Client(twin).send_raw("nonsense\r\n\r\n").code(), "BadRequest");
  EXPECT_EQ(Client(twin).send_raw("GET / HTTP/1.1\r\nx: " + std::string(20000, 'x') + "\r\n\r\n").code(),
            "RequestHeaderSectionTooLarge");
}

TEST(Requests, ABodyThatBreaksOffHasNoEffect) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  Call call{.method = "PUT", .target = "/bucket/key", .body = std::string(100'000, 'x')};
  call.is_cut = true;
  EXPECT_EQ(Client(twin).send(call).status, 0);
  EXPECT_FALSE(twin.text_of("bucket", "key"));
}

TEST(Requests, ExpectContinueIsHonouredAndARefusalSparesTheBody) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  const std::string body(100, 'x');
  Call call{.method = "PUT", .target = "/bucket/key", .headers = {{"expect", "100-continue"}}, .body = body};
  call.unsigned_headers = {"expect"};
  std::string text = Client(twin, {.secret = "wrong"}).text_of(call);
  text.resize(text.size() - body.size());
  EXPECT_EQ(Client(twin).send_raw(text, "PUT").code(), "SignatureDoesNotMatch");
  Client client(twin);
  text = client.text_of(call);
  const std::string head = text.substr(0, text.size() - body.size());
  EXPECT_EQ(client.send_raw(head, "HEAD").status, 100);
  EXPECT_EQ(client.send_raw(body, "PUT").status, 200);
  EXPECT_EQ(twin.text_of("bucket", "key"), body);
}

TEST(Requests, BucketsByHostName) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  Call call{.method = "PUT", .target = "/some/key", .body = "v"};
  call.host = fmt::format("bucket.localhost:{}", twin.port());
  EXPECT_EQ(Client(twin).send(call).status, 200);
  EXPECT_EQ(twin.text_of("bucket", "some/key"), "v");
  call.host = fmt::format("other.localhost:{}", twin.port());
  EXPECT_EQ(Client(twin).send(call).code(), "NoSuchBucket");
}

}  // namespace
}  // namespace cairn::twin
