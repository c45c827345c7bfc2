// A request and its answer between the wire (server.cc) and the meaning (service.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/store.h"
#include "twin/operation.h"

namespace cairn::twin {

// Bytes that several objects and answers share, made of pieces: nothing is copied when parts become an object.
class Rope {
 public:
  Rope() = default;
  Rope(std::shared_ptr<const std::byte[]> bytes, std::uint64_t size_bytes) {
    if (size_bytes > 0) pieces_.push_back({bytes, ByteView(bytes.get(), size_bytes)});
    size_bytes_ = size_bytes;
  }
  static Rope of(std::string_view text) {
    const std::shared_ptr<std::byte[]> bytes(new std::byte[text.size() + 1]);
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), bytes.get());
    return Rope(bytes, text.size());
  }

  // So many bytes of no meaning, which take no memory.
  static Rope filler(std::uint64_t size_bytes) {
    constexpr std::uint64_t kBlockBytes = 1 << 20;
    static const std::shared_ptr<const std::byte[]> block(new std::byte[kBlockBytes]());
    Rope out;
    for (; out.size_bytes_ + kBlockBytes <= size_bytes;) out.append(Rope(block, kBlockBytes));
    out.append(Rope(block, size_bytes - out.size_bytes_));
    return out;
  }

  std::uint64_t size_bytes() const { return size_bytes_; }
  void append(const Rope& other) {
    pieces_.insert(pieces_.end(), other.pieces_.begin(), other.pieces_.end());
    size_bytes_ += other.size_bytes_;
  }
  // [offset, offset + length), which must lie inside.
  Rope slice(std::uint64_t offset, std::uint64_t length) const {
    Rope out;
    for (const Piece& piece : pieces_) {
      if (length == 0) break;
      if (offset >= piece.view.size()) {
        offset -= piece.view.size();
        continue;
      }
      const std::uint64_t taken = std::min<std::uint64_t>(length, piece.view.size() - offset);
      out.pieces_.push_back({piece.owner, piece.view.subspan(offset, taken)});
      out.size_bytes_ += taken;
      length -= taken;
      offset = 0;
    }
    return out;
  }
  std::vector<ByteView> views() const {
    std::vector<ByteView> all;
    for (const Piece& piece : pieces_) all.push_back(piece.view);
    return all;
  }
  std::string text() const {
    std::string out;
    for (const Piece& piece : pieces_) {
      out.append(reinterpret_cast<const char*>(piece.view.data()), piece.view.size());
    }
    return out;
  }

 private:
  struct Piece {
    std::shared_ptr<const std::byte[]> owner;
    ByteView view;
  };
  std::vector<Piece> pieces_;
  std::uint64_t size_bytes_ = 0;
};

struct Header {
  std::string name;  // in lower case
  std::string value;
};

inline const std::string* find_header(const std::vector<Header>& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (header.name == name) return &header.value;
  }
  return nullptr;
}

struct Request {
  // As it came.
  std::string method;
  std::string target;
  std::vector<Header> headers;
  bool is_tls = false;
  bool wants_close = false;
  Rope body;  // in one piece, unless it is filler in place of what was dropped
  ByteView body_view() const {
    const std::vector<ByteView> views = body.views();
    return views.empty() ? ByteView{} : views.front();
  }

  // What it says (understand(), request.cc).
  Operation operation = Operation::unknown;
  std::string path;    // decoded
  std::string bucket;  // empty: none
  std::string key;
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in the order in which it came

  // What the service notes when the request arrives (Service::begin).
  std::uint64_t arrived_at = 0;        // how many writes had been done by then
  bool condition_was_checked = false;  // by a dialect that does that too early
  std::string payload_hash;            // x-amz-content-sha256
  bool may_list = true;                // whoever signed it may list the bucket

  const std::string* header(std::string_view name) const { return find_header(headers, name); }
  std::string header_or(std::string_view name, std::string_view otherwise = {}) const {
    const std::string* const value = header(name);
    return value != nullptr ? *value : std::string(otherwise);
  }
  const std::string* argument(std::string_view name) const {
    for (const auto& [each, value] : query) {
      if (each == name) return &value;
    }
    return nullptr;
  }
};

struct Response {
  int status = 200;
  std::string code;  // of an error
  std::vector<Header> headers;
  Rope body;

  Response& with(std::string name, std::string value) {
    headers.push_back({std::move(name), std::move(value)});
    return *this;
  }
  Response& with(const std::vector<Header>& more) {
    headers.insert(headers.end(), more.begin(), more.end());
    return *this;
  }
  bool is_error() const { return status >= 300; }
};

// Nothing: all is well, go on.
using Refusal = std::optional<Response>;

Response xml_answer(std::string document);
// The document names Code, Message, Resource and RequestId, and `more`. Who sends it adds x-amz-request-id and Date.
Response error_answer(int status, std::string_view code, std::string_view message,
                      const std::vector<std::pair<std::string, std::string>>& more = {});
// The same for a header or argument that the twin does not know: it says which, because that is a mistake of ours.
Response not_implemented(std::string_view what);

// Takes target, host and method apart; refuses what cannot be meant. `base_domain`: hosts "x.<base_domain>" name the
// bucket x.
Refusal understand(Request& request, std::string_view base_domain);

}  // namespace cairn::twin
