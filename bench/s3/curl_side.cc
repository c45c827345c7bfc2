// libcurl as plainly as it can be used: a thread and an easy handle for each connection, each moves its share of the
// bytes in one request. It is signed before the clock runs, and what is sent was hashed before as well; or each thread
// hashes its share first, as whoever sends something for the first time has to where the hash is signed (http).
#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "s3/checksum.h"
#include "s3/http.h"
#include "s3/sign.h"
#include "transfer.h"

namespace bench {

namespace {

constexpr long kBufferBytes = 256 << 10;  // as Cairn's

struct EndsEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreesList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t give(char* buffer, std::size_t one, std::size_t count, void* to) {
  std::uint64_t& left = *static_cast<std::uint64_t*>(to);
  const std::vector<char>& bytes = filler();
  const std::size_t at = left % bytes.size() == 0 ? 0 : bytes.size() - left % bytes.size();
  const std::size_t size = std::min<std::uint64_t>({one * count, left, bytes.size() - at});
  std::memcpy(buffer, bytes.data() + at, size);
  left -= size;
  return size;
}

std::size_t take(char* data, std::size_t one, std::size_t count, void* to) {
  static_cast<Received*>(to)->add(std::as_bytes(std::span(data, one * count)));
  return one * count;
}

// One connection and what goes over it.
class Line {
 public:
  explicit Line(const Job& job) : job_(job), curl_(curl_easy_init()) {}

  // Signs it. Sends nothing.
  void prepare(const std::string& method, const std::string& key, std::uint64_t size_bytes,
               std::string_view payload_hash, const std::string& range) {
    cairn::s3::HttpRequest request;
    request.method = method;
    request.target = "/bucket/" + key;
    if (!range.empty()) request.headers.emplace_back("range", range);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const std::int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    cairn::s3::Credentials credentials;
    credentials.access_key_id = job_.access_key;
    credentials.secret_access_key = job_.secret_key;
    const std::string host = job_.endpoint.substr(job_.endpoint.find("://") + 3);
    cairn::s3::sign(request, host, payload_hash, credentials, {now_ms, "us-east-1", "s3"});
    curl_slist* list = nullptr;
    for (const char* own : {"Accept:", "Expect:", "Content-Type:"}) list = curl_slist_append(list, own);
    for (const auto& [name, value] : request.headers) list = curl_slist_append(list, (name + ": " + value).c_str());
    headers_.reset(list);
    method_ = method;
    url_ = job_.endpoint + request.target;
    left_ = method == "PUT" ? size_bytes : 0;
    received_ = {};
  }

  void perform() {
    CURL* curl = curl_.get();
    curl_easy_setopt(curl, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kBufferBytes);
    if (!job_.ca_bundle.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, job_.ca_bundle.c_str());
    curl_easy_setopt(curl, CURLOPT_UPLOAD, method_ == "PUT" ? 1L : 0L);
    if (method_ == "GET") curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(left_));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, &give);
    curl_easy_setopt(curl, CURLOPT_READDATA, &left_);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received_);
    const CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK) die(fmt::format("{} {}: {}", method_, url_, curl_easy_strerror(code)));
  }

  std::uint64_t received_bytes() const { return received_.bytes(); }

 private:
  const Job& job_;
  std::unique_ptr<CURL, EndsEasy> curl_;
  std::unique_ptr<curl_slist, FreesList> headers_;
  std::string method_, url_;
  std::uint64_t left_ = 0;
  Received received_;
};

using Lines = std::vector<std::unique_ptr<Line>>;

Lines open_lines(const Job& job) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  Lines lines;
  for (int i = 0; i < job.connections; ++i) lines.push_back(std::make_unique<Line>(job));
  return lines;
}

void perform_all(Lines& lines) {
  std::vector<std::jthread> threads;
  for (const auto& line : lines) threads.emplace_back([&line] { line->perform(); });
}

// What a server that looks at what comes will find.
std::string hash_of_sent(std::uint64_t size_bytes) {
  std::vector<char> bytes(size_bytes);
  std::uint64_t left = size_bytes;
  for (std::size_t at = 0; left > 0;) at += give(bytes.data() + at, 1, bytes.size() - at, &left);
  return cairn::s3::hex(cairn::s3::sha256(std::as_bytes(std::span(bytes))));
}

// The same, without holding it all.
std::string hash_as_it_is_read(std::uint64_t size_bytes) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::vector<char> piece(kBufferBytes);
  for (std::uint64_t left = size_bytes; left > 0;) {
    EVP_DigestUpdate(context.get(), piece.data(), give(piece.data(), 1, piece.size(), &left));
  }
  std::array<std::byte, 32> digest{};
  EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return cairn::s3::hex(digest);
}

// How much each moves: all the same, but the last one.
std::uint64_t share(const Job& job) {
  return (job.size_bytes + static_cast<std::uint64_t>(job.connections) - 1) /
         static_cast<std::uint64_t>(job.connections);
}

}  // namespace

Taken put_by_curl(const Job& job) {
  Lines lines = open_lines(job);
  const bool tls = job.endpoint.starts_with("https");
  const auto hash = [tls](std::uint64_t size_bytes) {
    return tls ? std::string(cairn::s3::kUnsignedPayload) : hash_of_sent(size_bytes);
  };
  const std::string small = hash(1), large = hash(share(job));
  const auto prepare = [&](std::uint64_t size_bytes, const std::string& payload_hash) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      lines[i]->prepare("PUT", fmt::format("{}-{}", job.key, i), size_bytes, payload_hash, "");
    }
  };
  prepare(1, small);
  perform_all(lines);
  prepare(share(job), large);
  const Meter meter;
  if (job.hashes_within && !tls) {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      threads.emplace_back([&, i] {
        lines[i]->prepare("PUT", fmt::format("{}-{}", job.key, i), share(job), hash_as_it_is_read(share(job)), "");
        lines[i]->perform();
      });
    }
    threads.clear();
  } else {
    perform_all(lines);
  }
  return meter.taken(share(job) * lines.size());
}

Taken get_by_curl(const Job& job) {
  Lines lines = open_lines(job);
  const auto prepare = [&](std::uint64_t size_bytes) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::uint64_t first = i * share(job);
      const std::uint64_t end = std::min(first + size_bytes, job.size_bytes);
      lines[i]->prepare("GET", job.key, 0, cairn::s3::kEmptySha256, fmt::format("bytes={}-{}", first, end - 1));
    }
  };
  prepare(std::min(share(job), job.piece_bytes));
  perform_all(lines);
  prepare(share(job));
  const Meter meter;
  perform_all(lines);
  std::uint64_t moved_bytes = 0;
  for (const auto& line : lines) moved_bytes += line->received_bytes();
  if (moved_bytes != job.size_bytes) die(fmt::format("{} bytes came instead of {}", moved_bytes, job.size_bytes));
  return meter.taken(moved_bytes);
}

}  // namespace bench
