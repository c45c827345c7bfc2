#include "replicate/patience.h"

#include <gtest/gtest.h>

namespace cairn::replicate {
namespace {

TEST(Patience, WaitsDoubleUpToALimitAndBeginAnewAfterASuccess) {
  Patience patience;
  SeededRandom random(1);
  const Error away(ErrorKind::retry_later, "away");
  for (int round = 0; round < 2; ++round) {
    std::int64_t limit_us = 100'000;
    for (int i = 0; i < 20; ++i) {
      const auto wait_us = patience.wait_us(away, random);
      ASSERT_TRUE(wait_us);
      EXPECT_GE(*wait_us, limit_us / 2) << i;
      EXPECT_LE(*wait_us, limit_us) << i;
      limit_us = std::min<std::int64_t>(30'000'000, limit_us * 2);
    }
    patience.reset();
  }
}

TEST(Patience, NoSoonerThanTheStoreAsksFor) {
  Patience patience;
  SeededRandom random(1);
  EXPECT_EQ(patience.wait_us(Error(ErrorKind::retry_later, "busy").after(120'000), random), 120'000'000);
  const auto wait_us = patience.wait_us(Error(ErrorKind::retry_later, "busy").after(1), random);
  EXPECT_GE(*wait_us, 100'000) << "a shorter wish does not shorten the wait";
}

TEST(Patience, WhatOnlyAPersonCanChangeIsFinal) {
  SeededRandom random(1);
  for (const ErrorKind kind : {ErrorKind::conflict, ErrorKind::invalid, ErrorKind::unsupported, ErrorKind::not_found,
                               ErrorKind::cancelled}) {
    EXPECT_FALSE(Patience().wait_us(Error(kind, "so"), random)) << name_of(kind);
  }
  for (const ErrorKind kind : {ErrorKind::retry_later, ErrorKind::maybe_done, ErrorKind::denied, ErrorKind::busy,
                               ErrorKind::io}) {
    Patience patience;
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(patience.wait_us(Error(kind, "so"), random)) << name_of(kind);
  }
}

TEST(Patience, WhatStaysDamagedIsFinalAfterAFewTries) {
  Patience patience;
  SeededRandom random(1);
  const Error corrupt(ErrorKind::corrupt, "damaged"), away(ErrorKind::retry_later, "away");
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(patience.wait_us(corrupt, random)) << i;
    EXPECT_TRUE(patience.wait_us(away, random)) << i;
  }
  EXPECT_FALSE(patience.wait_us(corrupt, random));
  patience.reset();
  EXPECT_TRUE(patience.wait_us(corrupt, random));
}

}  // namespace
}  // namespace cairn::replicate
