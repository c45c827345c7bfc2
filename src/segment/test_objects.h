// What the tests of this module share: sinks, made-up pages, and objects of every kind from a few lines.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "segment/format.h"
#include "segment/reader.h"
#include "segment/writer.h"

namespace cairn::segment::testing {

class BytesSink final : public Sink {
 public:
  Result<void> write(ByteView part) override {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return {};
  }
  Bytes bytes;
};

// A page that compresses to about half.
inline Bytes made_page(std::uint32_t page_size, std::uint64_t seed) {
  Bytes page(page_size);
  SeededRandom(seed).fill(page, 0x0F0F0F0F0F0F0F0F);
  return page;
}

using Pages = std::map<std::uint32_t, Bytes>;

struct MadeRun {
  Pages pages;
  std::uint32_t page_count = 0;
};

inline Id128 made_id(std::uint8_t first) {
  Id128 id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(first + i);
  return id;
}

inline ObjectHead made_head(ObjectKind kind, std::uint32_t page_size, std::uint64_t first, std::uint64_t last) {
  ObjectHead head;
  head.kind = kind;
  head.page_size = page_size;
  head.lineage = made_id(1);
  head.writer = made_id(101);
  head.first = Sequence(first);
  head.last = Sequence(last);
  head.first_time_ms = 1'700'000'000'000;
  head.last_time_ms = 1'700'000'000'999;
  head.hash_before = kind == ObjectKind::snapshot ? 0 : 0x1122334455667788;
  return head;
}

// The runs get the last sequences up to head.last, one each.
inline Result<Bytes> write_runs(const ObjectHead& head, const std::vector<MadeRun>& runs, Executor& executor,
                                int level = 1, ScratchSpace scratch = {}) {
  BytesSink sink;
  CAIRN_ASSIGN(auto writer, SegmentWriter::open(head, sink, executor, level, std::move(scratch)));
  std::uint64_t hash = head.hash_before;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const auto& [number, bytes] : runs[i].pages) {
      std::uint64_t of_page = page_hash(PageNo(number), bytes);
      hash ^= of_page;
      CAIRN_TRY(writer->add_page(PageNo(number), bytes, of_page));
    }
    RestorePoint point;
    point.sequence = Sequence(head.last.value + 1 + i - runs.size());
    point.time_ms = head.last_time_ms;
    point.commit_count = static_cast<std::uint32_t>(i + 1);
    point.page_count = runs[i].page_count;
    point.hash_after = hash;
    CAIRN_TRY(writer->end_run(point));
  }
  CAIRN_TRY(writer->finish());
  return std::move(sink.bytes);
}

// The hashes of a database, page after page; 0 for the lock-byte page.
inline std::vector<std::uint64_t> hashes_of(ByteView database, std::uint32_t page_size) {
  std::vector<std::uint64_t> hashes;
  for (std::uint32_t page = 1; !database.empty(); ++page, database = database.subspan(page_size)) {
    bool locked = PageNo(page) == lock_byte_page(page_size);
    hashes.push_back(locked ? 0 : page_hash(PageNo(page), database.first(page_size)));
  }
  return hashes;
}

inline RestorePoint snapshot_point(const ObjectHead& head, std::span<const std::uint64_t> hashes) {
  RestorePoint point;
  point.sequence = head.last;
  point.time_ms = head.last_time_ms;
  point.commit_count = 1;
  point.page_count = static_cast<std::uint32_t>(hashes.size());
  for (std::uint64_t hash : hashes) point.hash_after ^= hash;
  return point;
}

inline Result<Bytes> write_snapshot(const ObjectHead& head, ByteView database, Executor& executor, int level = 3) {
  BytesSink sink;
  CAIRN_ASSIGN(auto writer, SnapshotWriter::open(head, executor, level));
  const std::size_t block = std::size_t{pages_per_block(head.page_size)} * head.page_size;
  std::vector<std::uint64_t> hashes = hashes_of(database, head.page_size);
  while (!database.empty()) {
    if (!writer->room()) {
      CAIRN_TRY(writer->drain(sink, 1000));
      continue;
    }
    ByteView part = database.first(std::min(block, database.size()));
    writer->add(Bytes(part.begin(), part.end()));
    database = database.subspan(part.size());
  }
  writer->end(snapshot_point(head, hashes), hashes);
  for (;;) {
    CAIRN_ASSIGN(bool complete, writer->drain(sink, 1000));
    if (complete) return std::move(sink.bytes);
  }
}

inline Bytes made_database(std::uint32_t page_size, std::uint32_t page_count, std::uint64_t seed) {
  Bytes database;
  for (std::uint32_t page = 1; page <= page_count; ++page) {
    Bytes bytes = made_page(page_size, seed * 1'000'003 + page);
    database.insert(database.end(), bytes.begin(), bytes.end());
  }
  return database;
}

// Pages 1, 1+step, 1+2*step ... of a database with `page_count` pages.
inline MadeRun made_run(std::uint32_t page_size, std::uint32_t page_count, std::uint32_t step, std::uint64_t seed) {
  MadeRun run;
  run.page_count = page_count;
  for (std::uint32_t page = 1; page <= page_count; page += step)
    run.pages[page] = made_page(page_size, seed * 1'000'003 + page);
  return run;
}

// Opens an object and reads all of it: the decompressed data.
inline Result<Bytes> read_all(ObjectReader& reader) {
  Bytes data;
  CAIRN_ASSIGN(std::vector<Bytes> blocks, reader.read_blocks(0, static_cast<std::uint32_t>(reader.blocks().size())));
  for (const Bytes& block : blocks) data.insert(data.end(), block.begin(), block.end());
  return data;
}

inline Result<Footer> open_and_verify(ByteView object, const std::string& name = "object") {
  BytesSource source(object);
  CAIRN_ASSIGN(auto reader, ObjectReader::open(source, name));
  return verify_object(*reader);
}

// A folder that goes with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = ::testing::TempDir() + "cairn-segment-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void write_whole_file(const std::string& path, ByteView bytes);
Bytes read_whole_file(const std::string& path);
// Runs a command line; its exit status.
int run_command(const std::string& command);
bool has_command(const std::string& name);

}  // namespace cairn::segment::testing
