// A client for tests of the twin: one connection, requests as crooked as a test wants them. It signs with the twin's
// own reading of the specification, which published vectors and curl's signer are held against elsewhere.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "twin/message.h"
#include "twin/sigv4.h"
#include "twin/twin.h"

namespace cairn::twin {

struct Call {
  std::string method = "GET";
  std::string target = "/bucket";
  std::vector<Header> headers{};  // beside host, x-amz-date, x-amz-content-sha256, content-length, authorization
  std::string body{};

  // What tests get wrong on purpose.
  std::string region = "us-east-1";
  std::string service = "s3";
  std::string payload_hash{};         // empty: of the body
  std::string scope_date{};           // empty: today
  std::int64_t clock_offset_ms = 0;
  std::vector<std::string> unsigned_headers{};  // left out of SignedHeaders
  std::string host{};                 // empty: 127.0.0.1:port
  bool sends_length = true;
  bool is_signed = true;
  bool is_cut = false;                // only half of the body is sent, then the connection is closed
};

struct Reply {
  int status = 0;  // 0: no answer came
  std::vector<Header> headers;
  std::string body;
  bool is_whole = false;      // as long as Content-Length (or the last chunk) says
  bool was_reset = false;

  bool is_error() const { return status >= 300; }

  std::string header(std::string_view name) const;
  // The text of the first element of that name; "" when there is none.
  std::string element(std::string_view name) const;
  std::string code() const { return element("Code"); }
  std::size_t count(std::string_view text) const;
};

class Client {
 public:
  explicit Client(const Twin& twin, AccessKey key = {});
  ~Client();

  Reply send(const Call& call);
  // The request as it goes out: head and body.
  std::string text_of(const Call& call) const;
  // These very bytes.
  Reply send_raw(std::string_view bytes, std::string_view method = "GET");

  Reply put(const std::string& key, const std::string& body, std::vector<Header> headers = {});
  Reply get(const std::string& key, std::vector<Header> headers = {});
  Reply head(const std::string& key, std::vector<Header> headers = {});
  Reply remove(const std::string& key, std::vector<Header> headers = {});
  Reply list(const std::string& query);
  // The id.
  std::string begin(const std::string& key, std::vector<Header> headers = {});
  Reply put_part(const std::string& key, const std::string& id, int number, const std::string& body,
                 std::vector<Header> headers = {});
  // Parts as (number, etag).
  Reply complete(const std::string& key, const std::string& id,
                 const std::vector<std::pair<int, std::string>>& parts, std::vector<Header> headers = {});

 private:
  class Socket;
  const int port_;
  const AccessKey key_;
  std::unique_ptr<Socket> socket_;
};

}  // namespace cairn::twin
