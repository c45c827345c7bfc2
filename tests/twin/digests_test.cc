// Spellings and sums, against published values.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "twin/digests.h"
#include "twin/text.h"

namespace cairn::twin {
namespace {

TEST(Digests, CheckValuesOfTheCatalogue) {
  const ByteView check = as_bytes("123456789");
  EXPECT_EQ(hex(checksum(Algorithm::crc32, check)), "cbf43926");
  EXPECT_EQ(hex(checksum(Algorithm::crc32c, check)), "e3069283");
  EXPECT_EQ(hex(checksum(Algorithm::crc64nvme, check)), "ae8b14860a799888");
  EXPECT_EQ(hex(checksum(Algorithm::sha1, as_bytes("abc"))), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex(sha256(as_bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(md5(as_bytes("abc"))), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(hex(hmac_sha256("key", "The quick brown fox jumps over the lazy dog")),
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
}

TEST(Digests, PiecesMakeTheSameSumHoweverTheyAreCut) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
  for (const Algorithm algorithm : kAlgorithms) {
    for (const std::size_t cut : {0, 1, 7, 8, 9, 500, 1000}) {
      const std::string_view a = std::string_view(text).substr(0, cut), b = std::string_view(text).substr(cut);
      RunningChecksum running(algorithm);
      running.add(as_bytes(a));
      running.add(as_bytes(b));
      const std::string whole = checksum(algorithm, as_bytes(text));
      EXPECT_EQ(running.finish(), whole);
      if (!is_crc(algorithm)) continue;
      EXPECT_EQ(combine_crcs(algorithm, checksum(algorithm, as_bytes(a)), checksum(algorithm, as_bytes(b)), b.size()),
                whole);
    }
  }
}

TEST(Text, Percents) {
  EXPECT_EQ(percent_encode("a b/c~%+", "/"), "a%20b/c~%25%2B");
  EXPECT_EQ(percent_decode("a%20b%2Fc+"), "a b/c+");
  EXPECT_EQ(percent_decode("%e4"), "\xE4");
  EXPECT_FALSE(percent_decode("%4"));
  EXPECT_FALSE(percent_decode("%4g"));
}

TEST(Text, Base64HasOneSpelling) {
  for (const char* const bytes : {"", "a", "ab", "abc", "abcd"}) EXPECT_EQ(base64_decode(base64(bytes)), bytes);
  EXPECT_EQ(base64("\xFB\xFF"), "+/8=");
  for (const char* const bad : {"A", "AB==C", "A===", "AAA", "AB=A", "AB==", "A B="}) {
    EXPECT_FALSE(base64_decode(bad)) << bad;
  }
}

TEST(Text, Utf8) {
  for (const char* const good : {"", "a", "ä", "日本", "😀"}) EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* const bad : {"\xFF", "\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "a\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

TEST(Text, Dates) {
  const auto time_ms = parse_basic_date("20261121T064428Z");
  ASSERT_TRUE(time_ms);
  EXPECT_EQ(http_date(*time_ms), "Sat, 21 Nov 2026 06:44:28 GMT");
  EXPECT_EQ(iso_date(*time_ms), "2026-11-21T06:44:28.000Z");
  for (const char* const bad :
       {"", "2026-11-21T06:44:28Z", "20261321T064428Z", "20261121T244428Z", "20261121 064428Z"}) {
    EXPECT_FALSE(parse_basic_date(bad)) << bad;
  }
}

TEST(Text, XmlIsEscaped) {
  EXPECT_EQ(Xml("A", Xml::Space::none).open("B").element("C", "<&>\"\x01").finish(),
            std::string(kXmlDeclaration) + "<A><B><C>&lt;&amp;&gt;&quot;&#x1;</C></B></A>");
}

}  // namespace
}  // namespace cairn::twin
