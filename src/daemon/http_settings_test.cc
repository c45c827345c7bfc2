#include "daemon/http_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::daemon {
namespace {

TEST(ListenAddress, IsAnIpAddressWithAPort) {
  for (const auto& [text, loopback] : {std::pair("127.0.0.1:9178", true), std::pair("127.8.9.1:1", true),
                                       std::pair("[::1]:9178", true), std::pair("0.0.0.0:9178", false),
                                       std::pair("[::]:9178", false), std::pair("192.168.1.7:65535", false)}) {
    const auto address = parse_listen_address(text);
    ASSERT_TRUE(address) << text << ": " << address.error().message();
    EXPECT_EQ(text_of(*address), text);
    EXPECT_EQ(address->is_loopback, loopback) << text;
  }
  EXPECT_EQ(text_of(*parse_listen_address("localhost:0")), "127.0.0.1:0");
}

TEST(ListenAddress, NothingElse) {
  for (const char* text : {"", "9178", ":9178", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "host:1",
                           "::1:9178", "[127.0.0.1]:1", "[::1]9178", "[::1", "127.0.0.1:1x", "*:1"}) {
    const auto address = parse_listen_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().kind(), ErrorKind::invalid);
    EXPECT_THAT(address.error().message(), ::testing::HasSubstr("write it like \"127.0.0.1:9178\""));
  }
}

}  // namespace
}  // namespace cairn::daemon
