#include "sqlite/integrity.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace cairn::sqlite {
namespace {

class Integrity : public ::testing::Test {
 protected:
  Integrity() {
    std::string name = ::testing::TempDir() + "cairn-integrity-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~Integrity() override { std::filesystem::remove_all(folder_); }

  std::string make(const std::string& name) {
    const std::string path = folder_ + "/" + name;
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database,
                           "PRAGMA journal_mode=WAL; CREATE TABLE t(a PRIMARY KEY, b); "
                           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) "
                           "INSERT INTO t SELECT i, hex(randomblob(50)) FROM n", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database);
    return path;
  }
  void spoil(const std::string& path, std::streamoff at, const std::string& bytes) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::string folder_;
};

TEST_F(Integrity, AHealthyDatabaseHasNoComplaintsAndNothingIsWritten) {
  const std::string path = make("with ? # and % in its name.db");
  const auto before = std::filesystem::last_write_time(path);
  auto problems = integrity_check(path);
  ASSERT_TRUE(problems) << problems.error().message();
  EXPECT_TRUE(problems->empty());
  EXPECT_EQ(std::filesystem::last_write_time(path), before);
  EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  EXPECT_FALSE(std::filesystem::exists(path + "-shm"));
}

TEST_F(Integrity, ASpoiledPageIsAComplaint) {
  const std::string path = make("app.db");
  spoil(path, 4096 * 5, std::string(200, 'x'));
  auto problems = integrity_check(path);
  ASSERT_TRUE(problems) << problems.error().message();
  EXPECT_FALSE(problems->empty());
}

TEST_F(Integrity, AFileThatIsNoDatabaseIsAComplaintAndAnAbsentOneIsNotFound) {
  const std::string path = make("app.db");
  spoil(path, 0, std::string(100, 'x'));
  auto problems = integrity_check(path);
  ASSERT_TRUE(problems) << problems.error().message();
  EXPECT_FALSE(problems->empty());
  auto absent = integrity_check(folder_ + "/none.db");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cairn::sqlite
