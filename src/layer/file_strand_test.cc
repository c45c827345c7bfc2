#include "layer/file_strand.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "layer/test_layers.h"
#include "support/held_executor.h"
#include "support/scratch.h"

namespace cairn::layer {
namespace {

using namespace testing;
using cairn::testing::HeldExecutor;

class LayerFileStrand : public ::testing::Test {
 protected:
  std::string path() const { return scratch_ / "file"; }
  NewFile make(const Entry& entry) {
    return NewFile(FileDescriptor(::open(path().c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600)), entry);
  }
  std::string contents() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static SharedBytes shared(std::string text) {
    struct Owner {
      std::string text;
      ByteView view;
    };
    auto owner = std::make_shared<Owner>(Owner{std::move(text), {}});
    owner->view = as_bytes(owner->text);
    return {owner, &owner->view};
  }
  static bool add(FileStrand& strand, const std::string& text) {
    const SharedBytes bytes = shared(text);
    return strand.add(bytes, *bytes);
  }

  cairn::testing::Scratch scratch_{"strand"};
};

TEST_F(LayerFileStrand, PiecesComeInTheirOrderWhoeverWritesThem) {
  const auto pool = make_thread_pool(4);
  for (int round = 0; round < 20; ++round) {
    std::string whole;
    for (int i = 0; i < 40; ++i) whole += noise(static_cast<std::size_t>(1 + i * 1777), static_cast<unsigned>(i));
    FileStrand strand(*pool, make(file_of("f", whole.size())));
    std::size_t at = 0;
    for (int i = 0; i < 40; ++i) {
      const std::size_t size = static_cast<std::size_t>(1 + i * 1777);
      ASSERT_TRUE(add(strand, whole.substr(at, size)));
      at += size;
    }
    const auto file = strand.finish();
    ASSERT_TRUE(file) << file.error().message();
    EXPECT_TRUE((*file)->is_whole());
    EXPECT_EQ((*file)->content_hash(), hash_of(as_bytes(whole)));
    ASSERT_TRUE(contents() == whole);
  }
}

TEST_F(LayerFileStrand, WhatNobodyBeginsTheCallerWrites) {
  HeldExecutor executor;
  const std::string whole = noise(10 * 100'000, 1);
  FileStrand strand(executor, make(file_of("f", whole.size())));
  for (std::size_t at = 0; at < whole.size(); at += 100'000) {
    ASSERT_TRUE(add(strand, whole.substr(at, 100'000)));
  }
  EXPECT_EQ(executor.count(), 1u);  // it need not be asked again
  struct ::stat status{};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_GE(status.st_size, 6 * 100'000);  // a few pieces wait, and not as many as one likes
  EXPECT_LT(status.st_size, 10 * 100'000);
  ASSERT_TRUE(strand.finish());
  EXPECT_TRUE(contents() == whole);
  executor.run_all();  // late, and with nothing to do
  EXPECT_TRUE(contents() == whole);
}

TEST_F(LayerFileStrand, AnErrorComesWithTheEndAndNothingIsWrittenBehindIt) {
  Entry entry = file_of("f", 300'000);
  entry.holes = {{100'000, 100'000}};
  HeldExecutor executor;
  FileStrand strand(executor, make(entry));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(add(strand, std::string(100'000, 'x')));
  executor.run_all();
  EXPECT_FALSE(add(strand, "more"));
  const auto file = strand.finish();
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind(), ErrorKind::corrupt);
  EXPECT_NE(file.error().message().find("has a hole"), std::string::npos);
  EXPECT_EQ(contents(), std::string(100'000, 'x'));
}

std::size_t open_files() {
  using namespace std::filesystem;
  return static_cast<std::size_t>(std::distance(directory_iterator("/proc/self/fd"), directory_iterator()));
}

TEST_F(LayerFileStrand, WhatIsLetGoOfKeepsNoBytesAndNoDescriptor) {
  HeldExecutor executor;
  const std::size_t open_before = open_files();
  const SharedBytes bytes = shared(std::string(100'000, 'x'));
  {
    FileStrand strand(executor, make(file_of("f", 100'000)));
    strand.add(bytes, *bytes);
    EXPECT_GT(bytes.use_count(), 1);
  }
  EXPECT_EQ(bytes.use_count(), 1);
  EXPECT_EQ(open_files(), open_before);
  executor.run_all();
  EXPECT_EQ(contents(), "");
}

}  // namespace
}  // namespace cairn::layer
