// This thread without CAP_SYS_ADMIN, as root is inside a container of docker's. Threads that it starts meanwhile are
// without it as well.
#pragma once

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>

#include "base/check.h"

namespace cairn::testing {

class WithoutRight {
 public:
  // Whether this thread has the right, in effect.
  static bool is_possible() { return (read()[0].effective & kRight) != 0; }

  WithoutRight() : before_(read()) {
    Sets without = before_;
    without[0].effective &= ~kRight;
    write(without);
  }
  ~WithoutRight() { write(before_); }
  WithoutRight(const WithoutRight&) = delete;
  WithoutRight& operator=(const WithoutRight&) = delete;

 private:
  using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;
  static constexpr std::uint32_t kRight = 1u << CAP_SYS_ADMIN;

  static __user_cap_header_struct header() { return {_LINUX_CAPABILITY_VERSION_3, 0}; }
  static Sets read() {
    Sets sets{};
    auto of = header();
    CAIRN_CHECK(::syscall(SYS_capget, &of, sets.data()) == 0);
    return sets;
  }
  static void write(const Sets& sets) {
    auto of = header();
    CAIRN_CHECK(::syscall(SYS_capset, &of, sets.data()) == 0);
  }

  const Sets before_;
};

}  // namespace cairn::testing
