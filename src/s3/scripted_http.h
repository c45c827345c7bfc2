// For tests: a transport that gives the answers of a script, and keeps what it was asked.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "s3/credentials.h"
#include "s3/http.h"

namespace cairn::s3 {

// "ok", or the kind of the error.
template <class T>
std::string kind_of(const Result<T>& result) {
  return result ? "ok" : std::string(name_of(result.error().kind()));
}

struct Asked {
  std::string method, origin, target, body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::int64_t stall_ms = 0;

  std::string line() const { return method + " " + target; }
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return "-";
  }
};

class ScriptedHttp final : public HttpClient {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  void say(int status, std::string_view body = {}, Headers headers = {}) {
    HttpResponse response;
    response.status = status;
    response.headers = std::move(headers);
    response.body.assign(as_bytes(body).begin(), as_bytes(body).end());
    script_.emplace_back(std::move(response));
  }
  void say_code(int status, const std::string& code, const std::string& more = {}) {
    say(status, "<Error><Code>" + code + "</Code>" + more + "</Error>");
  }
  // The last answer's body breaks off.
  void and_break_off() { script_.back()->whole = false; }
  void fail(ErrorKind kind) { script_.emplace_back(Error(kind, "the wire")); }
  // In the next answer, the token that was sent last: what was put is there.
  void say_ours(const std::string& etag = "ours") {
    ours_ = script_.size();
    say(200, {}, {{"etag", "\"" + etag + "\""}, {"content-length", "1"}});
  }

  Result<HttpResponse> send(const HttpRequest& request) override {
    Asked one{request.method, request.origin, request.target, {}, request.headers, request.stall_ms};
    if (request.body != nullptr) {
      Bytes bytes(request.body->size_bytes());
      CAIRN_TRY(request.body->read_at(0, bytes));
      one.body = as_text(bytes);
    }
    if (const std::string token = one.header("x-amz-meta-cairn-token"); token != "-") token_ = token;
    asked.push_back(std::move(one));
    if (script_.empty()) {
      ADD_FAILURE() << "not in the script: " << asked.back().line();
      return Error(ErrorKind::cancelled, "the script has ended");
    }
    Result<HttpResponse> answer = std::move(script_.front());
    script_.pop_front();
    if (ours_ == 0 && answer) answer->headers.emplace_back("x-amz-meta-cairn-token", token_);
    if (ours_ != kNone) --ours_;
    const bool is_taken = answer && request.take != nullptr && answer->status >= 200 && answer->status < 300;
    if (is_taken) give(*request.take, *answer);
    return answer;
  }

  bool is_over() const { return script_.empty(); }
  std::vector<Asked> asked;

 private:
  // The body in pieces, as long as they are wanted.
  static void give(const TakeBody& take, HttpResponse& answer) {
    constexpr std::size_t kPieceBytes = 3;
    const Bytes body = std::exchange(answer.body, {});
    HttpResponse head = answer;
    head.whole = false;
    for (std::size_t at = 0; at < body.size(); at += kPieceBytes) {
      const std::size_t size = std::min(kPieceBytes, body.size() - at);
      if (take(head, ByteView(body).subspan(at, size))) continue;
      answer.whole = false;
      return;
    }
  }

  static constexpr std::size_t kNone = ~std::size_t{0};
  std::deque<Result<HttpResponse>> script_;
  std::string token_;
  std::size_t ours_ = kNone;
};

class FixedCredentials final : public CredentialsProvider {
 public:
  Result<Credentials> get() override {
    Credentials credentials;
    credentials.access_key_id = id;
    credentials.secret_access_key = "hunter2";
    credentials.source = "the test";
    return credentials;
  }
  void invalidate(const Credentials&) override { id = next_id; }

  std::string id = "ID", next_id = "ID";
};

}  // namespace cairn::s3
