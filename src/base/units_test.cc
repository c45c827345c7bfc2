#include "base/units.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Units, LengthsOfTime) {
  EXPECT_EQ(parse_duration_ms("250ms").value(), 250);
  EXPECT_EQ(parse_duration_ms("1.5s").value(), 1500);
  EXPECT_EQ(parse_duration_ms("2 m").value(), 120'000);
  EXPECT_EQ(parse_duration_ms("30d").value(), 30ll * 86'400'000);
  EXPECT_EQ(parse_duration_ms("0").value(), 0);
  for (const char* bad : {"", "s", "1", "-1s", "1x", "1 s s", "nan s", "inf s", "1e3s", "11000d", "s1", "1S"}) {
    EXPECT_FALSE(parse_duration_ms(bad)) << bad;
  }
}

TEST(Units, Sizes) {
  EXPECT_EQ(parse_size_bytes("4096B").value(), 4096u);
  EXPECT_EQ(parse_size_bytes("100MiB").value(), 100u << 20);
  EXPECT_EQ(parse_size_bytes("1.5 GiB").value(), 3ull << 29);
  EXPECT_EQ(parse_size_bytes("10MB").value(), 10'000'000u);
  EXPECT_EQ(parse_size_bytes("0").value(), 0u);
  for (const char* bad : {"", "100", "100M", "1mib", "-1MiB", "MiB", "2000TiB", "1MiBs"}) {
    EXPECT_FALSE(parse_size_bytes(bad)) << bad;
  }
  EXPECT_EQ(parse_size_bytes("100").error().message(),
            "'100' is not a size: write it like 512KiB, 100MiB, 1.5GiB or 10MB");
}

TEST(Units, WindowsOfTime) {
  EXPECT_EQ(parse_windows("30s,5m, 1h").value(), (std::vector<std::int64_t>{30'000, 300'000, 3'600'000}));
  EXPECT_EQ(parse_windows("1m").value(), std::vector<std::int64_t>{60'000});
  EXPECT_EQ(parse_windows("none").value(), std::vector<std::int64_t>());
  EXPECT_EQ(parse_windows("auto").value(), std::nullopt);
  for (const char* bad : {"", "0", "30s,", ",30s", "5m,30s", "30s,30s", "30s,45s", "30s;5m",
                          "1s,2s,4s,8s,16s,32s,64s,128s,256s,512s"}) {
    EXPECT_FALSE(parse_windows(bad)) << bad;
  }
}

}  // namespace
}  // namespace cairn
