// A record is a length of 8 bytes, a length of 8 bytes, so many bytes of CBOR and so many bytes of body, in order; all
// numbers little-endian. The process may be killed at any moment, the machine may not: nothing is synced.
#include "twin/journal.h"

#include <array>

#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace cairn::twin {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLengthsBytes = 16;

// Strings are bytes here; CBOR's writer does not look whether they are text.
json json_of(const std::optional<Checksum>& checksum) {
  if (!checksum) return nullptr;
  return {static_cast<int>(checksum->algorithm), checksum->value, static_cast<int>(checksum->type), checksum->parts};
}

std::optional<Checksum> checksum_of(const json& value) {
  if (value.is_null()) return std::nullopt;
  return Checksum{static_cast<Algorithm>(value[0].get<int>()), value[1].get<std::string>(),
                  static_cast<ChecksumType>(value[2].get<int>()), value[3].get<std::size_t>()};
}

std::vector<std::uint8_t> encode(const Change& change) {
  json headers = json::array();
  for (const Header& header : change.attributes.headers) headers.push_back({header.name, header.value});
  return json::to_cbor(json{
      {"kind", static_cast<int>(change.kind)},
      {"bucket", change.bucket},
      {"key", change.key},
      {"upload", change.upload_id},
      {"etag", change.etag},
      {"time", change.time_ms},
      {"number", change.number},
      {"numbers", change.numbers},
      {"headers", headers},
      {"customer", change.attributes.customer_key_md5},
      {"checksum", json_of(change.checksum)},
      {"algorithm", change.algorithm ? static_cast<int>(*change.algorithm) : -1},
      {"type", static_cast<int>(change.type)},
  });
}

Change decode(ByteView bytes) {
  const auto* const first = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const json value = json::from_cbor(first, first + bytes.size());
  Change change;
  change.kind = static_cast<Change::Kind>(value["kind"].get<int>());
  change.bucket = value["bucket"];
  change.key = value["key"];
  change.upload_id = value["upload"];
  change.etag = value["etag"];
  change.time_ms = value["time"];
  change.number = value["number"];
  change.numbers = value["numbers"].get<std::vector<int>>();
  for (const json& header : value["headers"]) change.attributes.headers.push_back({header[0], header[1]});
  change.attributes.customer_key_md5 = value["customer"];
  change.checksum = checksum_of(value["checksum"]);
  if (value["algorithm"] != -1) change.algorithm = static_cast<Algorithm>(value["algorithm"].get<int>());
  change.type = static_cast<ChecksumType>(value["type"].get<int>());
  return change;
}

// Nothing at the end, or where the last record was not written whole.
Result<std::optional<Change>> read_record(const File& file, std::uint64_t size_bytes, std::uint64_t& at) {
  std::array<std::byte, kLengthsBytes> lengths{};
  if (at + kLengthsBytes > size_bytes) return std::optional<Change>();
  CAIRN_TRY(file.read_at(at, lengths));
  const auto head_bytes = load_le<std::uint64_t>(lengths.data());
  const auto body_bytes = load_le<std::uint64_t>(lengths.data() + 8);
  const std::uint64_t left = size_bytes - at - kLengthsBytes;
  if (head_bytes > left || body_bytes > left - head_bytes) return std::optional<Change>();
  Bytes head(head_bytes);
  CAIRN_TRY(file.read_at(at + kLengthsBytes, head));
  const std::shared_ptr<std::byte[]> body(new std::byte[body_bytes + 1]);
  CAIRN_TRY(file.read_at(at + kLengthsBytes + head_bytes, std::span(body.get(), body_bytes)));
  Change change = decode(head);
  change.body = Rope(body, body_bytes);
  at += kLengthsBytes + head_bytes + body_bytes;
  return std::optional<Change>(std::move(change));
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const std::string& directory,
                                               const std::function<void(const Change&)>& replay) {
  const std::unique_ptr<FileSystem> files = make_real_file_system();
  CAIRN_TRY(files->make_directories(directory));
  CAIRN_ASSIGN(std::unique_ptr<File> file, files->open(directory + "/journal", OpenMode::write));
  CAIRN_ASSIGN(const std::uint64_t size_bytes, file->size());
  std::uint64_t at = 0;
  for (;;) {
    CAIRN_ASSIGN(const std::optional<Change> change, read_record(*file, size_bytes, at));
    if (!change) break;
    replay(*change);
  }
  CAIRN_TRY(file->truncate(at));
  return std::unique_ptr<Journal>(new Journal(std::move(file), at));
}

Result<void> Journal::append(const Change& change) {
  const std::vector<std::uint8_t> head = encode(change);
  Bytes start(kLengthsBytes + head.size());
  store_le(start.data(), std::uint64_t{head.size()});
  store_le(start.data() + 8, change.body.size_bytes());
  std::copy_n(reinterpret_cast<const std::byte*>(head.data()), head.size(), start.data() + kLengthsBytes);
  std::uint64_t at = end_;
  CAIRN_TRY(file_->write_at(at, start));
  at += start.size();
  for (const ByteView piece : change.body.views()) {
    CAIRN_TRY(file_->write_at(at, piece));
    at += piece.size();
  }
  end_ = at;
  return {};
}

}  // namespace cairn::twin
