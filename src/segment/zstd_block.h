// One block: an independent zstd frame with content size and checksum.
#pragma once

#include <cstdint>
#include <memory>

#include "segment/format.h"

typedef struct ZSTD_CCtx_s ZSTD_CCtx;
typedef struct ZSTD_DCtx_s ZSTD_DCtx;

namespace cairn::segment {

// zstd's own range of levels; a level outside it would be clamped silently.
bool is_valid_level(int level);

// Compresses one block at a time. Costs about 1.5 MiB at level 3 with blocks of 256 KiB; made once, used for many.
class BlockCompressor {
 public:
  explicit BlockCompressor(int level);
  // `raw` as one zstd frame. Equal bytes give equal frames, whatever was compressed before.
  Result<Bytes> compress(ByteView raw);

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const;
  };
  std::unique_ptr<ZSTD_CCtx, Free> context_;
  Bytes scratch_;  // the result is copied out of it, so that a waiting block occupies only its compressed size
};

// The time of processors, in microseconds, that this process has spent compressing blocks. Any thread.
std::int64_t compression_cpu_us();

// Decompresses blocks that may be damaged.
class BlockDecompressor {
 public:
  BlockDecompressor();
  // `frame` must be exactly one frame, as BlockCompressor makes them, and fill `into` exactly.
  Result<void> decompress(ByteView frame, std::span<std::byte> into);

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const;
  };
  std::unique_ptr<ZSTD_DCtx, Free> context_;
};

}  // namespace cairn::segment
