#include "segment/zstd_block.h"

#include <fmt/format.h>
#include <zstd.h>

#include <atomic>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

namespace cairn::segment {
namespace {

constexpr std::size_t kFrameHeaderByte = 4;         // the frame header descriptor, behind the magic
constexpr auto kDescriptorChecksum = std::byte{0x04};
constexpr auto kDescriptorReserved = std::byte{0x18};    // unused and reserved bits
constexpr auto kDescriptorDictionary = std::byte{0x03};

// What zstd itself does not insist on: that the frame has a checksum, and nothing that our frames never have. Without
// this a flipped bit could switch the check off.
bool has_expected_header(ByteView frame) {
  if (frame.size() < 9 || load_le<std::uint32_t>(frame.data()) != ZSTD_MAGICNUMBER) return false;
  std::byte descriptor = frame[kFrameHeaderByte];
  return (descriptor & kDescriptorChecksum) != std::byte{} &&
         (descriptor & (kDescriptorReserved | kDescriptorDictionary)) == std::byte{};
}

std::atomic<std::int64_t> g_compression_cpu_us = 0;

}  // namespace

std::int64_t compression_cpu_us() { return g_compression_cpu_us; }

bool is_valid_level(int level) { return level >= ZSTD_minCLevel() && level <= ZSTD_maxCLevel(); }

void BlockCompressor::Free::operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }

BlockCompressor::BlockCompressor(int level) : context_(ZSTD_createCCtx()) {
  CAIRN_CHECK(context_ != nullptr);  // out of memory
  std::size_t level_set = ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
  std::size_t checksum_set = ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  CAIRN_CHECK(!ZSTD_isError(level_set) && !ZSTD_isError(checksum_set));
}

Result<Bytes> BlockCompressor::compress(ByteView raw) {
  const std::int64_t begun_us = thread_cpu_us();
  std::size_t bound = ZSTD_compressBound(raw.size());
  if (scratch_.size() < bound) scratch_.resize(bound);
  std::size_t size = ZSTD_compress2(context_.get(), scratch_.data(), scratch_.size(), raw.data(), raw.size());
  g_compression_cpu_us += thread_cpu_us() - begun_us;
  if (ZSTD_isError(size))
    return Error(ErrorKind::io, fmt::format("cannot compress a block of {} bytes: {}; is memory short?", raw.size(),
                                            ZSTD_getErrorName(size)));
  return Bytes(scratch_.begin(), scratch_.begin() + static_cast<std::ptrdiff_t>(size));
}

void BlockDecompressor::Free::operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }

BlockDecompressor::BlockDecompressor() : context_(ZSTD_createDCtx()) { CAIRN_CHECK(context_ != nullptr); }

Result<void> BlockDecompressor::decompress(ByteView frame, std::span<std::byte> into) {
  if (!has_expected_header(frame)) return Error(ErrorKind::corrupt, "it is not a zstd frame with a checksum");
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != into.size())
    return Error(ErrorKind::corrupt, "its size differs from the footer's");
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size())
    return Error(ErrorKind::corrupt, "it does not end where the next one begins");
  std::size_t size = ZSTD_decompressDCtx(context_.get(), into.data(), into.size(), frame.data(), frame.size());
  if (ZSTD_isError(size)) return Error(ErrorKind::corrupt, ZSTD_getErrorName(size));
  if (size != into.size()) return Error(ErrorKind::corrupt, "its size differs from the footer's");
  return {};
}

}  // namespace cairn::segment
