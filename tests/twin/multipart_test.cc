// Objects that are made of parts.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "base/bytes.h"
#include "twin/client.h"
#include "twin/digests.h"
#include "twin/text.h"
#include "twin/twin.h"

namespace cairn::twin {
namespace {

TwinOptions small_parts() {
  TwinOptions options;
  options.min_part_bytes = 4;
  return options;
}

std::vector<Header> with_part_checksum(Algorithm algorithm, std::string_view body) {
  return {{"x-amz-sdk-checksum-algorithm", std::string(name_of(algorithm))},
          {std::string(header_of(algorithm)), base64(checksum(algorithm, as_bytes(body)))}};
}

class Multipart : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(twin_.start());
    client_ = std::make_unique<Client>(twin_);
  }
  Client& client() { return *client_; }
  void use_dialect(std::string_view name) { twin_.set_dialect(dialect_named(name).value()); }
  std::string part(const std::string& id, int number, const std::string& body, std::vector<Header> headers = {}) {
    const Reply reply = client().put_part("big", id, number, body, std::move(headers));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.header("etag");
  }
  Reply list_parts(const std::string& id, const std::string& query = "") {
    return client().send({.target = "/bucket/big?uploadId=" + percent_encode(id) + query});
  }
  Reply copy_part(const std::string& id, const std::string& source, const std::string& range) {
    std::vector<Header> headers{{"x-amz-copy-source", source}};
    if (!range.empty()) headers.push_back({"x-amz-copy-source-range", range});
    return client().put_part("big", id, 1, "", std::move(headers));
  }

  Twin twin_{small_parts()};
  std::unique_ptr<Client> client_;
};

TEST_F(Multipart, PartsBecomeAnObjectInOrderOfTheirNumbers) {
  const std::string id = client().begin("big", {{"x-amz-meta-token", "t"}});
  ASSERT_FALSE(id.empty());
  const std::string third = part(id, 3, "333"), first = part(id, 1, "1111");
  part(id, 2, "wrong");
  const std::string second = part(id, 2, "2222");  // again: replaces it
  EXPECT_FALSE(twin_.text_of("bucket", "big"));
  EXPECT_EQ(twin_.upload_count("bucket"), 1u);
  const Reply done = client().complete("big", id, {{1, first}, {2, second}, {3, third}});
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(client().get("big").body, "11112222333");
  EXPECT_EQ(client().head("big").header("x-amz-meta-token"), "t");
  const std::string etag = client().head("big").header("etag");
  EXPECT_TRUE(etag.ends_with("-3\"")) << etag;
  EXPECT_EQ(twin_.upload_count("bucket"), 0u);
}

TEST_F(Multipart, WhatIsWrongWithAListOfPartsIsRefusedAndTheUploadStays) {
  const std::string id = client().begin("big");
  const std::string one = part(id, 1, "1111"), two = part(id, 2, "22"), three = part(id, 3, "3333");
  EXPECT_EQ(client().complete("big", id, {{2, two}, {1, one}}).code(), "InvalidPartOrder");
  EXPECT_EQ(client().complete("big", id, {{1, one}, {1, one}}).code(), "InvalidPartOrder");
  EXPECT_EQ(client().complete("big", id, {{1, one}, {4, two}}).code(), "InvalidPart");
  EXPECT_EQ(client().complete("big", id, {{1, two}}).code(), "InvalidPart");
  EXPECT_EQ(client().complete("big", id, {}).code(), "MalformedXML");
  const Reply small = client().complete("big", id, {{1, one}, {2, two}, {3, three}});
  EXPECT_EQ(small.code(), "EntityTooSmall");
  EXPECT_EQ(small.element("PartNumber"), "2");
  EXPECT_EQ(client().complete("big", id, {{1, one}, {2, two}}).status, 200);  // the last part may be small
}

TEST(MultipartLimits, PartsAreFiveMebibytesUnlessToldOtherwise) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  Client client(twin);
  const std::string id = client.begin("big");
  const std::string body((5 << 20) - 1, 'x');
  const std::string etag = client.put_part("big", id, 1, body).header("etag");
  const std::string other = client.put_part("big", id, 2, body + "x").header("etag");
  EXPECT_EQ(client.complete("big", id, {{1, etag}, {2, other}}).code(), "EntityTooSmall");
  EXPECT_EQ(client.complete("big", id, {{2, other}}).status, 200);
}

TEST_F(Multipart, PartNumbersGoFromOneToTenThousand) {
  const std::string id = client().begin("big");
  EXPECT_EQ(client().put_part("big", id, 0, "x").code(), "InvalidArgument");
  EXPECT_EQ(client().put_part("big", id, 10001, "x").code(), "InvalidArgument");
  EXPECT_EQ(client().put_part("big", id, 10000, "x").status, 200);
}

TEST_F(Multipart, AnUploadThatIsNotThere) {
  const std::string id = client().begin("big");
  EXPECT_EQ(client().put_part("big", "nonsense", 1, "x").code(), "NoSuchUpload");
  EXPECT_EQ(client().put_part("other", id, 1, "x").code(), "NoSuchUpload");
  const Call abort{.method = "DELETE", .target = "/bucket/big?uploadId=" + percent_encode(id)};
  EXPECT_EQ(client().send(abort).status, 204);
  EXPECT_EQ(client().send(abort).code(), "NoSuchUpload");
  EXPECT_EQ(client().put_part("big", id, 1, "x").code(), "NoSuchUpload");
  EXPECT_EQ(list_parts(id).code(), "NoSuchUpload");
  EXPECT_EQ(client().complete("big", id, {{1, "x"}}).code(), "NoSuchUpload");
  const std::string second = client().begin("big");
  twin_.expire_uploads();
  EXPECT_EQ(client().put_part("big", second, 1, "x").code(), "NoSuchUpload");
}

TEST_F(Multipart, CompletingAgainIsFineOrNotByDialect) {
  const std::string id = client().begin("big");
  const std::string one = part(id, 1, "1111");
  EXPECT_EQ(client().complete("big", id, {{1, one}}).status, 200);
  EXPECT_EQ(client().complete("big", id, {{1, one}}).status, 200);
  EXPECT_EQ(client().complete("big", id, {{1, one}}, {{"if-none-match", "*"}}).status, 412);
  use_dialect("minio");
  EXPECT_EQ(client().complete("big", id, {{1, one}}).code(), "NoSuchUpload");
}

TEST_F(Multipart, ConditionsOfCompletes) {
  client().put("big", "small");
  const std::string id = client().begin("big");
  const std::string one = part(id, 1, "1111");
  EXPECT_EQ(client().complete("big", id, {{1, one}}, {{"if-none-match", "*"}}).status, 412);
  EXPECT_EQ(twin_.upload_count("bucket"), 1u);
  EXPECT_EQ(twin_.text_of("bucket", "big"), "small");
  use_dialect("b2");
  EXPECT_EQ(client().complete("big", id, {{1, one}}, {{"if-none-match", "*"}}).status, 501);
  use_dialect("ceph16");
  EXPECT_EQ(client().complete("big", id, {{1, one}}, {{"if-none-match", "*"}}).status, 200);
  EXPECT_EQ(twin_.text_of("bucket", "big"), "1111");
}

TEST_F(Multipart, EqualPartsWhereTheDialectWantsThem) {
  use_dialect("r2");
  const std::string id = client().begin("big");
  const std::string one = part(id, 1, "1111"), two = part(id, 2, "22222"), three = part(id, 3, "3");
  EXPECT_EQ(client().complete("big", id, {{1, one}, {2, two}, {3, three}}).code(), "InvalidPart");
  EXPECT_EQ(client().complete("big", id, {{1, one}, {2, two}}).code(), "InvalidPart");  // the last one is longer
  EXPECT_EQ(client().complete("big", id, {{1, one}, {3, three}}).status, 200);
}

TEST_F(Multipart, PartsAreListedByPages) {
  const std::string id = client().begin("big");
  for (int number = 1; number <= 5; ++number) part(id, number, fmt::format("body{}", number));
  Reply page = list_parts(id, "&max-parts=2");
  EXPECT_EQ(page.count("<Part>"), 2u);
  EXPECT_EQ(page.element("IsTruncated"), "true");
  EXPECT_EQ(page.element("NextPartNumberMarker"), "2");
  EXPECT_EQ(page.element("Size"), "5");
  page = list_parts(id, "&max-parts=3&part-number-marker=2");
  EXPECT_EQ(page.count("<Part>"), 3u);
  EXPECT_EQ(page.element("PartNumber"), "3");
  EXPECT_EQ(page.element("IsTruncated"), "false");
}

TEST_F(Multipart, UploadsAreListedByPages) {
  for (const char* const key : {"b", "a", "a", "c d"}) client().begin(key);
  Reply page = client().send({.target = "/bucket?uploads&max-uploads=1"});
  std::vector<std::string> keys;
  for (int pages = 0; pages < 4; ++pages) {
    keys.push_back(page.element("Key"));
    EXPECT_EQ(page.element("IsTruncated"), pages < 3 ? "true" : "false");
    page = client().send({.target = "/bucket?uploads&max-uploads=1&key-marker=" +
                                    percent_encode(page.element("NextKeyMarker")) + "&upload-id-marker=" +
                                    percent_encode(page.element("NextUploadIdMarker"))});
  }
  EXPECT_EQ(keys, (std::vector<std::string>{"a", "a", "b", "c d"}));
  page = client().send({.target = "/bucket?uploads&prefix=c&encoding-type=url"});
  EXPECT_EQ(page.element("Key"), "c+d");
  EXPECT_EQ(client().send({.target = "/bucket?uploads&key-marker=a"}).count("<Upload>"), 2u);
}

TEST_F(Multipart, PartsAreCopiedFromObjects) {
  client().put("dir/source +", "0123456789");
  const std::string id = client().begin("big");
  const std::string source = "/bucket/dir/source%20%2B";
  EXPECT_EQ(copy_part(id, source, "bytes=2-5").status, 200);
  const Reply copied = copy_part(id, source, "bytes=2-5");
  const std::string etag = hex(md5(as_bytes("2345")));
  EXPECT_NE(copied.body.find(etag), std::string::npos);
  EXPECT_EQ(copy_part(id, source, "bytes=2-10").code(), "InvalidArgument");
  EXPECT_EQ(copy_part(id, source, "bytes=-3").code(), "InvalidArgument");
  EXPECT_EQ(copy_part(id, source, "2-5").code(), "InvalidArgument");
  EXPECT_EQ(copy_part(id, "/bucket/no", "").code(), "NoSuchKey");
  EXPECT_EQ(copy_part(id, "/bucket/source +", "").code(), "InvalidArgument");
  EXPECT_EQ(client().complete("big", id, {{1, etag}}).status, 200);
  EXPECT_EQ(client().get("big").body, "2345");
  use_dialect("nothing");
  EXPECT_EQ(copy_part(client().begin("big"), source, "").status, 501);
  EXPECT_EQ(twin_.counts().requests[Operation::copy_part], 8u);
}

TEST_F(Multipart, ChecksumsOfPartsMakeThatOfTheObject) {
  const Algorithm crc = Algorithm::crc64nvme;
  const std::string id = client().begin("big", {{"x-amz-checksum-algorithm", "CRC64NVME"}});
  const std::string one = part(id, 1, "1111", with_part_checksum(crc, "1111"));
  const std::string two = part(id, 2, "2222", with_part_checksum(crc, "2222"));
  EXPECT_EQ(client().put_part("big", id, 3, "3", with_part_checksum(crc, "4")).code(), "BadDigest");
  EXPECT_EQ(client().put_part("big", id, 3, "3", with_part_checksum(Algorithm::crc32, "3")).code(), "InvalidRequest");
  EXPECT_EQ(list_parts(id).element("ChecksumCRC64NVME"), base64(checksum(crc, as_bytes("1111"))));
  const std::string whole = base64(checksum(crc, as_bytes("11112222")));
  const std::string wrong = base64(checksum(crc, as_bytes("1111")));
  const std::string header(header_of(crc));
  EXPECT_EQ(client().complete("big", id, {{1, one}, {2, two}}, {{header, wrong}}).code(), "BadDigest");
  const Reply done = client().complete("big", id, {{1, one}, {2, two}}, {{header, whole}});
  EXPECT_EQ(done.element("ChecksumCRC64NVME"), whole);
  EXPECT_EQ(client().head("big", {{"x-amz-checksum-mode", "ENABLED"}}).header(header), whole);
}

TEST_F(Multipart, ChecksumsThatAreNotOfTheWholeAreAskedForAgain) {
  const std::string id = client().begin("big", {{"x-amz-checksum-algorithm", "SHA256"}});
  const std::string one = part(id, 1, "1111", with_part_checksum(Algorithm::sha256, "1111"));
  EXPECT_EQ(client().complete("big", id, {{1, one}}).code(), "InvalidRequest");
  Call call{.method = "POST", .target = "/bucket/big?uploadId=" + percent_encode(id)};
  call.body = fmt::format(
      "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag><ChecksumSHA256>{}</ChecksumSHA256>"
      "</Part></CompleteMultipartUpload>",
      one, base64(checksum(Algorithm::sha256, as_bytes("1111"))));
  EXPECT_TRUE(client().send(call).element("ChecksumSHA256").ends_with("-1"));
}

TEST_F(Multipart, EtagsNeedNotBeHashes) {
  use_dialect("r2");
  const std::string id = client().begin("big");
  EXPECT_NE(part(id, 1, "1111"), "\"" + hex(md5(as_bytes("1111"))) + "\"");
  EXPECT_NE(part(id, 1, "1111"), part(id, 1, "1111"));
}

}  // namespace
}  // namespace cairn::twin
