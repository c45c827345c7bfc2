// The files that small segments lie in: what is read of them, whole, torn, written over and let go of.
#include "replicate/held_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "support/scratch.h"

namespace cairn::replicate {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class HeldFiles : public ::testing::Test {
 protected:
  std::string path() const { return dir_ / "held"; }
  std::vector<std::uint64_t> logged() const {
    std::vector<std::uint64_t> numbers;
    const auto all = KeptLog::read(*files_, path());
    for (const HeldSegment& held : *all) {
      EXPECT_EQ(as_text(held.bytes), text_of(held.sequence.value));
      numbers.push_back(held.sequence.value);
    }
    return numbers;
  }
  bool fronts() const { return FrontFile::read(*files_, path())->has_value(); }
  static std::string text_of(std::uint64_t number) { return std::string(100, 'a') + std::to_string(number); }
  static std::optional<std::size_t> append(KeptLog& log, std::uint64_t number) {
    return log.append(Sequence(number), as_bytes(text_of(number)));
  }

  testing::Scratch dir_{"held"};
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
};

TEST_F(HeldFiles, AFrontIsReadAsItWasWritten) {
  FrontFile front(*files_, path());
  EXPECT_FALSE(fronts());
  ASSERT_TRUE(front.write(Sequence(7), as_bytes("a longer one")));
  ASSERT_TRUE(front.write(Sequence(8), as_bytes("short")));
  const auto held = *FrontFile::read(*files_, path());
  ASSERT_TRUE(held);
  EXPECT_EQ(held->sequence, Sequence(8));
  EXPECT_EQ(as_text(held->bytes), "short");
}

TEST_F(HeldFiles, AFrontThatIsLetGoOfStaysUntilTheEnd) {
  FrontFile front(*files_, path());
  ASSERT_TRUE(front.write(Sequence(7), as_bytes("one")));
  front.let_go();
  EXPECT_TRUE(fronts());
  front.leave();
  EXPECT_FALSE(fs::exists(path())) << "nothing is left of it";
}

TEST_F(HeldFiles, AFrontOutlivesItsProcess) {
  FrontFile front(*files_, path());
  ASSERT_TRUE(front.write(Sequence(7), as_bytes("one")));
  front.leave();
  EXPECT_TRUE(fronts());
}

TEST_F(HeldFiles, AFrontOfWhichAnyByteIsOtherIsNone) {
  FrontFile front(*files_, path());
  ASSERT_TRUE(front.write(Sequence(7), as_bytes("one")));
  const auto size = static_cast<std::streamoff>(fs::file_size(path()));
  for (std::streamoff at = 0; at < size; ++at) {
    ASSERT_TRUE(front.write(Sequence(7), as_bytes("one")));
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const char other = static_cast<char>(file.get() ^ 0x40);
    file.seekp(at);
    file.put(other);
    file.close();
    EXPECT_FALSE(fronts()) << "byte " << at;
  }
  ASSERT_TRUE(front.write(Sequence(7), as_bytes("one")));
  for (std::streamoff left = 0; left < size; ++left) {
    fs::resize_file(path(), static_cast<std::uintmax_t>(left));
    EXPECT_FALSE(fronts()) << "cut to " << left;
  }
}

TEST_F(HeldFiles, WhatCannotBeReadIsNotTakenForNone) {
  fs::create_directory(path());
  EXPECT_FALSE(FrontFile::read(*files_, path()));
  EXPECT_FALSE(KeptLog::read(*files_, path()));
}

TEST_F(HeldFiles, ALogHoldsWhatWasNotLetGoOf) {
  KeptLog log(*files_, path());
  for (std::uint64_t number : {1, 2, 3}) EXPECT_EQ(append(log, number), 0u);
  EXPECT_THAT(logged(), ElementsAre(1, 2, 3));
  log.let_go(0);
  EXPECT_EQ(append(log, 4), 1u) << "the first stretch is to run empty";
  EXPECT_THAT(logged(), ElementsAre(1, 2, 3, 4));
  log.let_go(0);
  log.let_go(0);
  EXPECT_THAT(logged(), ElementsAre(4));
  log.let_go(1);
  EXPECT_THAT(logged(), IsEmpty());
}

TEST_F(HeldFiles, OfALogThatIsWrittenOverNothingOldIsRead) {
  KeptLog log(*files_, path());
  for (std::uint64_t number = 1; number <= 5; ++number) append(log, number);
  for (int i = 0; i < 5; ++i) log.let_go(0);
  append(log, 6);
  EXPECT_THAT(logged(), ElementsAre(6)) << "2 to 5 lie behind it";
}

TEST_F(HeldFiles, OfALogWhatIsBehindATornOneIsNotRead) {
  KeptLog log(*files_, path());
  for (std::uint64_t number = 1; number <= 4; ++number) append(log, number);
  const auto third = static_cast<std::streamoff>(2 * fs::file_size(path()) / 4);
  std::fstream(path(), std::ios::in | std::ios::out | std::ios::binary).seekp(third + 50) << "torn";
  EXPECT_THAT(logged(), ElementsAre(1, 2));
}

TEST_F(HeldFiles, ALogTakesNoMoreThanItHasRoomFor) {
  const Bytes large(100'000);
  {
    KeptLog log(*files_, path());
    std::uint64_t number = 1;
    while (log.append(Sequence(number), large)) ASSERT_LT(++number, 20u);
    log.let_go(0);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(log.append(Sequence(number++), large), 1u);
    EXPECT_EQ(KeptLog::read(*files_, path())->size(), number - 1);
    log.leave();
  }
  EXPECT_TRUE(fs::exists(path())) << "it is held for the next process";
  EXPECT_LE(fs::file_size(path()), 1u << 20);
}

TEST_F(HeldFiles, ALogOfWhichAllWasLetGoIsNoFile) {
  KeptLog log(*files_, path());
  log.let_go(*append(log, 1));
  ASSERT_TRUE(fs::exists(path()));
  log.leave();
  EXPECT_FALSE(fs::exists(path()));
}

}  // namespace
}  // namespace cairn::replicate
