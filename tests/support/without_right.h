// This thread without CAP_SYS_ADMIN, as root is inside a container of docker's, and as another user if one is given,
// who may read what root may. Threads that it starts meanwhile are as it is.
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

  explicit WithoutRight(uid_t user = 0) : before_(read()) {
    become(user);
    Sets without = before_;
    without[0].effective &= ~kRight;
    write(without);
  }
  ~WithoutRight() {
    become(0);
    write(before_);
  }
  WithoutRight(const WithoutRight&) = delete;
  WithoutRight& operator=(const WithoutRight&) = delete;

 private:
  using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;
  static constexpr std::uint32_t kRight = 1u << CAP_SYS_ADMIN;

  // The call itself: libc's changes all threads.
  static void become(uid_t user) { CAIRN_CHECK(::syscall(SYS_setresuid, -1, user, -1) == 0); }
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
