// How long something took, often: a histogram of fixed size, for percentiles of a life-long run.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace cairn::replicate {

// Eight buckets a power of two: what it answers is at most an eighth above what was. Times from 2^40 us on share one.
class LockTimes {
 public:
  void add(std::int64_t us) {
    ++counts_[bucket_of(static_cast<std::uint64_t>(std::max<std::int64_t>(us, 0)))];
    ++total_;
  }

  // The smallest bound that `per_mille` of a thousand times, rounded up, do not pass; 0 when there are none.
  std::int64_t at_most_us(std::uint64_t per_mille) const {
    const std::uint64_t wanted = (total_ * per_mille + 999) / 1000;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted && seen > 0) return static_cast<std::int64_t>(end_of(i) - 1);
    }
    return 0;
  }

 private:
  static constexpr int kFineBits = 3, kFine = 1 << kFineBits, kLargestBits = 40;
  static constexpr std::size_t kBuckets = static_cast<std::size_t>(kLargestBits - kFineBits + 1) << kFineBits;

  // Up to 7 us one bucket each; then the highest bit and the three behind it say which.
  static std::size_t bucket_of(std::uint64_t us) {
    if (us < kFine) return us;
    const int shift = static_cast<int>(std::bit_width(us)) - 1 - kFineBits;
    return std::min<std::size_t>((static_cast<std::size_t>(shift) << kFineBits) + (us >> shift), kBuckets - 1);
  }
  static std::uint64_t end_of(std::size_t bucket) {
    if (bucket < kFine) return bucket + 1;
    const std::size_t shift = (bucket >> kFineBits) - 1;
    return ((bucket & (kFine - 1)) + kFine + 1) << shift;
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
};

}  // namespace cairn::replicate
