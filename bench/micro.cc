// The inner loops alone: what each can do on one core, and the segment writer and reader on all.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/executor.h"
#include "segment/format.h"
#include "segment/reader.h"
#include "segment/writer.h"
#include "wal/wal.h"

namespace {

using namespace cairn;

constexpr std::uint32_t kPageSize = 4096;

// Bytes that compress about threefold: words of a small alphabet between random ones.
Bytes page_like(std::uint64_t seed, std::size_t size_bytes) {
  Bytes bytes(size_bytes);
  std::uint64_t state = seed * 2 + 1;
  for (std::size_t i = 0; i < size_bytes; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    const auto high = static_cast<unsigned>(state >> 33);
    bytes[i] = static_cast<std::byte>(i / 16 % 2 == 0 ? 'a' + high % 4 : high % 256 < 96 ? 'e' : 'a' + high % 26);
  }
  return bytes;
}

void count_bytes(benchmark::State& state, std::size_t bytes_an_iteration) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(bytes_an_iteration));
}

void wal_checksum(benchmark::State& state) {
  const auto order = state.range(0) == 0 ? wal::ByteOrder::little : wal::ByteOrder::big;
  const Bytes page = page_like(1, kPageSize);
  wal::Checksum sum;
  for (auto _ : state) benchmark::DoNotOptimize(sum = wal::checksum(order, sum, page));
  count_bytes(state, kPageSize);
}
BENCHMARK(wal_checksum)->Arg(0)->Arg(1)->ArgName("big_endian");

void page_hash(benchmark::State& state) {
  const Bytes page = page_like(1, static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(segment::page_hash(PageNo(7), page));
  count_bytes(state, page.size());
}
BENCHMARK(page_hash)->Arg(512)->Arg(4096)->Arg(65536);

// What a capture does with every frame: salts, running checksum, page number.
void scan_frames(benchmark::State& state) {
  constexpr int kFrames = 1000;
  wal::Header header;
  header.page_size = kPageSize;
  header.salts = {1, 2};
  const auto start = wal::write_header(header);
  header = *wal::parse_header(start);
  Bytes frames;
  wal::Checksum sum = header.sum;
  for (std::uint32_t i = 1; i <= kFrames; ++i) {
    const Bytes page = page_like(i, kPageSize);
    const auto frame_header = wal::write_frame_header(header, PageNo(i), 0, page, sum);
    frames.insert(frames.end(), frame_header.begin(), frame_header.end());
    frames.insert(frames.end(), page.begin(), page.end());
  }
  constexpr std::size_t kFrameBytes = wal::kFrameHeaderSize + kPageSize;
  for (auto _ : state) {
    wal::Checksum before = header.sum;
    for (std::size_t at = 0; at < frames.size(); at += kFrameBytes) {
      const auto frame = wal::check_frame(header, before, ByteView(frames).subspan(at, kFrameBytes));
      if (!frame) return state.SkipWithError("a good frame was refused");
      before = frame->sum;
    }
  }
  count_bytes(state, frames.size());
}
BENCHMARK(scan_frames)->Unit(benchmark::kMillisecond);

class BytesSink : public segment::Sink {
 public:
  Result<void> write(ByteView more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {};
  }
  Bytes bytes;
};

class Pages {
 public:
  explicit Pages(std::uint32_t count) {
    for (std::uint32_t i = 1; i <= count; ++i) {
      pages_.push_back(page_like(i, kPageSize));
      hashes_.push_back(segment::page_hash(PageNo(i), pages_.back()));
    }
  }
  std::size_t size_bytes() const { return pages_.size() * kPageSize; }

  Result<void> write_segment(segment::Sink& sink, Executor& executor) const {
    segment::ObjectHead head;
    head.page_size = kPageSize;
    head.first = head.last = Sequence(1);
    CAIRN_ASSIGN(auto writer, segment::SegmentWriter::open(head, sink, executor));
    segment::RestorePoint point;
    point.sequence = Sequence(1);
    point.commit_count = 1;
    point.page_count = static_cast<std::uint32_t>(pages_.size());
    for (std::uint32_t i = 0; i < pages_.size(); ++i) {
      CAIRN_TRY(writer->add_page(PageNo(i + 1), pages_[i], hashes_[i]));
      point.hash_after ^= hashes_[i];
    }
    CAIRN_TRY(writer->end_run(point));
    auto footer = writer->finish();
    return footer ? Result<void>() : footer.error();
  }

 private:
  std::vector<Bytes> pages_;
  std::vector<std::uint64_t> hashes_;
};

// Pages of a segment: 1 is what a small commit costs, 4096 is 16 MiB.
void segment_write(benchmark::State& state) {
  const Pages pages(static_cast<std::uint32_t>(state.range(0)));
  const auto executor = make_thread_pool(0);
  for (auto _ : state) {
    BytesSink sink;
    if (!pages.write_segment(sink, *executor)) return state.SkipWithError("the segment was not written");
    benchmark::DoNotOptimize(sink.bytes.data());
  }
  count_bytes(state, pages.size_bytes());
}
BENCHMARK(segment_write)->Arg(1)->Arg(64)->Arg(4096)->Unit(benchmark::kMicrosecond)->UseRealTime();

void segment_verify(benchmark::State& state) {
  const Pages pages(static_cast<std::uint32_t>(state.range(0)));
  const auto executor = make_thread_pool(0);
  BytesSink sink;
  if (!pages.write_segment(sink, *executor)) return state.SkipWithError("the segment was not written");
  const BytesSource source(sink.bytes);
  for (auto _ : state) {
    auto reader = segment::ObjectReader::open(source, "segment");
    if (!reader || !segment::verify_object(**reader)) return state.SkipWithError("a good segment was refused");
  }
  count_bytes(state, pages.size_bytes());
}
BENCHMARK(segment_verify)->Arg(1)->Arg(64)->Arg(4096)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
