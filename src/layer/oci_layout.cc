#include "layer/oci_layout.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/os.h"
#include "base/parallel.h"
#include "layer/confined.h"
#include "layer/sha256.h"

namespace cairn::layer {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kConfigType = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kZstdType = "application/vnd.oci.image.layer.v1.tar+zstd";
constexpr std::string_view kGzipType = "application/vnd.oci.image.layer.v1.tar+gzip";
constexpr std::uint64_t kPieceBytes = 4u << 20;

// A blob holds files of any mode, so it and its folders are nobody else's business. Who copies or runs the image as
// another user opens it to them.
Result<FileDescriptor> make_directory(int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0700) != 0) return os_error(errno, "making " + name);
  const int fd = open_confined(parent, name.c_str(), O_RDONLY | O_DIRECTORY);
  if (fd < 0) return os_error(errno, "opening " + name);
  return FileDescriptor(fd);
}

Result<FileDescriptor> make_file(int directory, const std::string& name) {
  const int fd = open_confined(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0) return os_error(errno, "making " + name);
  return FileDescriptor(fd);
}

Result<void> write_file(int directory, const std::string& name, std::string_view text) {
  CAIRN_ASSIGN(const FileDescriptor file, make_file(directory, name));
  return write_all_at(file.get(), 0, as_bytes(text), name);
}

std::string architecture() {
  utsname names{};
  if (::uname(&names) != 0) return "unknown";
  const std::string_view machine = names.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return std::string(machine);
}

// What one request brings: some frames, or (without any) what stands behind the last one.
struct Piece {
  std::uint64_t first = 0, count = 0;
  std::uint64_t offset = 0, length = 0;
};

std::vector<Piece> pieces_of(const LayerReader& layer, LayerCompression compression) {
  std::vector<Piece> pieces;
  const auto& frames = layer.frames();
  for (std::uint64_t i = 0; i < frames.size(); ++i) {
    if (pieces.empty() || pieces.back().length + frames[i].compressed_bytes > kPieceBytes)
      pieces.push_back({i, 0, frames[i].offset, 0});
    ++pieces.back().count;
    pieces.back().length += frames[i].compressed_bytes;
  }
  if (compression == LayerCompression::gzip) return pieces;  // of the tar alone
  const std::uint64_t size = layer.object_size_bytes();
  for (std::uint64_t at = frames.back().offset + frames.back().compressed_bytes; at < size;) {
    pieces.push_back({0, 0, at, std::min(kPieceBytes, size - at)});
    at += pieces.back().length;
  }
  return pieces;
}

// Appends a gzip member that holds `bytes`; members one behind the other are one file (RFC 1952). Its header has
// neither name nor time: the same bytes each time.
Result<void> append_gzip(ByteView bytes, Bytes& into) {
  constexpr int kGzipWindow = 15 + 16, kMemory = 8;  // as zlib.h has it; the default of deflateInit
  z_stream stream{};
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    return Error(ErrorKind::io, "there is no memory for compressing a layer");
  const std::size_t before = into.size();
  into.resize(before + ::deflateBound(&stream, bytes.size()));
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));  // zlib.h: z_const only if asked
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(into.data() + before);
  stream.avail_out = static_cast<uInt>(into.size() - before);
  const int ended = ::deflate(&stream, Z_FINISH);
  into.resize(before + stream.total_out);
  ::deflateEnd(&stream);
  return ended == Z_STREAM_END ? Result<void>() : Error(ErrorKind::io, "a layer could not be compressed");
}

Result<Bytes> fetch_piece(Store& store, const LayerReader& layer, const Piece& piece, LayerCompression compression) {
  if (piece.count == 0) {
    CAIRN_ASSIGN(Object object, store.get(layer.key(), piece.offset, piece.length));
    if (object.bytes.size() == piece.length && object.info.size_bytes == layer.object_size_bytes())
      return std::move(object.bytes);
    return Error(ErrorKind::retry_later, fmt::format("{} was answered short: try again", layer.key()));
  }
  CAIRN_ASSIGN(Bytes stored, layer.fetch_frames(piece.first, piece.count));
  ByteView left = stored;
  Bytes frame, gzip;
  for (std::uint64_t i = piece.first; i < piece.first + piece.count; ++i) {
    const FrameInfo& info = layer.frames()[i];
    frame.resize(info.size_bytes);
    CAIRN_TRY(layer.decode_frame(i, left.first(info.compressed_bytes), frame));
    left = left.subspan(info.compressed_bytes);
    if (compression == LayerCompression::gzip) CAIRN_TRY(append_gzip(frame, gzip));
  }
  return compression == LayerCompression::gzip ? gzip : stored;
}

struct Descriptor {
  std::string_view type;
  std::string digest;
  std::uint64_t size_bytes = 0;

  Json json() const { return {{"mediaType", type}, {"digest", "sha256:" + digest}, {"size", size_bytes}}; }
};

class LayoutWriter {
 public:
  LayoutWriter(Store& store, int blobs, LayerCompression compression, Executor& transfers, const std::stop_token& stop,
               const std::function<void(std::uint64_t)>& progress)
      : store_(store), blobs_(blobs), compression_(compression), transfers_(transfers), stop_(stop),
        progress_(progress) {}

  // Pieces are fetched side by side, hashed and written in order.
  Result<Descriptor> layer(const LayerReader& layer) {
    static constexpr const char* kTemporary = "blob";
    CAIRN_ASSIGN(const FileDescriptor file, make_file(blobs_, kTemporary));
    Sha256 hash;
    const std::vector<Piece> pieces = pieces_of(layer, compression_);
    std::vector<Bytes> batch(static_cast<std::size_t>(std::max(1, transfers_.width())));
    for (std::size_t first = 0; first < pieces.size(); first += batch.size()) {
      const std::size_t count = std::min(batch.size(), pieces.size() - first);
      CAIRN_TRY(parallel_for(transfers_, count, [&](std::uint64_t i) -> Result<void> {
        CAIRN_ASSIGN(batch[i], fetch_piece(store_, layer, pieces[first + i], compression_));
        return {};
      }, stop_));
      for (std::size_t i = 0; i < count; ++i) {
        CAIRN_TRY(write_all_at(file.get(), hash.size_bytes(), batch[i], layer.key()));
        hash.add(batch[i]);
        done_bytes_ += pieces[first + i].length;
      }
      if (progress_) progress_(done_bytes_);
    }
    const std::string_view type = compression_ == LayerCompression::gzip ? kGzipType : kZstdType;
    const Descriptor blob{type, hex_of(hash.value()), hash.size_bytes()};
    if (::renameat(blobs_, kTemporary, blobs_, blob.digest.c_str()) != 0) return os_error(errno, "naming a blob");
    return blob;
  }

  Result<Descriptor> document(std::string_view type, const Json& json) {
    const std::string text = json.dump();
    Sha256 hash;
    hash.add(as_bytes(text));
    const Descriptor blob{type, hex_of(hash.value()), text.size()};
    CAIRN_TRY(write_file(blobs_, blob.digest, text));
    return blob;
  }

 private:
  Store& store_;
  const int blobs_;
  const LayerCompression compression_;
  Executor& transfers_;
  const std::stop_token& stop_;
  const std::function<void(std::uint64_t)>& progress_;
  std::uint64_t done_bytes_ = 0;
};

Json config_of(const std::vector<SyncRecord>& chain) {
  Json config;
  config["created"] = format_time(chain.back().time_ms);
  config["architecture"] = architecture();
  config["os"] = "linux";
  config["config"] = Json::object();
  config["rootfs"] = {{"type", "layers"}, {"diff_ids", Json::array()}};
  config["history"] = Json::array();
  for (const SyncRecord& sync : chain) {
    config["rootfs"]["diff_ids"].push_back("sha256:" + sync.layer.digest);
    config["history"].push_back({{"created", format_time(sync.time_ms)},
                                 {"created_by", fmt::format("cairn layer sync ({})", sync.sequence)}});
  }
  return config;
}

}  // namespace

Result<void> write_oci_layout(Store& store, const std::vector<SyncRecord>& chain,
                              const std::vector<const LayerReader*>& layers, int directory, const std::string& name,
                              LayerCompression compression, Executor& transfers, const std::stop_token& stop,
                              const std::function<void(std::uint64_t done_bytes)>& progress) {
  CAIRN_ASSIGN(const FileDescriptor root, make_directory(directory, name));
  CAIRN_ASSIGN(const FileDescriptor blobs, make_directory(root.get(), "blobs"));
  CAIRN_ASSIGN(const FileDescriptor sha256, make_directory(blobs.get(), "sha256"));
  if (::fchmod(root.get(), 0700) != 0) return os_error(errno, "setting the mode of the layout");
  LayoutWriter writer(store, sha256.get(), compression, transfers, stop, progress);

  Json manifest = {{"schemaVersion", 2}, {"mediaType", kManifestType}};
  CAIRN_ASSIGN(const Descriptor config, writer.document(kConfigType, config_of(chain)));
  manifest["config"] = config.json();
  manifest["layers"] = Json::array();
  for (const LayerReader* layer : layers) {
    CAIRN_ASSIGN(const Descriptor blob, writer.layer(*layer));
    manifest["layers"].push_back(blob.json());
  }
  CAIRN_ASSIGN(const Descriptor image, writer.document(kManifestType, manifest));
  Json entry = image.json();
  entry["annotations"] = {{"org.opencontainers.image.ref.name", "latest"}};
  const Json index = {{"schemaVersion", 2}, {"mediaType", kIndexType}, {"manifests", Json::array({entry})}};
  CAIRN_TRY(write_file(root.get(), "index.json", index.dump()));
  return write_file(root.get(), "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

}  // namespace cairn::layer
