// The twin as others see it: curl's signer, TLS, and the program.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>

#include "support/scratch.h"
#include "twin/client.h"
#include "twin/twin.h"

namespace cairn::twin {
namespace {

struct Output {
  int status = 0;
  std::string text;
};

Output run(const std::string& command) {
  Output output;
  std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> piece;
  for (std::size_t n = 0; (n = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;) {
    output.text.append(piece.data(), n);
  }
  output.status = ::pclose(pipe);
  return output;
}

bool has_signing_curl() {
  return run("curl --help all").text.find("--aws-sigv4") != std::string::npos;
}
#define NEEDS_CURL() \
  if (!has_signing_curl()) GTEST_SKIP() << "curl with --aws-sigv4 is not installed"

// A signed request of curl's: the status it got, after the body. It signs what it is told to send, not what it sends
// by itself.
std::string curl(const std::string& arguments, const std::string& key = "twin-access-key:twin-secret-key") {
  return "curl -sS --max-time 30 --aws-sigv4 aws:amz:us-east-1:s3 -w '%{http_code}' -H 'User-Agent: curl' "
         "-H 'Accept: */*' -u '" +
         key + "' " + arguments;
}
constexpr const char* kHello =
    "-H x-amz-content-sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 "
    "-X PUT -H Content-Type:text/plain --data-binary hello ";
constexpr const char* kNothing =
    "-H x-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ";

TEST(Curl, ItsSignatureIsAccepted) {
  NEEDS_CURL();
  Twin twin;
  ASSERT_TRUE(twin.start());
  EXPECT_EQ(run(curl(kHello + twin.url() + "/bucket/dir/key")).text, "200");
  EXPECT_EQ(twin.text_of("bucket", "dir/key"), "hello");
  EXPECT_EQ(run(curl(kNothing + twin.url() + "/bucket/dir/key")).text, "hello200");
  const std::string listed = run(curl(kNothing + ("'" + twin.url()) + "/bucket?list-type=2&prefix=dir%2F'")).text;
  EXPECT_NE(listed.find("<Key>dir/key</Key>"), std::string::npos) << listed;
  EXPECT_NE(run(curl(kNothing + twin.url() + "/bucket/dir/key", "twin-access-key:wrong")).text.find(
                "SignatureDoesNotMatch"),
            std::string::npos);
}

class Certificates : public ::testing::Test {
 protected:
  // The address of a running twin; its certificate is in a file.
  std::string start(Tls tls) {
    TwinOptions options;
    options.tls = tls;
    twin_ = std::make_unique<Twin>(options);
    EXPECT_TRUE(twin_->start());
    std::ofstream(certificate_) << twin_->certificate_pem();
    return twin_->url();
  }
  const testing::Scratch scratch_{"twin-tls"};
  const std::string certificate_ = scratch_ / "certificate.pem";
  std::unique_ptr<Twin> twin_;
};

TEST_F(Certificates, WhoTrustsItMaySendUnsignedPayload) {
  NEEDS_CURL();
  const std::string url = start(Tls::good);
  ASSERT_TRUE(url.starts_with("https://"));
  const std::string unsigned_put = "-H x-amz-content-sha256:UNSIGNED-PAYLOAD -X PUT -H Content-Type:text/plain "
                                   "-H x-amz-sdk-checksum-algorithm:CRC32C -H x-amz-checksum-crc32c:mnG7TA== "
                                   "--data-binary hello ";
  EXPECT_EQ(run(curl("--cacert " + certificate_ + " " + unsigned_put + url + "/bucket/k")).text, "200");
  EXPECT_EQ(twin_->text_of("bucket", "k"), "hello");
}

TEST_F(Certificates, WhoDoesNotTrustItOrFindsItWrongDoesNotTalk) {
  NEEDS_CURL();
  const std::string url = start(Tls::good);
  EXPECT_NE(run(curl(kNothing + url + "/bucket/k")).status, 0);
  for (const Tls tls : {Tls::wrong_name, Tls::expired}) {
    const std::string wrong = start(tls);
    EXPECT_NE(run(curl("--cacert " + certificate_ + " " + kNothing + wrong + "/bucket/k")).status, 0);
    EXPECT_EQ(twin_->counts().all_requests(), 0u);
  }
}

TEST_F(Certificates, FaultsOfTheWireStrikeThroughTls) {
  NEEDS_CURL();
  const std::string url = start(Tls::good);
  const std::string trusting = "--cacert " + certificate_ + " ";
  EXPECT_EQ(run(curl(trusting + kHello + url + "/bucket/k")).text, "200");
  for (const Fault fault : {Fault::reset_after, Fault::truncated, Fault::reset_in_answer}) {
    twin_->fail_next(Operation::get_object, fault);
    EXPECT_NE(run(curl(trusting + kNothing + url + "/bucket/k")).status, 0) << name_of(fault);
  }
  EXPECT_EQ(run(curl(trusting + kNothing + url + "/bucket/k")).text, "hello200");
}

TEST(Control, FromOutside) {
  TwinOptions options;
  options.control = true;
  Twin twin(options);
  ASSERT_TRUE(twin.start());
  Client client(twin);
  const auto control = [&](const std::string& method, const std::string& request) {
    return Client(twin).send({.method = method, .target = "/-twin/" + request, .is_signed = false});
  };
  client.put("k", "hello");
  EXPECT_EQ(control("GET", "counts").body, "put_object 1\nrequests 1\nconnections 2\nbytes_in 5\nbytes_out 0\n");
  EXPECT_EQ(control("POST", "counts/reset").status, 200);
  EXPECT_EQ(twin.counts().all_requests(), 0u);
  EXPECT_EQ(control("POST", "fail?operation=get_object&fault=too_many&count=2").status, 200);
  EXPECT_EQ(client.get("k").status, 429);
  EXPECT_EQ(control("POST", "faults?rate=100&faults=error_before,slow_down&operations=head_object").status, 200);
  EXPECT_GE(client.head("k").status, 500);
  EXPECT_EQ(control("POST", "faults").status, 200);
  EXPECT_EQ(client.head("k").status, 200);
  EXPECT_EQ(control("POST", "denied?operations=writes").status, 200);
  EXPECT_EQ(client.put("k", "v").status, 403);
  EXPECT_EQ(control("POST", "denied").status, 200);
  EXPECT_EQ(client.put("k", "v").status, 200);
  EXPECT_EQ(control("POST", "clock?ms=-3600000").status, 200);
  EXPECT_EQ(client.put("k", "v").code(), "RequestTimeTooSkewed");
  EXPECT_EQ(control("POST", "clock").status, 200);
  EXPECT_EQ(control("GET", "uploads?bucket=bucket").body, "");
  client.send({.method = "POST", .target = "/bucket/k?uploads"});
  EXPECT_EQ(control("GET", "uploads?bucket=bucket").body, "k\n");
  EXPECT_EQ(control("POST", "dialect?name=gcs").status, 400);
  EXPECT_EQ(control("POST", "faults?faults=nonsense").status, 400);
  EXPECT_EQ(control("GET", "nonsense").status, 404);
}

TEST(Control, IsNotThereUnlessWanted) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  EXPECT_EQ(Client(twin).send({.target = "/-twin/counts", .is_signed = false}).code(), "AccessDenied");
}

}  // namespace
}  // namespace cairn::twin
