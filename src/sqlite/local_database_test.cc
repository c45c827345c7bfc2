#include "sqlite/local_database.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "support/scratch.h"

namespace cairn::sqlite {
namespace {

constexpr const char* kSchema = "CREATE TABLE IF NOT EXISTS row(key BLOB PRIMARY KEY, number INTEGER, words TEXT)";

std::unique_ptr<LocalDatabase> open_or_die(const std::string& path) {
  auto opened = LocalDatabase::open(path, kSchema);
  EXPECT_TRUE(opened.has_value());
  return std::move(*opened);
}

TEST(LocalDatabase, KeepsValuesExactly) {
  const testing::Scratch scratch("state");
  auto database = open_or_die(scratch / "state.db");
  auto insert = database->prepare("INSERT INTO row VALUES (?1, ?2, ?3)");
  ASSERT_TRUE(insert);
  const std::string key("a\0b\xff", 4);
  ASSERT_TRUE(insert->run(as_bytes(key), std::uint64_t{1} << 63, "words"));
  ASSERT_TRUE(insert->run(as_bytes(std::string_view()), -1, nullptr));
  auto select = database->prepare("SELECT key, number, words FROM row ORDER BY key");
  ASSERT_TRUE(select);
  ASSERT_TRUE(select->begin());
  ASSERT_EQ(*select->next(), true);
  EXPECT_TRUE(select->blob(0).empty());
  EXPECT_EQ(select->integer(1), -1);
  EXPECT_TRUE(select->is_null(2));
  ASSERT_EQ(*select->next(), true);
  EXPECT_EQ(as_text(select->blob(0)), key);
  EXPECT_EQ(static_cast<std::uint64_t>(select->integer(1)), std::uint64_t{1} << 63);
  EXPECT_EQ(select->text(2), "words");
  EXPECT_EQ(*select->next(), false);
}

TEST(LocalDatabase, TransactionIsWholeOrNotThere) {
  const testing::Scratch scratch("state");
  auto database = open_or_die(scratch / "state.db");
  auto insert = database->prepare("INSERT INTO row VALUES (?1, ?2, '')");
  const auto failed = database->transaction([&]() -> Result<void> {
    CAIRN_TRY(insert->run("a", 1));
    return Error(ErrorKind::cancelled, "no");
  });
  EXPECT_EQ(failed.error().kind(), ErrorKind::cancelled);
  ASSERT_TRUE(database->transaction([&] { return insert->run("b", 2); }));
  auto count = database->prepare("SELECT count(*) FROM row");
  ASSERT_TRUE(count->begin());
  ASSERT_EQ(*count->next(), true);
  EXPECT_EQ(count->integer(0), 1);
}

TEST(LocalDatabase, OnlyItsOwnerMayReadIt) {
  const testing::Scratch scratch("state");
  auto database = open_or_die(scratch / "state.db");
  struct stat info{};
  ASSERT_EQ(::stat((scratch / "state.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(LocalDatabase, GarbageIsCorrupt) {
  const testing::Scratch scratch("state");
  std::ofstream(scratch / "state.db") << std::string(8192, 'x');
  const auto opened = LocalDatabase::open(scratch / "state.db", kSchema);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind(), ErrorKind::corrupt);
}

TEST(LocalDatabase, WithAnApplicationIdAnotherProgramsFileIsLeftAsItIs) {
  const testing::Scratch scratch("state");
  const std::string path = scratch / "a.db";
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(LocalDatabase::open(path, kSchema, 4711));
  EXPECT_EQ(LocalDatabase::open(path, kSchema, 4712).error().kind(), ErrorKind::invalid);
  const std::string theirs = scratch / "theirs.db";
  open_or_die(theirs);
  const auto time = std::filesystem::last_write_time(theirs);
  EXPECT_EQ(LocalDatabase::open(theirs, kSchema, 4711).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(std::filesystem::last_write_time(theirs), time);
}

}  // namespace
}  // namespace cairn::sqlite
