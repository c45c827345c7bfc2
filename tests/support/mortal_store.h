// A store as a process sees it that may die at any call: see life.h. Also counts what it is asked.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "store/around.h"
#include "support/life.h"

namespace cairn::testing {

class MortalStore final : public StoreAround<MortalStore> {
 public:
  // All three must outlive it.
  MortalStore(Store& inner, Life& life, SeededRandom& random) : inner_(inner), life_(life), random_(random) {}

  std::uint64_t calls() const { return calls_; }
  // As a folder of the machine: looking costs nothing, and a small segment is put from memory.
  bool is_folder = false;
  StoreCapabilities capabilities() const override {
    StoreCapabilities can = inner_.capabilities();
    can.looking_is_free = can.puts_on_this_machine = is_folder;
    return can;
  }

  Store& inner() const { return inner_; }
  // The call, unless the process is dead; the last one may or may not have its effect, and nobody sees the answer.
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    ++calls_;
    const Error dead(ErrorKind::retry_later, "the process is dead");
    switch (life_.tick()) {
      case Life::Moment::dead: return dead;
      case Life::Moment::dying:
        if (random_.chance(1, 2)) (void)call();
        return dead;
      case Life::Moment::alive: break;
    }
    return call();
  }

 private:
  Store& inner_;
  Life& life_;
  SeededRandom& random_;
  std::uint64_t calls_ = 0;
};

}  // namespace cairn::testing
