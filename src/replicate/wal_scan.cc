#include "replicate/wal_scan.h"

#include <algorithm>

#include "fmt/format.h"

namespace cairn::replicate {
namespace {

constexpr std::size_t kChunkBytes = 4 << 20;

// Where to begin: behind `from` if it lies in this WAL, else at the start. False: the two do not fit together.
bool begin_at(const wal::Header& header, const WalPosition& from, const wal::IndexHeader& upto, Scan& scan) {
  if (header.salts != upto.salts || header.page_size != upto.page_size) return false;
  scan.page_size = header.page_size;
  if (from.frame.value != 0 && from.salts == upto.salts) {
    scan.outcome = ScanOutcome::commits;
    scan.end = from;
    return from.frame <= upto.max_frame;
  }
  scan.outcome = from.frame.value == 0 ? ScanOutcome::commits : ScanOutcome::restarted;
  scan.end = WalPosition{header.salts, FrameNo(0), header.sum};
  return true;
}

// Checks the frames in `chunk` and adds them; false at the first that does not belong.
Result<bool> take_frames(const wal::Header& header, ByteView chunk, Scan& scan) {
  const std::size_t frame_bytes = wal::kFrameHeaderSize + header.page_size;
  for (; chunk.size() >= frame_bytes; chunk = chunk.subspan(frame_bytes)) {
    const auto frame = wal::check_indexed_frame(header, scan.end.sum, chunk.first(frame_bytes));
    if (!frame) return false;
    scan.end.frame = scan.end.frame.next();
    scan.end.sum = frame->sum;
    CAIRN_TRY(scan.pages.add({frame->page, scan.end.frame}));
    scan.page_count = frame->commit_page_count;  // of the last frame alone: it must be a commit
    if (frame->commit_page_count == 0) continue;
    ++scan.commit_count;
    const bool least = scan.commit_count == 1 || frame->commit_page_count < scan.least_page_count;
    if (least) scan.least_page_count = frame->commit_page_count;
  }
  return true;
}

Scan hole() {
  Scan scan;
  scan.outcome = ScanOutcome::hole;
  return scan;
}

}  // namespace

Result<Scan> scan_wal(sqlite::Database& database, const WalPosition& from, const wal::IndexHeader& upto,
                      const ScratchSpace& scratch) {
  Scan scan;
  scan.pages = WrittenPages(scratch);
  if (upto.max_frame.value == 0 || (upto.salts == from.salts && upto.max_frame == from.frame)) return scan;

  std::array<std::byte, wal::kHeaderSize> start{};
  CAIRN_ASSIGN(const std::size_t got, database.read_wal(0, start));
  auto header = wal::parse_header(ByteView(start).first(got));
  if (!header || !begin_at(*header, from, upto, scan)) return hole();

  const std::size_t frame_bytes = wal::kFrameHeaderSize + header->page_size;
  const std::size_t frames_a_chunk = std::max<std::size_t>(1, kChunkBytes / frame_bytes);
  scan.first = scan.end.frame.next();
  Bytes chunk;
  while (scan.end.frame < upto.max_frame) {
    const std::size_t count = std::min<std::size_t>(frames_a_chunk, upto.max_frame.value - scan.end.frame.value);
    chunk.resize(count * frame_bytes);
    CAIRN_ASSIGN(const std::size_t read,
                 database.read_wal(wal::frame_offset(scan.end.frame.next(), header->page_size), chunk));
    if (read != chunk.size()) return hole();
    CAIRN_ASSIGN(const bool belong, take_frames(*header, chunk, scan));
    if (!belong) return hole();
  }
  if (scan.page_count == 0) return hole();  // the index promises a commit there
  scan.pages.finish(scan.page_count);
  if (scan.end.frame.value - scan.first.value < frames_a_chunk) scan.kept = std::move(chunk);
  return scan;
}

Result<void> read_frame_page(sqlite::Database& database, FrameNo frame, std::uint32_t page_size,
                             std::span<std::byte> into) {
  const std::uint64_t offset = wal::frame_offset(frame, page_size) + wal::kFrameHeaderSize;
  CAIRN_ASSIGN(const std::size_t got, database.read_wal(offset, into));
  if (got != into.size()) {
    return Error(ErrorKind::io, fmt::format("{}-wal ends inside frame {}", database.path(), frame.value));
  }
  return {};
}

Result<bool> wal_continues(sqlite::Database& database, const WalPosition& position, std::uint32_t page_size) {
  if (position.frame.value == 0) return false;
  std::array<std::byte, wal::kFrameHeaderSize> bytes{};
  CAIRN_ASSIGN(const std::size_t got, database.read_wal(wal::frame_offset(position.frame, page_size), bytes));
  if (got != bytes.size()) return false;
  const wal::FrameHeader frame = wal::parse_frame_header(bytes);
  return frame.salts == position.salts && frame.sum == position.sum && frame.commit_page_count != 0;
}

}  // namespace cairn::replicate
