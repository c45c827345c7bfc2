// read_index beside a live SQLite: what it tells is what SQLite itself tells, and a writer at work never makes it tell
// something that was not so.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/bytes.h"
#include "wal/wal.h"

namespace cairn::wal {
namespace {

class Connection {
 public:
  explicit Connection(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    sqlite3_busy_timeout(db_, 10000);
  }
  ~Connection() { sqlite3_close(db_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void run(const std::string& sql) {
    EXPECT_EQ(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db_) << sql;
  }
  std::uint32_t number(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK);
    EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
    const auto value = static_cast<std::uint32_t>(sqlite3_column_int64(statement, 0));
    sqlite3_finalize(statement);
    return value;
  }
  struct Frames {
    std::uint32_t log = 0;
    std::uint32_t backfilled = 0;
  };
  Frames checkpoint(int mode) {
    int log = -1;
    int backfilled = -1;
    EXPECT_EQ(sqlite3_wal_checkpoint_v2(db_, "main", mode, &log, &backfilled), SQLITE_OK);
    return {static_cast<std::uint32_t>(log), static_cast<std::uint32_t>(backfilled)};
  }
  // The shared memory through the connection's own file: closing a descriptor of our own would drop its locks.
  const volatile void* shared_memory() {
    sqlite3_file* file = nullptr;
    EXPECT_EQ(sqlite3_file_control(db_, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    volatile void* shared = nullptr;
    EXPECT_EQ(file->pMethods->xShmMap(file, 0, 32768, 0, &shared), SQLITE_OK);
    return shared;
  }

 private:
  sqlite3* db_ = nullptr;
};

class LiveIndex : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-wal-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ / "database"; }
  Bytes wal_bytes() const {
    std::ifstream in(path() + "-wal", std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return {as_bytes(text).begin(), as_bytes(text).end()};
  }
  void begin(Connection& db, int page_size = 4096) {
    db.run("PRAGMA page_size=" + std::to_string(page_size));
    db.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF");
    db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, text)");
  }

  std::filesystem::path folder_;
};

void insert(Connection& db, int rows) {
  db.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" + std::to_string(rows) +
         ") INSERT INTO t(text) SELECT hex(randomblob(200)) FROM n");
}

IndexHeader look(Connection& db) {
  IndexHeader header;
  EXPECT_EQ(read_index(db.shared_memory(), header), IndexState::ok);
  return header;
}

TEST_F(LiveIndex, SaysWhatTheWalFileAndSqliteSay) {
  for (const int page_size : {512, 4096, 65536}) {
    std::filesystem::remove(path());
    Connection db(path());
    begin(db, page_size);
    insert(db, 50);
    insert(db, 20);
    const IndexHeader index = look(db);
    EXPECT_EQ(index.page_size, static_cast<std::uint32_t>(page_size));
    EXPECT_EQ(index.page_count, db.number("PRAGMA page_count"));
    EXPECT_EQ(index.backfilled, FrameNo(0));

    const Bytes wal = wal_bytes();
    const auto header = parse_header(wal);
    ASSERT_TRUE(header);
    EXPECT_EQ(index.salts, header->salts);
    Checksum sum = header->sum;
    std::optional<FrameHeader> last;
    for (std::uint32_t n = 1; n <= index.max_frame.value; ++n) {
      const auto offset = frame_offset(FrameNo(n), header->page_size);
      last = check_frame(*header, sum, ByteView(wal).subspan(offset, kFrameHeaderSize + header->page_size));
      ASSERT_TRUE(last) << n;
      sum = last->sum;
    }
    EXPECT_EQ(index.frame_sum, sum);
    EXPECT_EQ(last->commit_page_count, index.page_count);
    EXPECT_EQ(frame_offset(index.max_frame.next(), header->page_size), wal.size());

    const auto frames = db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
    EXPECT_EQ(frames.log, index.max_frame.value);
    const IndexHeader after = look(db);
    EXPECT_EQ(after.backfilled.value, frames.backfilled);
    EXPECT_EQ(after.backfilled, after.max_frame);
    EXPECT_EQ(after.attempted, after.max_frame);
    EXPECT_EQ(after.change, index.change);
  }
}

TEST_F(LiveIndex, AReaderHoldsBackfillAtItsMark) {
  Connection db(path());
  begin(db);
  insert(db, 50);
  Connection reader(path());
  reader.run("BEGIN; SELECT count(*) FROM t");
  const IndexHeader before = look(db);
  insert(db, 50);
  const auto frames = db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  const IndexHeader after = look(db);
  EXPECT_EQ(frames.backfilled, before.max_frame.value);
  EXPECT_EQ(after.backfilled, before.max_frame);
  EXPECT_GT(after.max_frame, before.max_frame);
  EXPECT_NE(std::count(after.read_marks.begin() + 1, after.read_marks.end(), before.max_frame.value), 0);
  reader.run("COMMIT");
}

TEST_F(LiveIndex, Z11_W7_ARestartInPlaceShowsAsNewSalts) {
  Connection db(path());
  begin(db);
  insert(db, 200);
  const IndexHeader before = look(db);
  const auto size = wal_bytes().size();
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  insert(db, 1);
  const IndexHeader after = look(db);
  EXPECT_EQ(wal_bytes().size(), size);
  EXPECT_NE(after.salts, before.salts);
  EXPECT_EQ(after.salts.first, before.salts.first + 1);
  EXPECT_LT(after.max_frame, before.max_frame);
  EXPECT_EQ(after.backfilled, FrameNo(0));
}

TEST_F(LiveIndex, TruncateShowsAsNoFrames) {
  Connection db(path());
  begin(db);
  insert(db, 10);
  const auto pages = db.number("PRAGMA page_count");
  db.checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
  const IndexHeader index = look(db);
  EXPECT_EQ(index.max_frame, FrameNo(0));
  EXPECT_EQ(index.backfilled, FrameNo(0));
  EXPECT_EQ(index.page_count, pages);
  EXPECT_TRUE(wal_bytes().empty());
}

TEST_F(LiveIndex, OfADatabaseWithoutAWalHasNoPageSizeYet) {
  {
    Connection db(path());
    begin(db);
  }  // the last connection takes the WAL away
  Connection db(path());
  EXPECT_EQ(db.number("SELECT count(*) FROM t"), 0u);
  const IndexHeader index = look(db);
  EXPECT_EQ(index.max_frame, FrameNo(0));
  EXPECT_EQ(index.page_size, 0u);
}

TEST_F(LiveIndex, ASpilledTransactionDoesNotShowBeforeItCommits) {
  Connection db(path());
  begin(db);
  insert(db, 10);
  const IndexHeader before = look(db);
  const auto size = wal_bytes().size();
  db.run("PRAGMA cache_size=5; BEGIN");
  insert(db, 500);
  EXPECT_GT(wal_bytes().size(), size);
  IndexHeader now = look(db);
  now.read_marks = before.read_marks;  // its own read transaction has moved them
  EXPECT_EQ(now, before);
  db.run("ROLLBACK");
  EXPECT_EQ(look(db).max_frame, before.max_frame);
}

// The writer notes every state that it has made, by looking while nobody else writes; the reader looks all the time.
// All that the reader saw must be among them. What stands between a restart and its commit (no frames, new salts) only
// the reader can see.
TEST_F(LiveIndex, BesideABusyWriterNeverTellsAStateThatWasNot) {
  using State = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;
  const auto state_of = [](const IndexHeader& h) {
    return State(h.change, h.max_frame.value, h.page_count, h.frame_sum.first, h.salts.second);
  };
  Connection db(path());
  begin(db);
  std::set<State> made{state_of(look(db))};
  std::atomic<bool> done = false;
  std::set<State> seen;
  std::uint64_t looks_ok = 0;
  const volatile void* shared = db.shared_memory();
  std::thread reader([&] {
    IndexHeader header;
    while (!done.load()) {
      if (read_index(shared, header) != IndexState::ok) continue;
      ++looks_ok;
      if (header.max_frame.value != 0) seen.insert(state_of(header));
    }
  });
  for (int i = 0; i < 3000; ++i) {
    insert(db, 1 + i % 7);
    made.insert(state_of(look(db)));
    if (i % 50 == 49) db.checkpoint(i % 100 == 99 ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE);
  }
  done = true;
  reader.join();
  EXPECT_GT(looks_ok, 0u);
  EXPECT_GT(seen.size(), 1u);
  for (const State& state : seen) EXPECT_TRUE(made.contains(state)) << "change " << std::get<0>(state);
}

// What SQLite leaves in the first 136 bytes, in memory of our own.
class IndexBytes : public LiveIndex {
 protected:
  void SetUp() override {
    LiveIndex::SetUp();
    Connection db(path());
    begin(db);
    insert(db, 30);
    const volatile auto* shared = static_cast<const volatile std::uint32_t*>(db.shared_memory());
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] = shared[i];
  }
  IndexState read() {
    IndexHeader header;
    return read_index(words_.data(), header);
  }
  // Makes both copies alike and their sums right.
  void settle() {
    const auto bytes = std::as_bytes(std::span(words_)).first(40);
    const Checksum sum = checksum(ByteOrder::little, {}, bytes);
    words_[10] = sum.first;
    words_[11] = sum.second;
    std::copy_n(words_.begin(), 12, words_.begin() + 12);
  }
  std::array<std::uint32_t, kIndexBytes / 4> words_{};
};

TEST_F(IndexBytes, ABitFlipInEitherCopyIsNotReady) {
  ASSERT_EQ(read(), IndexState::ok);
  for (std::size_t bit = 0; bit < 2 * 48 * 8; ++bit) {
    words_[bit / 32] ^= 1u << (bit % 32);
    EXPECT_EQ(read(), IndexState::not_ready) << bit;
    words_[bit / 32] ^= 1u << (bit % 32);
  }
}

TEST_F(IndexBytes, ABitFlipInBothCopiesIsNotReady) {
  for (std::size_t bit = 0; bit < 48 * 8; ++bit) {
    words_[bit / 32] ^= 1u << (bit % 32);
    words_[12 + bit / 32] ^= 1u << (bit % 32);
    EXPECT_EQ(read(), IndexState::not_ready) << bit;
    words_[bit / 32] ^= 1u << (bit % 32);
    words_[12 + bit / 32] ^= 1u << (bit % 32);
  }
}

TEST_F(IndexBytes, ZeroesAreNotReady) {
  words_.fill(0);
  EXPECT_EQ(read(), IndexState::not_ready);
}

TEST_F(IndexBytes, NotInitialisedIsNotReadyThoughTheSumIsRight) {
  words_[3] &= ~0xffu;
  settle();
  EXPECT_EQ(read(), IndexState::not_ready);
}

TEST_F(IndexBytes, AnotherVersionIsNotReadyThoughTheSumIsRight) {
  settle();
  ASSERT_EQ(read(), IndexState::ok);
  words_[0] = 3007001;
  settle();
  EXPECT_EQ(read(), IndexState::not_ready);
}

TEST_F(IndexBytes, NoPageSizeIsNotReadyWhenThereAreFrames) {
  for (const std::uint32_t size : {0u, 2u, 511u, 768u}) {
    words_[3] = (words_[3] & 0xffffu) | (size << 16);
    settle();
    EXPECT_EQ(read(), IndexState::not_ready) << size;
  }
  words_[3] = (words_[3] & 0xffffu) | (1u << 16);
  settle();
  EXPECT_EQ(read(), IndexState::ok);
}

// A writer that stores headers as SQLite does, much faster than SQLite can: in the header number n, every number is n.
TEST_F(IndexBytes, AWriterWithoutPauseNeverMakesATornHeader) {
  const auto fill = [](std::array<std::uint32_t, 12>& header, std::uint32_t n) {
    header[2] = header[4] = header[5] = header[6] = header[7] = n;
    const Checksum sum = checksum(ByteOrder::little, {}, std::as_bytes(std::span(header)).first(40));
    header[10] = sum.first;
    header[11] = sum.second;
  };
  std::array<std::uint32_t, 12> header;
  std::copy_n(words_.begin(), 12, header.begin());
  const auto store = [&](std::uint32_t n) {
    fill(header, n);
    for (const std::size_t copy : {12u, 0u}) {
      for (std::size_t i = 0; i < 12; ++i) __atomic_store_n(&words_[copy + i], header[i], __ATOMIC_RELAXED);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&words_[24], n, __ATOMIC_RELAXED);
  };
  store(1);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (std::uint32_t n = 2; !done.load(std::memory_order_relaxed); ++n) store(n);
  });
  int ok = 0;
  int torn = 0;
  int misplaced = 0;
  for (std::uint64_t looks = 0; looks < 5'000'000 && ok < 20'000; ++looks) {
    IndexHeader found;
    if (read_index(words_.data(), found) != IndexState::ok) continue;
    ++ok;
    const std::uint32_t n = found.change;
    if (found.max_frame.value != n || found.page_count != n || found.frame_sum != Checksum{n, n}) ++torn;
    // Backfill is stored after its header: it may be that of the header before, but of no other.
    if (found.backfilled.value != n && found.backfilled.value + 1 != n) ++misplaced;
  }
  done = true;
  writer.join();
  EXPECT_EQ(read(), IndexState::ok);  // however unlucky the looks were: a writer at rest leaves a whole header
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(misplaced, 0);
}

}  // namespace
}  // namespace cairn::wal
