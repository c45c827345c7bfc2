// What the spools of many Replicators of one process have in common while stores are away: how much they hold together,
// and how fast those of one store are emptied when it is back.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace cairn {

// Any thread. Outlives the Replicators that are given it.
class SharedSpool {
 public:
  struct Limits {
    // Together. When they hold that much, a Replicator of which something waits already captures no more (its WAL is
    // held); one of which nothing waits goes on, a segment at a time: so a store that is away stops nobody else's.
    std::uint64_t size_bytes = 1ull << 30;
    // At which what has waited is put, all of a store together; 0: as fast as it goes. What waits alone does not count.
    std::uint64_t drain_bytes_per_s = 64ull << 20;
  };

  SharedSpool() : SharedSpool(Limits{}) {}
  explicit SharedSpool(const Limits& limits) { set_limits(limits); }
  // Of one store: with turns of its own. What it holds counts in `all`, whose limits it has.
  explicit SharedSpool(SharedSpool* all) : all_(*all) {}
  void set_limits(const Limits& limits);

  void grow(std::uint64_t size_bytes) { all_.size_bytes_ += size_bytes; }
  void shrink(std::uint64_t size_bytes) { all_.size_bytes_ -= size_bytes; }
  std::uint64_t size_bytes() const { return all_.size_bytes_; }
  bool is_full() const { return all_.size_bytes_ >= all_.limit_bytes_; }

  // Something of that size was put although more waits behind it: when the next may be, by the clock of `now_us`.
  std::int64_t next_turn_us(std::int64_t now_us, std::uint64_t size_bytes);

 private:
  SharedSpool& all_ = *this;
  std::atomic<std::uint64_t> limit_bytes_ = 0, drain_bytes_per_s_ = 0, size_bytes_ = 0;
  std::atomic<std::int64_t> turn_us_ = 0;
};

// One SharedSpool a store, made when it is asked for: what has waited for a store that is back delays no other's.
class SharedSpools {
 public:
  SharedSpools();
  ~SharedSpools();
  void set_limits(const SharedSpool::Limits& limits) { all_.set_limits(limits); }
  // Any thread. Lives as long as this object.
  SharedSpool& of(const std::string& store);

 private:
  struct ByStore;
  SharedSpool all_;
  const std::unique_ptr<ByStore> by_store_;
};

}  // namespace cairn
