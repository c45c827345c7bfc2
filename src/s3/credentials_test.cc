#include "s3/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/bytes.h"
#include "base/mutex.h"
#include "s3/credential_process.h"
#include "s3/shared_files.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kNowMs = 1'795'000'000'000;  // in 2026

class FakeClock final : public Clock {
 public:
  Time now() override { return Time{kNowMs + passed_ms, passed_ms * 1000}; }
  void pass(std::int64_t ms) { passed_ms += ms; }
  std::atomic<std::int64_t> passed_ms = 0;
};

// Answers by "METHOD origin/target", and remembers what was asked.
class FakeHttp final : public HttpClient {
 public:
  struct Asked {
    std::string line, body;
    std::vector<std::pair<std::string, std::string>> headers;
    std::int64_t total_ms = 0;
    Proxy proxy = Proxy::as_configured;
    std::string header(std::string_view name) const {
      for (const auto& [key, value] : headers) {
        if (key == name) return value;
      }
      return {};
    }
  };

  Result<HttpResponse> send(const HttpRequest& request) override {
    MutexLock lock(mutex_);
    Asked asked{request.method + " " + request.origin + request.target, "", request.headers, request.total_ms,
                request.proxy};
    if (request.body != nullptr && request.body->size_bytes() > 0) {
      Bytes bytes(request.body->size_bytes());
      EXPECT_TRUE(request.body->read_at(0, bytes));
      asked.body = as_text(bytes);
    }
    const auto answer = answers.find(asked.line);
    all.push_back(std::move(asked));
    if (on_send) on_send();
    if (answer == answers.end()) return Error(ErrorKind::retry_later, "no route to host");
    if (answer->second.status == 0) return Error(ErrorKind::maybe_done, "no answer came");
    return answer->second;
  }

  void answer(const std::string& line, int status, std::string_view body) {
    HttpResponse response;
    response.status = status;
    const ByteView bytes = as_bytes(body);
    response.body.assign(bytes.begin(), bytes.end());
    answers[line] = std::move(response);
  }

  std::map<std::string, HttpResponse> answers;
  std::vector<Asked> all;
  std::function<void()> on_send;

 private:
  Mutex mutex_;
};

class CredentialsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-keys-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    home_ = pattern;
    std::filesystem::create_directory(home_ + "/.aws");
    variables_["HOME"] = home_;
    variables_["AWS_EC2_METADATA_DISABLED"] = "true";
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::string path = home_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  std::string program(const std::string& name, const std::string& script) {
    const std::string path = write(name, "#!/bin/sh\n" + script);
    ::chmod(path.c_str(), 0700);
    return path;
  }
  CredentialsContext context() {
    return {[this](const std::string& name) -> std::optional<std::string> {
              const auto found = variables_.find(name);
              return found == variables_.end() ? std::nullopt : std::optional(found->second);
            },
            http_, clock_};
  }
  CredentialsProvider& chain() {
    if (!chain_) chain_ = make_credentials_chain(options_, context());
    return *chain_;
  }
  Credentials get() {
    const Result<Credentials> got = chain().get();
    EXPECT_TRUE(got) << got.error().message();
    return got ? *got : Credentials{};
  }
  Error refused() {
    const Result<Credentials> got = chain().get();
    EXPECT_FALSE(got);
    return got ? Error(ErrorKind::cancelled, "there were some") : got.error();
  }

  std::string home_;
  std::map<std::string, std::string> variables_;
  S3Options options_;
  FakeHttp http_;
  FakeClock clock_;
  std::unique_ptr<CredentialsProvider> chain_;
};

std::string endpoint_json(const std::string& id, std::int64_t expires_ms, const std::string& more = "") {
  return R"({"AccessKeyId":")" + id + R"(","SecretAccessKey":"hidden","Token":"t-)" + id + R"(","Expiration":")" +
         format_time(expires_ms) + "\"" + more + "}";
}

// Where, and in which order.

TEST_F(CredentialsTest, OptionsComeBeforeEverything) {
  options_.access_key_id = "GIVEN";
  options_.secret_access_key = "s";
  options_.session_token = "t";
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "s";
  EXPECT_EQ(get().access_key_id, "GIVEN");
  EXPECT_EQ(get().session_token, "t");
  EXPECT_EQ(get().source, "options");
}

TEST_F(CredentialsTest, EnvironmentComesBeforeFiles) {
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "secret";
  variables_["AWS_SESSION_TOKEN"] = "token";
  write(".aws/credentials", "[default]\naws_access_key_id=FILE\naws_secret_access_key=s\n");
  const Credentials keys = get();
  EXPECT_EQ(keys.access_key_id, "ENV");
  EXPECT_EQ(keys.secret_access_key, "secret");
  EXPECT_EQ(keys.session_token, "token");
  EXPECT_EQ(keys.expires_ms, 0);
}

TEST_F(CredentialsTest, HalfOfAPairIsAMistake) {
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  EXPECT_EQ(refused().message(), "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not: set both");
  EXPECT_EQ(refused().kind(), ErrorKind::denied);
}

TEST_F(CredentialsTest, EmptyVariableIsNone) {
  variables_["AWS_ACCESS_KEY_ID"] = "";
  variables_["AWS_SECRET_ACCESS_KEY"] = "";
  write(".aws/credentials", "[default]\naws_access_key_id=FILE\naws_secret_access_key=s\n");
  EXPECT_EQ(get().access_key_id, "FILE");
}

TEST_F(CredentialsTest, FileOfCredentialsComesBeforeTheOneOfSettings) {
  write(".aws/credentials", "[default]\naws_access_key_id=CREDENTIALS\naws_secret_access_key=s\n");
  write(".aws/config", "[default]\naws_access_key_id=CONFIG\naws_secret_access_key=s\n");
  EXPECT_EQ(get().access_key_id, "CREDENTIALS");
  EXPECT_EQ(get().source, "profile default");
}

TEST_F(CredentialsTest, KeysInTheFileOfSettingsDoToo) {
  write(".aws/config", "[profile work]\naws_access_key_id=CONFIG\naws_secret_access_key=s\naws_session_token = t\n");
  variables_["AWS_PROFILE"] = "work";
  EXPECT_EQ(get().access_key_id, "CONFIG");
  EXPECT_EQ(get().session_token, "t");
}

TEST_F(CredentialsTest, ProfileOfTheOptionsIsNotOverruledByTheEnvironment) {
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "s";
  variables_["AWS_PROFILE"] = "other";
  options_.profile = "work";
  write(".aws/credentials", "[work]\naws_access_key_id=WORK\naws_secret_access_key=s\n");
  EXPECT_EQ(get().access_key_id, "WORK");
}

TEST_F(CredentialsTest, FilesMayLieElsewhere) {
  variables_["AWS_SHARED_CREDENTIALS_FILE"] = "~/keys";
  write("keys", "[default]\naws_access_key_id=ELSEWHERE\naws_secret_access_key=s\n");
  EXPECT_EQ(get().access_key_id, "ELSEWHERE");
}

TEST_F(CredentialsTest, ChosenProfileThatIsNowhereIsAMistake) {
  variables_["AWS_PROFILE"] = "wrok";
  write(".aws/credentials", "[work]\naws_access_key_id=WORK\naws_secret_access_key=s\n");
  EXPECT_THAT(refused().message(), HasSubstr("there is no profile 'wrok' of " + home_ + "/.aws/credentials"));
}

TEST_F(CredentialsTest, WhatNobodyHasListsWhereWasLooked) {
  const Error error = refused();
  EXPECT_EQ(error.kind(), ErrorKind::denied);
  EXPECT_EQ(error.message(),
            "no credentials for the store were found; looked at the environment (AWS_ACCESS_KEY_ID is not set), web "
            "identity (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set), profile 'default' of " +
                home_ + "/.aws/credentials and " + home_ +
                "/.aws/config (which is not there), the container endpoint (AWS_CONTAINER_CREDENTIALS_FULL_URI is not "
                "set), not the instance metadata (AWS_EC2_METADATA_DISABLED): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or see 'cairn store --help' for the other ways");
}

TEST_F(CredentialsTest, FileThatCannotBeReadIsNotPassedOver) {
  std::filesystem::create_directory(home_ + "/.aws/credentials");
  EXPECT_EQ(refused().kind(), ErrorKind::denied);
  EXPECT_THAT(refused().message(), HasSubstr(".aws/credentials is no file of credentials"));
}

TEST_F(CredentialsTest, ProfilesThatTakeARoleOrSignInAreNamed) {
  write(".aws/config", "[profile a]\nrole_arn=arn\nsource_profile=b\n[profile s]\nsso_session=x\n");
  options_.profile = "a";
  EXPECT_THAT(refused().message(), HasSubstr("takes a role by way of other credentials"));
  chain_.reset();
  options_.profile = "s";
  EXPECT_THAT(refused().message(), HasSubstr("signs in by SSO"));
}

TEST_F(CredentialsTest, RegionComesFromOptionsEnvironmentProfile) {
  EXPECT_EQ(configured_region(options_, context()), "");
  write(".aws/config", "[default]\nregion = eu-west-3\n");
  EXPECT_EQ(configured_region(options_, context()), "eu-west-3");
  variables_["AWS_DEFAULT_REGION"] = "eu-west-2";
  EXPECT_EQ(configured_region(options_, context()), "eu-west-2");
  variables_["AWS_REGION"] = "eu-west-1";
  EXPECT_EQ(configured_region(options_, context()), "eu-west-1");
  options_.region = "us-east-2";
  EXPECT_EQ(configured_region(options_, context()), "us-east-2");
}

// The format of the files.

TEST(SharedFile, CommentsSpacesAndNestedSettingsAreUnderstood) {
  const Sections sections = parse_shared_file(
      "\xef\xbb\xbf# comment\n; another\n[ default ]  # mine\r\n"
      "AWS_Access_Key_Id = ID ; note\r\naws_secret_access_key=a/b#c;d+e=\n"
      "s3 =\n  max_concurrent_requests = 10\n  region = nested\n\nregion=x\n"
      "no setting\n[profile \"with space\"]\n  region = y\n  output = z\n[profile\t plain ]\nregion=w");
  const Section& section = sections.at("default");
  EXPECT_EQ(section.at("aws_access_key_id"), "ID");
  EXPECT_EQ(section.at("aws_secret_access_key"), "a/b#c;d+e=");
  EXPECT_EQ(section.at("region"), "x");
  EXPECT_EQ(section.count("max_concurrent_requests"), 0u);
  EXPECT_EQ(sections.at("profile with space").at("region"), "y");
  EXPECT_EQ(sections.at("profile with space").at("output"), "z");
  EXPECT_EQ(sections.at("profile plain").at("region"), "w");
}

TEST(SharedFile, AnyBytesAreSurvived) {
  SeededRandom random(7);
  const std::string_view alphabet = "[]= \t\r\n#;\"'ab\0~";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (std::uint64_t n = random.below(40); n > 0; --n) text.push_back(alphabet[random.below(alphabet.size())]);
    (void)parse_shared_file(text);
  }
}

// A program that prints keys.

TEST(CredentialProcess, CommandIsSplitLikeAShellWould) {
  const auto split = [](std::string_view command) { return *split_command(command); };
  using Words = std::vector<std::string>;
  EXPECT_EQ(split("a b  c"), (Words{"a", "b", "c"}));
  EXPECT_EQ(split(R"("/opt/my tool" 'x "y" $Z' a\ b "q\"r\s" '')"),
            (Words{"/opt/my tool", "x \"y\" $Z", "a b", "q\"r\\s", ""}));
  EXPECT_EQ(split("a#b #c"), (Words{"a#b", "#c"}));
  EXPECT_EQ(split_command("a 'b").error().kind(), ErrorKind::invalid);
  EXPECT_EQ(split_command("a \\").error().kind(), ErrorKind::invalid);
  EXPECT_EQ(split_command("  ").error().kind(), ErrorKind::invalid);
}

TEST_F(CredentialsTest, ProcessIsAskedForKeys) {
  const std::string path = program("my tool", "echo \"{\\\"Version\\\": 1, \\\"AccessKeyId\\\": \\\"$1\\\", "
                                              "\\\"SecretAccessKey\\\": \\\"s\\\", \\\"SessionToken\\\": \\\"t\\\", "
                                              "\\\"Expiration\\\": \\\"2026-12-31T00:00:00+00:00\\\"}\"");
  write(".aws/config", "[default]\ncredential_process = \"" + path + "\" 'KEY#1;$HOME' ;more\n");
  const Credentials keys = get();
  EXPECT_EQ(keys.access_key_id, "KEY#1;$HOME");
  EXPECT_EQ(keys.session_token, "t");
  EXPECT_EQ(keys.expires_ms, *parse_time("2026-12-31T00:00:00Z"));
  EXPECT_EQ(keys.source, "profile default, credential_process");
}

TEST(CredentialProcess, FailuresNameTheProgramAndNothingThatItPrints) {
  const auto run = [](const std::string& command) { return run_credential_process(command, 60'000, "p").error(); };
  EXPECT_THAT(run("/nowhere/tool --secret x").message(), HasSubstr("p: /nowhere/tool cannot be started: No such file"));
  const Error failed = run("sh -c 'echo hidden; exit 3'");
  EXPECT_EQ(failed.kind(), ErrorKind::denied);
  EXPECT_EQ(failed.message(), "p: sh failed with exit status 3: run it by hand to see why");
  for (const char* printed : {"hidden", "[]", "{}", R"({"Version":2,"AccessKeyId":"hidden","SecretAccessKey":"s"})",
                              R"({"Version":1,"AccessKeyId":"hidden"})",
                              R"({"Version":1,"AccessKeyId":"hid\nden","SecretAccessKey":"s"})",
                              R"({"Version":1,"AccessKeyId":"hidden","SecretAccessKey":"s","Expiration":"soon"})"}) {
    const Error error = run("printf %s '" + std::string(printed) + "'");
    EXPECT_EQ(error.kind(), ErrorKind::denied) << printed;
    EXPECT_THAT(error.message(), Not(HasSubstr("hid"))) << printed;
  }
}

TEST(CredentialProcess, IsEndedWhenItsTimeIsOver) {
  const Error error = run_credential_process("sh -c 'sleep 1000 & sleep 1000'", 50, "p").error();
  EXPECT_THAT(error.message(), HasSubstr("has not ended"));
}

TEST(CredentialProcess, EndlessOutputIsEnded) {
  EXPECT_THAT(run_credential_process("yes", 60'000, "p").error().message(), HasSubstr("more than a document"));
}

// Web identity.

constexpr const char* kTokenAnswer = R"(<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/">
<AssumeRoleWithWebIdentityResult><Credentials><SessionToken>token</SessionToken>
<SecretAccessKey>secret</SecretAccessKey><Expiration>2026-12-31T00:00:00Z</Expiration><AccessKeyId>ROLE</AccessKeyId>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>)";

class WebIdentityTest : public CredentialsTest {
 protected:
  void SetUp() override {
    CredentialsTest::SetUp();
    variables_["AWS_WEB_IDENTITY_TOKEN_FILE"] = write("token", "ey.J+/=\n");
    variables_["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/backup";
    variables_["AWS_REGION"] = "eu-central-1";
  }
  const std::string line_ = "POST https://sts.eu-central-1.amazonaws.com/";
};

TEST_F(WebIdentityTest, TokenIsExchangedForKeys) {
  variables_["AWS_ROLE_SESSION_NAME"] = "me";
  http_.answer(line_, 200, kTokenAnswer);
  const Credentials keys = get();
  EXPECT_EQ(keys.access_key_id, "ROLE");
  EXPECT_EQ(keys.secret_access_key, "secret");
  EXPECT_EQ(keys.session_token, "token");
  EXPECT_EQ(keys.expires_ms, *parse_time("2026-12-31T00:00:00Z"));
  EXPECT_EQ(http_.all[0].body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fbackup"
            "&RoleSessionName=me&WebIdentityToken=ey.J%2B%2F%3D");
  EXPECT_EQ(http_.all[0].header("Content-Type"), "application/x-www-form-urlencoded");
  EXPECT_GT(http_.all[0].total_ms, 0);
}

TEST_F(WebIdentityTest, RefusalIsToldWithoutTheToken) {
  http_.answer(line_, 403, "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized "
                           "to perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>");
  const Error error = refused();
  EXPECT_EQ(error.kind(), ErrorKind::denied);
  EXPECT_EQ(error.message(), "web identity: answered with status 403: AccessDenied: Not authorized to perform "
                             "sts:AssumeRoleWithWebIdentity");
}

TEST_F(WebIdentityTest, ServiceThatIsAwayMayComeBack) {
  EXPECT_EQ(refused().kind(), ErrorKind::retry_later);
  clock_.pass(10'000);
  http_.answer(line_, 0, "");
  EXPECT_EQ(refused().kind(), ErrorKind::retry_later);
  clock_.pass(10'000);
  http_.answer(line_, 503, "");
  EXPECT_EQ(refused().kind(), ErrorKind::retry_later);
  clock_.pass(10'000);
  http_.answer(line_, 200, kTokenAnswer);
  EXPECT_EQ(get().access_key_id, "ROLE");
}

TEST_F(WebIdentityTest, AnswersThatAreNoneAreRefused) {
  for (const char* answer : {"", "<a/>", "{}", "<AssumeRoleWithWebIdentityResponse/>", "\xff\xfe<"}) {
    http_.answer(line_, 200, answer);
    EXPECT_EQ(refused().kind(), ErrorKind::denied);
    clock_.pass(10'000);
  }
}

TEST_F(WebIdentityTest, MissingTokenFileIsNamed) {
  std::filesystem::remove(home_ + "/token");
  EXPECT_EQ(refused().kind(), ErrorKind::denied);
  EXPECT_THAT(refused().message(), HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE"));
}

TEST_F(WebIdentityTest, EndpointCanBeGiven) {
  variables_["AWS_ENDPOINT_URL_STS"] = "http://sts.local:7480";
  http_.answer("POST http://sts.local:7480/", 200, kTokenAnswer);
  EXPECT_EQ(get().access_key_id, "ROLE");
}

TEST_F(WebIdentityTest, ProfileMayNameTheRole) {
  const std::string token = variables_["AWS_WEB_IDENTITY_TOKEN_FILE"];
  variables_.erase("AWS_WEB_IDENTITY_TOKEN_FILE");
  write(".aws/config", "[default]\nrole_arn = arn\nweb_identity_token_file = " + token + "\n");
  http_.answer(line_, 200, kTokenAnswer);
  EXPECT_EQ(get().access_key_id, "ROLE");
}

// The container endpoint.

TEST_F(CredentialsTest, ContainerEndpointIsAskedWithItsToken) {
  variables_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/x?a=b";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Basic x";
  http_.answer("GET http://169.254.170.2/v2/credentials/x?a=b", 200, endpoint_json("TASK", kNowMs + 3'600'000));
  EXPECT_EQ(get().access_key_id, "TASK");
  EXPECT_EQ(get().session_token, "t-TASK");
  EXPECT_EQ(http_.all[0].header("Authorization"), "Basic x");
}

TEST_F(CredentialsTest, ContainerTokenOfAFileIsReadEachTime) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = write("token", "first\n");
  http_.answer("GET http://169.254.170.23/v1/credentials", 200, endpoint_json("POD", kNowMs + 60'000));
  EXPECT_EQ(get().access_key_id, "POD");
  write("token", "second\n");
  clock_.pass(59'000);
  http_.answer("GET http://169.254.170.23/v1/credentials", 200, endpoint_json("POD2", kNowMs + 3'600'000));
  EXPECT_EQ(get().access_key_id, "POD2");
  EXPECT_EQ(http_.all[0].header("Authorization"), "first");
  EXPECT_EQ(http_.all[1].header("Authorization"), "second");
}

TEST_F(CredentialsTest, KeysAreNotAskedForInTheClearElsewhere) {
  for (const char* url : {"http://10.0.0.1/", "http://127.0.0.1.evil.example/", "http://169.254.169.254/",
                          "http://[fe80::1]/", "http://user@127.0.0.1/", "ftp://127.0.0.1/", "127.0.0.1",
                          "http://127.0.0.1@evil.example/"}) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    chain_.reset();
    EXPECT_EQ(refused().kind(), ErrorKind::denied) << url;
  }
  EXPECT_TRUE(http_.all.empty());
  for (const char* origin : {"http://127.0.0.1:8080", "http://127.9.9.9", "http://[::1]:80", "http://localhost",
                             "http://[fd00:ec2::23]", "https://keys.example"}) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = std::string(origin) + "/k";
    http_.answer("GET " + std::string(origin) + "/k", 200, endpoint_json("OK", kNowMs + 3'600'000));
    chain_.reset();
    EXPECT_EQ(get().access_key_id, "OK") << origin;
  }
}

TEST_F(CredentialsTest, ContainerEndpointThatFailsIsNotPassedOver) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://localhost/k";
  http_.answer("GET http://localhost/k", 400, R"({"code":"InvalidTask","message":"no such task"})");
  EXPECT_EQ(refused().message(), "container endpoint: answered with status 400: InvalidTask: no such task");
}

TEST_F(CredentialsTest, ContainerEndpointIsAskedWithoutAProxy) {
  variables_["http_proxy"] = variables_["https_proxy"] = "http://proxy.example:3128";
  for (const char* origin : {"http://169.254.170.2", "https://keys.example"}) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = std::string(origin) + "/k";
    http_.answer("GET " + std::string(origin) + "/k", 200, endpoint_json("TASK", kNowMs + 3'600'000));
    chain_.reset();
    EXPECT_EQ(get().access_key_id, "TASK");
    EXPECT_EQ(http_.all.back().proxy, Proxy::never) << origin;
  }
}

// The instance metadata.

class MetadataTest : public CredentialsTest {
 protected:
  void SetUp() override {
    CredentialsTest::SetUp();
    variables_.erase("AWS_EC2_METADATA_DISABLED");
  }
  void answer_keys(const std::string& id, std::int64_t expires_ms) {
    http_.answer("PUT " + origin_ + "/latest/api/token", 200, "TOKEN");
    http_.answer("GET " + origin_ + path_, 200, "backup-role\n");
    http_.answer("GET " + origin_ + path_ + "backup-role", 200,
                 endpoint_json(id, expires_ms, R"(,"Code":"Success","Type":"AWS-HMAC")"));
  }
  std::string origin_ = "http://169.254.169.254";
  const std::string path_ = "/latest/meta-data/iam/security-credentials/";
};

TEST_F(MetadataTest, SessionIsOpenedAndUsed) {
  answer_keys("INSTANCE", kNowMs + 3'600'000);
  EXPECT_EQ(get().access_key_id, "INSTANCE");
  ASSERT_EQ(http_.all.size(), 3u);
  EXPECT_EQ(http_.all[0].header("X-aws-ec2-metadata-token-ttl-seconds"), "21600");
  EXPECT_EQ(http_.all[1].header("X-aws-ec2-metadata-token"), "TOKEN");
  EXPECT_EQ(http_.all[2].header("X-aws-ec2-metadata-token"), "TOKEN");
  for (const auto& asked : http_.all) EXPECT_EQ(asked.total_ms, 1'000);
}

TEST_F(MetadataTest, IsAskedWithoutAProxy) {
  variables_["http_proxy"] = "http://proxy.example:3128";
  answer_keys("INSTANCE", kNowMs + 3'600'000);
  get();
  ASSERT_EQ(http_.all.size(), 3u);
  for (const auto& asked : http_.all) EXPECT_EQ(asked.proxy, Proxy::never) << asked.line;
}

TEST_F(MetadataTest, EndpointCanBeGiven) {
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1338/";
  origin_ = "http://127.0.0.1:1338";
  answer_keys("INSTANCE", kNowMs + 3'600'000);
  EXPECT_EQ(get().access_key_id, "INSTANCE");
}

TEST_F(MetadataTest, IsOnlyAskedWhenNothingElseHasKeys) {
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "s";
  get();
  EXPECT_TRUE(http_.all.empty());
}

TEST_F(MetadataTest, MachineWithoutItHasNoKeys) {
  EXPECT_EQ(refused().kind(), ErrorKind::denied);
  EXPECT_THAT(refused().message(), HasSubstr("the instance metadata (http://169.254.169.254 does not answer)"));
}

TEST_F(MetadataTest, ManyRefusalsAskOnceInAWhile) {
  for (int i = 0; i < 100; ++i) (void)refused();
  EXPECT_EQ(http_.all.size(), 1u);
  clock_.pass(5'001);
  (void)refused();
  EXPECT_EQ(http_.all.size(), 2u);
}

TEST_F(MetadataTest, OtherCloudsAndInstancesWithoutARoleAreSaid) {
  http_.answer("PUT " + origin_ + "/latest/api/token", 404, "");
  EXPECT_THAT(refused().message(), HasSubstr("gives no token: status 404"));
  clock_.pass(10'000);
  http_.answer("PUT " + origin_ + "/latest/api/token", 200, "TOKEN");
  http_.answer("GET " + origin_ + path_, 404, "");
  EXPECT_THAT(refused().message(), HasSubstr("knows no role of this instance"));
}

TEST_F(MetadataTest, FailureOfARoleIsTold) {
  answer_keys("x", kNowMs);
  http_.answer("GET " + origin_ + path_ + "backup-role", 200, R"({"Code":"AssumeRoleUnauthorizedAccess",
    "Message":"EC2 cannot assume the role"})");
  EXPECT_EQ(refused().message(), "instance metadata: the answer says AssumeRoleUnauthorizedAccess: EC2 cannot assume "
                                 "the role");
}

// Kept, and renewed.

TEST_F(MetadataTest, RenewedSomeMinutesBeforeTheyExpire) {
  answer_keys("FIRST", kNowMs + 3'600'000);
  EXPECT_EQ(get().access_key_id, "FIRST");
  answer_keys("SECOND", kNowMs + 7'200'000);
  clock_.pass(3'600'000 - 301'000);
  EXPECT_EQ(get().access_key_id, "FIRST");
  EXPECT_EQ(http_.all.size(), 3u) << "no request while they are fresh";
  clock_.pass(2'000);
  EXPECT_EQ(get().access_key_id, "SECOND");
}

TEST_F(MetadataTest, OldOnesAreUsedUntilTheyReallyExpire) {
  answer_keys("FIRST", kNowMs + 3'600'000);
  get();
  http_.answers.clear();
  clock_.pass(3'500'000);
  EXPECT_EQ(get().access_key_id, "FIRST");
  const std::size_t asked = http_.all.size();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(get().access_key_id, "FIRST");
  EXPECT_EQ(http_.all.size(), asked) << "not asked for each time";
  clock_.pass(100'000);
  EXPECT_EQ(refused().kind(), ErrorKind::denied);
}

TEST_F(MetadataTest, ExpiredOnesAreNotHandedOut) {
  answer_keys("OLD", kNowMs - 1);
  EXPECT_THAT(refused().message(), HasSubstr("have expired"));
}

TEST_F(MetadataTest, ShortLivedOnesAreUsedForMostOfTheirLife) {
  answer_keys("FIRST", kNowMs + 60'000);
  get();
  const std::size_t asked = http_.all.size();
  clock_.pass(47'000);
  get();
  EXPECT_EQ(http_.all.size(), asked);
}

TEST_F(MetadataTest, ManyThreadsMakeOneFetch) {
  answer_keys("INSTANCE", kNowMs + 3'600'000);
  std::atomic<int> entered = 0;
  http_.on_send = [&] {
    // The first request is answered once the others have had a chance to make one of their own.
    for (int i = 0; entered < 8 && i < 1'000; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  chain();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      ++entered;
      EXPECT_EQ(get().access_key_id, "INSTANCE");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(http_.all.size(), 3u);
}

TEST_F(MetadataTest, WhileOneRenewsTheOthersGoOnWithTheOldOnes) {
  answer_keys("FIRST", kNowMs + 3'600'000);
  get();
  answer_keys("SECOND", kNowMs + 7'200'000);
  clock_.pass(3'500'000);
  std::string meanwhile;
  http_.on_send = [&] {
    if (meanwhile.empty()) meanwhile = chain().get()->access_key_id;
  };
  EXPECT_EQ(get().access_key_id, "SECOND");
  EXPECT_EQ(meanwhile, "FIRST");
}

TEST_F(CredentialsTest, RefusedKeysAreReadAnew) {
  write(".aws/credentials", "[default]\naws_access_key_id=OLD\naws_secret_access_key=s\n");
  const Credentials old = get();
  write(".aws/credentials", "[default]\naws_access_key_id=NEW\naws_secret_access_key=s\n");
  EXPECT_EQ(get().access_key_id, "OLD");
  chain().invalidate(old);
  EXPECT_EQ(get().access_key_id, "OLD") << "just read: not each refusal reads again";
  clock_.pass(6'000);
  EXPECT_EQ(get().access_key_id, "NEW");
  clock_.pass(6'000);
  chain().invalidate(old);
  write(".aws/credentials", "");
  EXPECT_EQ(get().access_key_id, "NEW") << "it is about others";
}

// Secrets.

TEST_F(CredentialsTest, NoSecretIsInAnyMessage) {
  variables_["AWS_SECRET_ACCESS_KEY"] = "hidden";
  EXPECT_THAT(refused().message(), Not(HasSubstr("hidden")));
  variables_.clear();
  chain_.reset();
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://10.1.1.1/hidden?token=hidden";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "hidden";
  EXPECT_THAT(refused().message(), Not(HasSubstr("hidden")));
}

}  // namespace
}  // namespace cairn::s3
