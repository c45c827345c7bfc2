#include "s3/checksum.h"

#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"
#include "base/clock.h"

namespace cairn::s3 {
namespace {

Bytes random_bytes(std::uint64_t seed, std::size_t size) {
  SeededRandom random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
  return bytes;
}

// The definition, a bit at a time: the judge of what is fast.
std::uint64_t slow_crc64nvme(ByteView bytes) {
  std::uint64_t crc = ~std::uint64_t{0};
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint64_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x9A6C9329AC4BC9B5u : 0u);
  }
  return ~crc;
}

TEST(Crc, CheckValues) {
  EXPECT_EQ(crc64nvme(0, as_bytes("123456789")), 0xae8b14860a799888u);
  EXPECT_EQ(crc64nvme_by_tables(0, as_bytes("123456789")), 0xae8b14860a799888u);
  EXPECT_EQ(crc32c(0, as_bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc64nvme(0, {}), 0u);
  EXPECT_EQ(crc32c(0, {}), 0u);
}

// Of the NVM Command Set specification: 4 KiB of one byte, of counting bytes.
TEST(Crc, ValuesOfTheNvmeSpecification) {
  Bytes block(4096);
  EXPECT_EQ(crc64nvme(0, block), 0x6482d367eb22b64eu);
  std::fill(block.begin(), block.end(), std::byte{0xff});
  EXPECT_EQ(crc64nvme(0, block), 0xc0ddba7302eca3acu);
  for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc64nvme(0, block), 0x3e729f5f6750449cu);
}

TEST(Crc, FoldingEqualsTheDefinitionAtEverySizeAndAlignment) {
  const Bytes bytes = random_bytes(1, 1200);
  for (std::size_t size = 0; size < 700; ++size) {
    const ByteView view = ByteView(bytes).subspan(size % 17, size);
    ASSERT_EQ(crc64nvme(0, view), slow_crc64nvme(view)) << size;
    ASSERT_EQ(crc64nvme_by_tables(0, view), slow_crc64nvme(view)) << size;
  }
}

TEST(Crc, PiecesGiveTheSameAsTheWhole) {
  const Bytes bytes = random_bytes(2, 5000);
  SeededRandom random(3);
  for (int round = 0; round < 50; ++round) {
    std::uint64_t nvme = 0;
    std::uint32_t castagnoli = 0;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = std::min<std::size_t>(bytes.size() - at, random.below(600));
      nvme = crc64nvme(nvme, ByteView(bytes).subspan(at, size));
      castagnoli = crc32c(castagnoli, ByteView(bytes).subspan(at, size));
      at += size;
    }
    EXPECT_EQ(nvme, slow_crc64nvme(bytes));
    EXPECT_EQ(castagnoli, crc32c(0, bytes));
  }
}

TEST(Digests, KnownAnswers) {
  EXPECT_EQ(hex(sha256({})), kEmptySha256);
  EXPECT_EQ(hex(sha256(as_bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(md5(as_bytes("abc"))), "900150983cd24fb0d6963f7d28e17f72");
  // RFC 4231, test case 2.
  EXPECT_EQ(hex(hmac_sha256(as_bytes("Jefe"), "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Base64, KnownAnswersAndBack) {
  EXPECT_EQ(base64(as_bytes("")), "");
  EXPECT_EQ(base64(as_bytes("f")), "Zg==");
  EXPECT_EQ(base64(as_bytes("foobar")), "Zm9vYmFy");
  EXPECT_EQ(base64_be(std::uint64_t{0xae8b14860a799888}), "rosUhgp5mIg=");
  EXPECT_EQ(base64_be(std::uint32_t{0xe3069283}), "4waSgw==");
  for (std::size_t size = 0; size < 70; ++size) {
    const Bytes bytes = random_bytes(size, size);
    ASSERT_TRUE(from_base64(base64(bytes)));
    EXPECT_EQ(*from_base64(base64(bytes)), bytes);
  }
  for (const char* text : {"a", "abc", "ab!d", "Zg= ", "====="}) EXPECT_FALSE(from_base64(text)) << text;
}

TEST(HashesOfSources, EqualThoseOfTheBytes) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{256 << 10}, std::size_t{700'001}}) {
    const Bytes bytes = random_bytes(size, size);
    const BytesSource source(bytes);
    EXPECT_EQ(*sha256_hex(source), hex(sha256(bytes)));
    EXPECT_EQ(*md5_hex(source), hex(md5(bytes)));
    EXPECT_EQ(*crc64nvme_base64(source), base64_be(crc64nvme(0, bytes)));
    EXPECT_EQ(*crc32c_base64(source), base64_be(crc32c(0, bytes)));
  }
}

class BrokenSource final : public Source {
 public:
  std::uint64_t size_bytes() const override { return 10; }
  Result<void> read_at(std::uint64_t, std::span<std::byte>) const override {
    return Error(ErrorKind::cancelled, "no more");
  }
};

TEST(HashesOfSources, FailWithTheSource) {
  EXPECT_EQ(sha256_hex(BrokenSource()).error().kind(), ErrorKind::cancelled);
  EXPECT_EQ(crc64nvme_base64(BrokenSource()).error().kind(), ErrorKind::cancelled);
}

}  // namespace
}  // namespace cairn::s3
