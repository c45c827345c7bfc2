#include "s3/uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "s3/settings.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Result<Location> parse(std::string_view url) { return parse_s3_url(url, S3Options()); }

TEST(PercentCoding, EncodesAllButUnreserved) {
  EXPECT_EQ(percent_encode("AZaz09-._~", Slash::encode), "AZaz09-._~");
  EXPECT_EQ(percent_encode("a b+c=d/e?f#g%h", Slash::keep), "a%20b%2Bc%3Dd/e%3Ff%23g%25h");
  EXPECT_EQ(percent_encode("/", Slash::encode), "%2F");
  EXPECT_EQ(percent_encode("\xc3\xa9\n\x7f", Slash::keep), "%C3%A9%0A%7F");
  EXPECT_EQ(percent_encode("a//b/./../c", Slash::keep), "a//b/./../c");
  EXPECT_EQ(percent_encode("(x)!*'", Slash::keep), "%28x%29%21%2A%27");
}

TEST(PercentCoding, EveryByteComesBack) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  for (const Slash slash : {Slash::keep, Slash::encode}) EXPECT_EQ(percent_decode(percent_encode(all, slash)), all);
  EXPECT_EQ(percent_decode("%c3%A9+%2b"), "\xc3\xa9++");
}

TEST(PercentCoding, BrokenCodesAreRefused) {
  for (const char* text : {"%", "a%", "%4", "%zz", "%4g", "%%20"})
    EXPECT_EQ(percent_decode(text), std::nullopt) << text;
}

TEST(S3Url, BucketAndPrefix) {
  EXPECT_EQ(parse("s3://bucket")->bucket, "bucket");
  EXPECT_EQ(parse("s3://bucket")->prefix, "");
  EXPECT_EQ(parse("s3://bucket/")->prefix, "");
  EXPECT_EQ(parse("s3://bucket/a/b")->prefix, "a/b/");
  EXPECT_EQ(parse("s3://bucket/a/b///")->prefix, "a/b/");
  EXPECT_EQ(parse("s3://bucket/a%20b%3F+c")->prefix, "a b?+c/");
  EXPECT_EQ(parse("S3://my.bucket_1/a")->url(), "s3://my.bucket_1/a");
  EXPECT_EQ(parse("s3://bucket?region=r")->url(), "s3://bucket");
}

TEST(S3Url, OptionsOfTheUrlWin) {
  S3Options given;
  given.region = "given";
  given.profile = "kept";
  const auto location = parse_s3_url(
      "s3://bucket/"
      "p?endpoint=http%3A%2F%2F127.0.0.1:9000&region=eu-central-1&addressing=virtual-host&storage-class=STANDARD_IA"
      "&tags=a%3Db%26c%3Dd&create_bucket=true&accept-single-writer&requester_pays=0&connections=3&kms_key_id=arn:aws:"
      "kms:x"
      "&encryption=aws:kms&ca_bundle=/etc/ca.pem",
      given);
  ASSERT_TRUE(location) << location.error().message();
  const S3Options& options = location->options;
  EXPECT_EQ(options.endpoint, "http://127.0.0.1:9000");
  EXPECT_EQ(options.region, "eu-central-1");
  EXPECT_EQ(options.profile, "kept");
  EXPECT_EQ(options.addressing, S3Options::Addressing::virtual_host);
  EXPECT_EQ(options.storage_class, "STANDARD_IA");
  EXPECT_EQ(options.tags, "a=b&c=d");
  EXPECT_EQ(options.encryption, "aws:kms");
  EXPECT_EQ(options.kms_key_id, "arn:aws:kms:x");
  EXPECT_EQ(options.ca_bundle, "/etc/ca.pem");
  EXPECT_TRUE(options.create_bucket);
  EXPECT_TRUE(options.accept_single_writer);
  EXPECT_FALSE(options.requester_pays);
  EXPECT_EQ(options.connections, 3);
}

TEST(S3Url, WhatNamesNoBucketIsInvalid) {
  for (const char* url :
       {"s3://", "s3:///prefix", "s3://?region=r", "s3://ab", "s3://b%20x/a", "s3://bucket/a//b", "s3://bucket//a",
        "s3://bucket/%zz", "s3://bucket/%00", "s3://bucket/a?nonsense=1", "s3://bucket?region=%",
        "s3://bucket?region=a%0Ab", "s3://bucket?connections=0", "s3://bucket?connections=many",
        "s3://bucket?connections=257", "s3://bucket?create_bucket=maybe", "s3://bucket?addressing=x"}) {
    const auto location = parse(url);
    ASSERT_FALSE(location) << url;
    EXPECT_EQ(location.error().kind(), ErrorKind::invalid) << url;
  }
}

TEST(S3Url, SecretsAreRefusedAndNotRepeated) {
  for (const char* url :
       {"s3://AKID:hunter2@bucket/x", "s3://bucket?secret_access_key=hunter2", "s3://bucket?session-token=hunter2",
        "s3://bucket?access_key_id=hunter2", "s3://bucket?customer_key=hunter2", "s3://bucket/p?SecretKey=hunter2",
        "s3://bucket/p?unknown=hunter2"}) {
    const auto location = parse(url);
    ASSERT_FALSE(location) << url;
    EXPECT_EQ(location.error().kind(), ErrorKind::invalid) << url;
    EXPECT_THAT(location.error().message(), Not(HasSubstr("hunter2"))) << url;
  }
  EXPECT_THAT(parse("s3://bucket?secret_access_key=x").error().message(), HasSubstr("environment"));
}

TEST(Attempts, ComeFromTheVariableOfAwsTools) {
  const auto with = [](const std::optional<std::string>& value) {
    const auto environment = [&](const std::string& name) { return name == "AWS_MAX_ATTEMPTS" ? value : std::nullopt; };
    return make_settings(*parse_s3_url("s3://bucket", {}), environment, "us-east-1");
  };
  EXPECT_EQ(with(std::nullopt)->attempts, std::nullopt);
  EXPECT_EQ(with("3")->attempts, 3);
  for (const char* bad : {"0", "-1", "101", "3x", "many", "99999999999999999999"}) {
    const Result<Settings> settings = with(bad);
    ASSERT_FALSE(settings) << bad;
    EXPECT_EQ(settings.error().kind(), ErrorKind::invalid);
    EXPECT_NE(settings.error().message().find("AWS_MAX_ATTEMPTS is '" + std::string(bad)), std::string::npos);
  }
}

TEST(Endpoints, SchemeHostPortAndPath) {
  const auto one = parse_endpoint("HTTPS://S3.Example.com:9000/base/", "endpoint");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->origin(), "https://s3.example.com:9000");
  EXPECT_EQ(one->base_path, "/base");
  EXPECT_EQ(parse_endpoint("http://[::1]:80", "endpoint")->origin(), "http://[::1]");
  EXPECT_EQ(parse_endpoint("https://h:443/", "endpoint")->authority(), "h");
  EXPECT_EQ(parse_endpoint("http://h:443", "endpoint")->authority(), "h:443");
}

TEST(Endpoints, WhatNamesNoServerIsInvalid) {
  for (const char* url : {"", "host:9000", "ftp://host", "https://", "https:///x", "http://h:port", "http://h:123456",
                          "http://h?x=y", "http://h x", "http://h/a?b"}) {
    EXPECT_FALSE(parse_endpoint(url, "endpoint")) << url;
  }
  EXPECT_THAT(parse_endpoint("https://u:hunter2@h", "endpoint").error().message(), Not(HasSubstr("hunter2")));
}

TEST(Endpoints, Loopback) {
  for (const char* url : {"http://localhost:1", "http://127.1.2.3", "http://[::1]:9", "http://bucket.localhost"})
    EXPECT_TRUE(parse_endpoint(url, "endpoint")->is_loopback()) << url;
  for (const char* url : {"http://127.0.0.1.example.com", "http://10.0.0.1", "http://localhost.example.com"})
    EXPECT_FALSE(parse_endpoint(url, "endpoint")->is_loopback()) << url;
}

TEST(Endpoints, AmazonsOwn) {
  EXPECT_EQ(amazon_endpoint("eu-central-1").origin(), "https://s3.eu-central-1.amazonaws.com");
  EXPECT_EQ(amazon_endpoint("cn-north-1").origin(), "https://s3.cn-north-1.amazonaws.com.cn");
}

TEST(Endpoints, BucketsThatFitAHostName) {
  EXPECT_TRUE(fits_a_host_name("my-bucket-1"));
  for (const char* bucket : {"my.bucket", "My", "a_b", "-a", "a-"}) EXPECT_FALSE(fits_a_host_name(bucket)) << bucket;
}

}  // namespace
}  // namespace cairn::s3
