// The life of a simulated process: a countdown that everything which changes the world outside it (files, store)
// shares. When it runs out, the process is dead in the middle of whatever it was doing: every later call fails and
// changes nothing, until the simulation has dropped the dead objects and begins a new life.
#pragma once

#include <cstdint>

namespace cairn::testing {

class Life {
 public:
  enum class Moment {
    alive,
    dying,  // this very call is the last one: it may have its effect, half of it, or none
    dead,
  };

  // The call after the next `calls` ones is the last.
  void end_after(std::uint64_t calls) {
    armed_ = true;
    left_ = calls;
  }
  void end_now() { dead_ = true; }
  void begin_anew() { *this = Life(); }
  bool is_over() const { return dead_; }
  bool is_limited() const { return armed_ || dead_; }

  // To be called once by every changing call.
  Moment tick() {
    if (dead_) return Moment::dead;
    if (!armed_ || left_-- > 0) return Moment::alive;
    dead_ = true;
    return Moment::dying;
  }

 private:
  bool armed_ = false, dead_ = false;
  std::uint64_t left_ = 0;
};

}  // namespace cairn::testing
