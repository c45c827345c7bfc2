// bench_merge: merges against zstd alone, taking turns, and what each took as one line of JSON.
//
// Both sides decompress the same frames of the same inputs and compress the same bytes of the same output, at the same
// level, on as many threads. zstd alone does nothing else; a merge also checks every page's hash, finds the newest
// versions, lays down WAL files with their running checksums, and writes footers.
#include <fmt/format.h>
#include <sys/resource.h>
#include <zstd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/executor.h"
#include "base/files.h"
#include "base/parallel.h"
#include "segment/merge.h"
#include "segment/reader.h"
#include "segment/writer.h"

namespace {

using namespace cairn;
using segment::ObjectKind;

constexpr const char* kUsage = R"(usage: bench_merge DATABASE [--OPTION VALUE]...

--segments N      how many level-0 segments are merged (default 300)
--pages N         pages of each, drawn from the database at random (default 200)
--kind KIND       bundle or squashed (default bundle)
--runs N          (default 5)
--level N         zstd's (default 3)
--memory-mib N    of pages at once (default 64)
)";

[[noreturn]] void die(const std::string& message) {
  fmt::print(stderr, "bench_merge: {}\n", message);
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) die(result.error().message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class BytesSink final : public segment::Sink {
 public:
  Result<void> write(ByteView part) override {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return {};
  }
  Bytes bytes;
};

// Where the bytes go is nobody's work here: zstd's side keeps none either.
class CountingSink final : public segment::Sink {
 public:
  Result<void> write(ByteView part) override {
    size_bytes += part.size();
    return {};
  }
  std::size_t size_bytes = 0;
};

class Database {
 public:
  explicit Database(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text.size() < 512) die(path + " is no database");
    bytes_.assign(as_bytes(text).begin(), as_bytes(text).end());
    const std::uint32_t stored = load_be16(bytes_.data() + 16);
    page_size_ = stored == 1 ? 65536 : stored;
  }
  std::uint32_t page_size() const { return page_size_; }
  std::uint32_t page_count() const { return static_cast<std::uint32_t>(bytes_.size() / page_size_); }
  ByteView page(std::uint32_t number) const {
    return ByteView(bytes_).subspan(std::size_t{number - 1} * page_size_, page_size_);
  }

 private:
  Bytes bytes_;
  std::uint32_t page_size_ = 0;
};

// Each a commit of that many pages, which get the contents of other pages of the database.
class Segments {
 public:
  Segments(const Database& database, std::uint32_t count, std::uint32_t pages, Executor& executor) {
    std::mt19937_64 random(1);
    for (std::uint32_t i = 1; i <= count; ++i) {
      BytesSink sink;
      write(database, i, pages, random, sink, executor);
      objects_.push_back(std::make_unique<Bytes>(std::move(sink.bytes)));
      sources_.push_back(std::make_unique<BytesSource>(*objects_.back()));
      readers_.push_back(must(segment::ObjectReader::open(*sources_.back(), fmt::format("segment {}", i))));
    }
  }
  std::vector<segment::ObjectReader*> readers() const {
    std::vector<segment::ObjectReader*> all;
    for (const auto& reader : readers_) all.push_back(reader.get());
    return all;
  }
  ByteView object(std::size_t i) const { return *objects_[i]; }

 private:
  void write(const Database& database, std::uint32_t number, std::uint32_t pages, std::mt19937_64& random,
             BytesSink& sink, Executor& executor) {
    std::map<std::uint32_t, std::uint32_t> contents;  // page, and the page that it is a copy of
    const auto any_page = [&] { return static_cast<std::uint32_t>(1 + random() % database.page_count()); };
    while (contents.size() < pages) contents[any_page()] = any_page();
    segment::ObjectHead head;
    head.page_size = database.page_size();
    head.first = head.last = Sequence(number);
    head.hash_before = hash_;
    const auto writer = must(segment::SegmentWriter::open(head, sink, executor));
    for (const auto& [page, of] : contents) {
      const std::uint64_t hash = segment::page_hash(PageNo(page), database.page(of));
      must(writer->add_page(PageNo(page), database.page(of), hash));
      hash_ ^= hashes_[page] ^ hash;
      hashes_[page] = hash;
    }
    must(writer->end_run({Sequence(number), number, 1, 0, database.page_count(), hash_}));
    must(writer->finish());
  }

  std::uint64_t hash_ = 0;
  std::map<std::uint32_t, std::uint64_t> hashes_;
  std::vector<std::unique_ptr<Bytes>> objects_;
  std::vector<std::unique_ptr<BytesSource>> sources_;
  std::vector<std::unique_ptr<segment::ObjectReader>> readers_;
};

// zstd's contexts, one pair a thread.
struct Contexts {
  ZSTD_DCtx* in = ZSTD_createDCtx();
  ZSTD_CCtx* out = ZSTD_createCCtx();
  Bytes buffer;
  ~Contexts() {
    ZSTD_freeDCtx(in);
    ZSTD_freeCCtx(out);
  }
};

struct Frame {
  ByteView bytes;  // compressed, to be decompressed; or raw, to be compressed
  std::size_t raw_bytes = 0;
  bool compressed = false;
};

void zstd_alone(const std::vector<Frame>& frames, int level, Executor& executor) {
  must(parallel_for(executor, frames.size(), [&](std::uint64_t i) -> Result<void> {
    thread_local Contexts contexts;
    const Frame& frame = frames[i];
    contexts.buffer.resize(std::max(contexts.buffer.size(), ZSTD_compressBound(frame.raw_bytes)));
    std::size_t size = 0;
    if (frame.compressed) {
      size = ZSTD_decompressDCtx(contexts.in, contexts.buffer.data(), frame.raw_bytes, frame.bytes.data(),
                                 frame.bytes.size());
    } else {
      ZSTD_CCtx_setParameter(contexts.out, ZSTD_c_compressionLevel, level);
      ZSTD_CCtx_setParameter(contexts.out, ZSTD_c_checksumFlag, 1);
      size = ZSTD_compress2(contexts.out, contexts.buffer.data(), contexts.buffer.size(), frame.bytes.data(),
                            frame.bytes.size());
    }
    if (ZSTD_isError(size)) die(ZSTD_getErrorName(size));
    return {};
  }));
}

// What a merge makes of the segments, and the frames that zstd has to go through for it.
struct Work {
  Work(const Segments& segments, ObjectKind kind, Executor& executor, const segment::MergeOptions& options) {
    const auto readers = segments.readers();
    must(segment::merge(readers, kind, output, executor, options));
    for (std::size_t i = 0; i < readers.size(); ++i) {
      stored_bytes += readers[i]->object_size_bytes();
      for (const segment::BlockInfo& block : readers[i]->blocks()) {
        frames.push_back({segments.object(i).subspan(block.offset, block.compressed_bytes), block.size_bytes, true});
        in_bytes += block.size_bytes;
      }
    }
    const BytesSource source(output.bytes);
    const auto reader = must(segment::ObjectReader::open(source, "the output"));
    blocks = must(reader->read_blocks(0, static_cast<std::uint32_t>(reader->blocks().size())));
    for (const Bytes& block : blocks) {
      frames.push_back({block, block.size(), false});
      out_bytes += block.size();
    }
  }

  BytesSink output;
  std::vector<Bytes> blocks;  // of the output, as they were before compression
  std::vector<Frame> frames;
  std::uint64_t in_bytes = 0, out_bytes = 0, stored_bytes = 0;
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds_now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Side {
  std::string seconds, cpu_seconds;
  template <class Act>
  void measure(Act act) {
    const double wall = seconds_now(), cpu = cpu_seconds_now();
    act();
    const char* comma = seconds.empty() ? "" : ", ";
    seconds += fmt::format("{}{:.4f}", comma, seconds_now() - wall);
    cpu_seconds += fmt::format("{}{:.4f}", comma, cpu_seconds_now() - cpu);
  }
};

}  // namespace

int main(int count, char** words) {
  if (count < 2 || count % 2 != 0) die(kUsage);
  std::map<std::string, std::string> options;
  for (int i = 2; i < count; i += 2) options[words[i]] = words[i + 1];
  const auto number = [&](const char* name, int otherwise) {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : std::stoi(found->second);
  };
  const ObjectKind kind = options["--kind"] == "squashed" ? ObjectKind::squashed : ObjectKind::bundle;
  segment::MergeOptions merging;
  merging.level = number("--level", 3);
  merging.memory_bytes = static_cast<std::uint64_t>(number("--memory-mib", 64)) << 20;
  const auto files = make_real_file_system();
  merging.open_scratch = [&] { return open_unnamed(*files, std::string(words[1]) + "-merging"); };

  const Database database(words[1]);
  const auto executor = make_thread_pool(0);
  const Segments segments(database, static_cast<std::uint32_t>(number("--segments", 300)),
                          static_cast<std::uint32_t>(number("--pages", 200)), *executor);

  const Work work(segments, kind, *executor, merging);

  Side zstd, merge;
  for (int run = 0; run <= number("--runs", 5); ++run) {
    if (run == 1) zstd = merge = {};  // the first round only makes the machine's memory its own
    zstd.measure([&] { zstd_alone(work.frames, merging.level, *executor); });
    merge.measure([&] {
      CountingSink sink;
      must(segment::merge(segments.readers(), kind, sink, *executor, merging));
      if (sink.size_bytes != work.output.bytes.size()) die("two merges of the same segments differ");
    });
  }
  fmt::print(R"({{"in_bytes": {}, "out_bytes": {}, "stored_in_bytes": {}, "stored_out_bytes": {}, )"
             R"("zstd_s": [{}], "merge_s": [{}], "zstd_cpu_s": [{}], "merge_cpu_s": [{}]}})" "\n",
             work.in_bytes, work.out_bytes, work.stored_bytes, work.output.bytes.size(), zstd.seconds, merge.seconds,
             zstd.cpu_seconds, merge.cpu_seconds);
  return 0;
}
