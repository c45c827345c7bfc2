// The signer against what others have published, or made with other implementations.
#include "s3/sign.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "s3/checksum.h"
#include "s3/uri.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Credentials keys(std::string id, std::string secret, std::string token = {}) {
  Credentials credentials;
  credentials.access_key_id = std::move(id);
  credentials.secret_access_key = std::move(secret);
  credentials.session_token = std::move(token);
  return credentials;
}

std::string signature_of(const std::string& authorization) {
  return authorization.substr(authorization.find("Signature=") + 10);
}

// Amazon's test suite for signature version 4: those cases that a signer which does not touch paths can take.

struct SuiteCase {
  const char* name;
  const char* method;
  const char* target;
  Headers headers;
  const char* payload;
  const char* signature;
};

const SuiteCase kSuite[] = {
    {"get-vanilla", "GET", "/", {}, nullptr, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-unreserved",
     "GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {},
     nullptr,
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8",
     "GET",
     "/\xe1\x88\xb4",
     {},
     nullptr,
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-space-unnormalized",
     "GET",
     "/example space/",
     {},
     nullptr,
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-slash-dot-slash-unnormalized",
     "GET",
     "/./",
     {},
     nullptr,
     "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145"},
    {"get-slashes-unnormalized",
     "GET",
     "//example//",
     {},
     nullptr,
     "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/?Param2=value2&Param1=value1",
     {},
     nullptr,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {},
     nullptr,
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query",
     "GET",
     "/?\xe1\x88\xb4=bar",
     {},
     nullptr,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-header-value-trim",
     "GET",
     "/",
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     nullptr,
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     nullptr,
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-vanilla-with-session-token",
     "GET",
     "/",
     {{"X-Amz-Security-Token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"}},
     nullptr,
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"post-vanilla", "POST", "/", {}, nullptr, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     {{"Content-Type", "application/x-www-form-urlencoded"},
      {"Content-Length", "13"},
      {"X-Amz-Content-Sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}},
     "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
};

TEST(Sign, AmazonsTestSuite) {
  for (const SuiteCase& one : kSuite) {
    Headers headers = one.headers;
    headers.emplace_back("Host", "example.amazonaws.com");
    headers.emplace_back("X-Amz-Date", "20150830T123600Z");
    const std::string_view payload = one.payload != nullptr ? one.payload : kEmptySha256;
    const std::string made = authorization({one.method, one.target, headers, payload},
                                           keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                                           {*parse_time("2015-08-30T12:36:00Z"), "us-east-1", "service"});
    EXPECT_EQ(signature_of(made), one.signature) << one.name;
  }
}

// The examples of the S3 API reference.

std::string s3_example(const char* method, const char* target, Headers headers, std::string_view payload) {
  HttpRequest request;
  request.method = method;
  request.target = target;
  request.headers = std::move(headers);
  sign(request, "examplebucket.s3.amazonaws.com", payload,
       keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
       {*parse_time("2013-05-24T00:00:00Z"), "us-east-1"});
  return request.headers.back().second;
}

TEST(Sign, ExamplesOfTheS3Reference) {
  EXPECT_EQ(s3_example("GET", "/test.txt", {{"Range", "bytes=0-9"}}, kEmptySha256),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(signature_of(
                s3_example("PUT", "/test$file.text",
                           {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                           hex(sha256(as_bytes("Welcome to Amazon S3."))))),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  EXPECT_EQ(signature_of(s3_example("GET", "/?lifecycle", {}, kEmptySha256)),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(signature_of(s3_example("GET", "/?max-keys=2&prefix=J", {}, kEmptySha256)),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

// Odd keys and queries: signatures made by another implementation (botocore) for the same requests.

std::string odd(const char* method, const std::string& target, Headers headers = {}, const std::string& token = {}) {
  HttpRequest request;
  request.method = method;
  request.target = target;
  request.headers = std::move(headers);
  sign(request, "bucket.s3.eu-central-1.amazonaws.com", kUnsignedPayload,
       keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token),
       {*parse_time("2015-08-30T12:36:00Z"), "eu-central-1"});
  return signature_of(request.headers.back().second);
}

TEST(Sign, OddKeysAndQueriesAsOthersSignThem) {
  EXPECT_EQ(odd("GET", "/plain"), "5678690697c5b43848b958e52bd2fbaece6508029143764b790ae7746cdc84b3");
  EXPECT_EQ(odd("PUT", percent_encode("/a b+c=d%e", Slash::keep),
                {{"If-None-Match", "*"}, {"x-amz-meta-cairn-token", "0123"}}),
            "44495a045af5eccb13158395eb8378e133aa4e8e8e5084b52e761f20cdeb5dac");
  EXPECT_EQ(odd("GET", "/a//b/./../c", {{"Range", "bytes=0-9"}}),
            "7f595df6eb185997cbccb8417d3f1f07eb705345fd9d5c256ac6454eb867fb5e");
  EXPECT_EQ(odd("DELETE", percent_encode("/\xe6\x97\xa5\xe6\x9c\xac/\xc3\xa9 x", Slash::keep)),
            "5f63889c3fd625304fcd34a255c0fcbd4231cf25fde45f57559b06122f0892e5");
  EXPECT_EQ(odd("GET", percent_encode("/(x)!*'~", Slash::keep)),
            "3f65d6a7ffea857c2cd8f1ee888360c3daaf7c35d2d38d425a1075c6c0f3078e");
  EXPECT_EQ(odd("HEAD", "/plain", {}, "tok/en+x=="),
            "d9765920a2db278e1d5257fa215e101183408e5970d67d733abb626d2a95a714");
  EXPECT_EQ(odd("GET", "/?list-type=2&prefix=" + percent_encode("a b+/=&?%\xc3\xa9", Slash::encode) +
                           "&max-keys=10&start-after=a%2Fb&encoding-type=url"),
            "b224285abced55f1ffed3cca7a08532ab2f72eb50b1f8036ddc1d5151a1c8ea2");
  EXPECT_EQ(odd("POST", "/k?uploads"), "89443aa15d74aa6035bf72eb24d3cc145dce4a30401b82ef12e274a4c25c33b5");
}

TEST(Sign, SpellingOfTheTargetDoesNotMatter) {
  EXPECT_EQ(odd("GET", "/(x)!*'~?b=%2f&a"), odd("GET", "/%28x%29%21%2a%27%7e?a=&b=/"));
  EXPECT_NE(odd("GET", "/a%20b"), odd("GET", "/a+b"));
  EXPECT_NE(odd("GET", "/a/./b"), odd("GET", "/a/b"));
}

TEST(Sign, EveryHeaderThatIsSentIsSigned) {
  HttpRequest request;
  request.target = "/k";
  request.headers = {{"X-Custom", "1"}, {"Content-Type", "text/plain"}};
  sign(request, "host", kUnsignedPayload, keys("ID", "hunter2", "token"), {0, "r"});
  const std::string authorization = request.headers.back().second;
  EXPECT_THAT(authorization, HasSubstr("SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;"
                                       "x-amz-security-token;x-custom,"));
  for (const auto& [name, value] : request.headers) EXPECT_THAT(value, Not(HasSubstr("hunter2"))) << name;
  EXPECT_EQ(request.headers[2].second, "19700101T000000Z");
}

// What a thread remembers of the last signature is of the same secret, day, region and service only.
TEST(Sign, NothingOfTheOneBeforeGetsIntoASignature) {
  const auto sign_one = [](const std::string& secret, const SigningScope& scope) {
    const Headers headers = {{"host", "h"}, {"x-amz-date", amz_date(scope.wall_ms)}};
    return authorization({"GET", "/k", headers, kUnsignedPayload}, keys("ID", secret), scope);
  };
  const std::vector<std::pair<std::string, SigningScope>> all = {
      {"one", {0, "r", "s3"}},          {"two", {0, "r", "s3"}}, {"one", {0, "other", "s3"}},
      {"one", {86'400'000, "r", "s3"}}, {"one", {0, "r", "sts"}}, {"one", {0, "r", "s3"}},
      {"one", {1'000, "r", "s3"}}};
  std::set<std::string> different;
  for (const auto& [secret, scope] : all) {
    std::string fresh;
    std::thread([&] { fresh = sign_one(secret, scope); }).join();
    EXPECT_EQ(sign_one(secret, scope), fresh);
    different.insert(signature_of(fresh));
  }
  EXPECT_EQ(different.size(), all.size() - 1);
}

}  // namespace
}  // namespace cairn::s3
