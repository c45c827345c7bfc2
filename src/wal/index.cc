// Reading the WAL-index while other processes write to it.
//
// A writer stores the second copy of the header, then, behind a barrier, the first. A reader that loads the first and
// then, behind a barrier, the second, and finds them equal, has a header that was whole at some moment between the two
// loads. The header's own checksum guards against a writer that died between its stores. What stands behind the
// copies (how much is backfilled, the read marks) has no copy and changes on its own, in single words; to be sure that
// it was read while that header was the current one, the first copy is compared once more afterwards.
//
// One disagreement remains possible and is passed on: a writer that restarts the WAL stores the new header first and
// sets `backfilled` to 0 after it. For that moment `backfilled` is greater than `max_frame`. So `backfilled ==
// max_frame` never holds by mistake when max_frame is not 0.
#include <atomic>
#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "wal/wal.h"

namespace cairn::wal {
namespace {

constexpr std::uint32_t kIndexVersion = 3007000;
constexpr std::size_t kHeaderWords = 12;  // of one copy; the last two are its checksum
constexpr std::size_t kSummedBytes = 40;
constexpr std::size_t kBackfilledWord = 24;
constexpr std::size_t kReadMarksWord = 25;
constexpr std::size_t kAttemptedWord = 32;

using HeaderWords = std::array<std::uint32_t, kHeaderWords>;

// One load a word: a word is never seen half written.
std::uint32_t load_word(const volatile std::uint32_t* words, std::size_t at) {
  return __atomic_load_n(words + at, __ATOMIC_RELAXED);
}

HeaderWords load_copy(const volatile std::uint32_t* words, std::size_t copy) {
  HeaderWords header;
  for (std::size_t i = 0; i < kHeaderWords; ++i) header[i] = load_word(words, copy * kHeaderWords + i);
  return header;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"  // a fence is invisible to the thread sanitizer; the loads are atomic anyway
#endif
void barrier() { std::atomic_thread_fence(std::memory_order_seq_cst); }
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

// Salts are copied into the index as they stand in the WAL file, bytes and not numbers.
std::uint32_t as_in_file(std::uint32_t word) { return load_be32(reinterpret_cast<const std::byte*>(&word)); }

// 65536 is kept as 1. Nothing: not a page size.
std::optional<std::uint32_t> decode_page_size(std::uint32_t stored) {
  const std::uint32_t size = stored == 1 ? 65536 : stored;
  if (size < 512 || !std::has_single_bit(size)) return std::nullopt;
  return size;
}

bool is_whole(const HeaderWords& header) {
  const std::uint32_t initialised = header[3] & 0xff;
  if (initialised == 0 || header[0] != kIndexVersion) return false;
  const auto bytes = std::as_bytes(std::span(header));
  return checksum(ByteOrder::little, {}, bytes.first(kSummedBytes)) == Checksum{header[10], header[11]};
}

}  // namespace

IndexState read_index(const volatile void* shared, IndexHeader& out) {
  const auto* words = static_cast<const volatile std::uint32_t*>(shared);
  const HeaderWords header = load_copy(words, 0);
  barrier();
  if (load_copy(words, 1) != header || !is_whole(header)) return IndexState::not_ready;
  barrier();

  IndexHeader found;
  found.change = header[2];
  found.max_frame = FrameNo(header[4]);
  found.page_count = header[5];
  found.frame_sum = {header[6], header[7]};
  found.salts = {as_in_file(header[8]), as_in_file(header[9])};
  // A database without a WAL has no page size here yet; with frames there must be one.
  const std::uint32_t stored_size = header[3] >> 16;
  const auto page_size = decode_page_size(stored_size);
  if (!page_size && (stored_size != 0 || found.max_frame.value != 0)) return IndexState::not_ready;
  found.page_size = page_size.value_or(0);

  found.backfilled = FrameNo(load_word(words, kBackfilledWord));
  found.attempted = FrameNo(load_word(words, kAttemptedWord));
  for (std::size_t i = 0; i < found.read_marks.size(); ++i) found.read_marks[i] = load_word(words, kReadMarksWord + i);
  barrier();
  if (load_copy(words, 0) != header) return IndexState::not_ready;
  out = found;
  return IndexState::ok;
}

}  // namespace cairn::wal
