#include "layer/sha256.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/clock.h"

namespace cairn::layer {
namespace {

// FIPS 180-4's examples, and the one of a million a's.
TEST(Sha256, KnownDigests) {
  Sha256 empty;
  EXPECT_EQ(layer::hex_of(empty.value()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 abc;
  abc.add(as_bytes("abc"));
  EXPECT_EQ(layer::hex_of(abc.value()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 million;
  const std::string block(1000, 'a');
  for (int i = 0; i < 1000; ++i) million.add(as_bytes(block));
  EXPECT_EQ(layer::hex_of(million.value()), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Cut anywhere, saved and restored there: the same digest as in one go.
TEST(Sha256, GoesOnFromASavedState) {
  SeededRandom random(7);
  std::string text;
  for (int i = 0; i < 3000; ++i) text += static_cast<char>(random.next());
  Sha256 whole;
  whole.add(as_bytes(text));
  for (const std::size_t cut : {0, 1, 55, 56, 63, 64, 65, 127, 128, 1000, 2999, 3000}) {
    Sha256 first;
    first.add(as_bytes(std::string_view(text).substr(0, cut / 2)));
    first.add(as_bytes(std::string_view(text).substr(cut / 2, cut - cut / 2)));
    (void)first.value();  // asking changes nothing
    auto second = Sha256::restore(first.save());
    ASSERT_TRUE(second);
    EXPECT_EQ(second->size_bytes(), cut);
    second->add(as_bytes(std::string_view(text).substr(cut)));
    EXPECT_EQ(second->value(), whole.value()) << cut;
  }
}

TEST(Sha256, WhatIsNoStateIsRefused) {
  Bytes saved = Sha256().save();
  saved.pop_back();
  const auto restored = Sha256::restore(saved);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind(), ErrorKind::corrupt);
}

}  // namespace
}  // namespace cairn::layer
