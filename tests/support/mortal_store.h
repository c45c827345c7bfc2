// A store as a process sees it that may die at any call: see life.h. Also counts what it is asked.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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
  // Whether what a dying process has asked to be put under this key may be put when the next one has made some calls.
  // Null: never.
  std::function<bool(std::string_view key)> may_be_put_late;
  // That is not put after all.
  void forget_late_put() { late_.reset(); }
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
    had_effect_ = false;
    if (late_ && !life_.is_over() && late_->calls_before-- == 0) {
      const auto late = std::exchange(late_, std::nullopt);
      (void)inner_.put_new(late->key, BytesSource(late->bytes));
    }
    const Error dead(ErrorKind::retry_later, "the process is dead");
    switch (life_.tick()) {
      case Life::Moment::dead: return dead;
      case Life::Moment::dying:
        had_effect_ = random_.chance(1, may_be_late_ ? 4 : 2);
        if (had_effect_) (void)call();
        return dead;
      case Life::Moment::alive: break;
    }
    return call();
  }
  Result<std::string> put_new(std::string_view key, const Source& body) override {
    const bool was_dead = life_.is_over();
    may_be_late_ = may_be_put_late && may_be_put_late(key);
    // Most of the calls that a life ends in are for files: more of them are to be puts.
    if (may_be_late_ && life_.is_limited() && !was_dead && random_.chance(2, 3)) life_.end_after(0);
    auto put = StoreAround<MortalStore>::put_new(key, body);
    const bool is_dying = life_.is_over() && !was_dead;
    if (std::exchange(may_be_late_, false) && is_dying && !had_effect_ && random_.chance(3, 4)) {
      LatePut late{std::string(key), Bytes(body.size_bytes()), random_.below(12)};
      if (body.read_at(0, late.bytes)) late_ = std::move(late);
    }
    return put;
  }

 private:
  struct LatePut {
    std::string key;
    Bytes bytes;
    std::uint64_t calls_before = 0;
  };

  Store& inner_;
  Life& life_;
  SeededRandom& random_;
  std::uint64_t calls_ = 0;
  bool had_effect_ = false, may_be_late_ = false;  // the last call of a dying process
  std::optional<LatePut> late_;
};

}  // namespace cairn::testing
