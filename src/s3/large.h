// Large objects over many connections: a put above 16 MiB goes as an upload in parts, a get above that as ranges, as
// many at once as the store has connections. Everything else goes straight through.
//
// It stands outside the decorator that repeats failures, so that a part or a range is repeated by itself, and not the
// whole.
#pragma once

#include <cstdint>
#include <memory>

#include "base/executor.h"
#include "cairn/store.h"
#include "s3/s3_store.h"

namespace cairn::s3 {

struct LargeOptions {
  int connections = 8;
  std::uint64_t one_put_bytes = 16ull << 20;  // up to here an object is one request
  std::uint64_t one_get_bytes = 16ull << 20;
  std::uint64_t part_bytes = 8ull << 20;  // of an object that needs few of them
  std::uint64_t range_bytes = 8ull << 20, longest_range_bytes = 64ull << 20;
};

// The size of all parts but the last, of an object of that size: the same at every try, so that what an earlier one
// sent can be used. Whole MiB; at most `most_parts` parts.
std::uint64_t part_size_bytes(std::uint64_t object_bytes, std::uint64_t least_bytes, int most_parts);

// `inner` makes requests of `s3`, whose dialect decides what may be taken apart. `environment` is what both work
// with: it ends last.
std::unique_ptr<Store> make_large_object_store(std::shared_ptr<void> environment, std::unique_ptr<Store> inner,
                                               S3Store& s3, const LargeOptions& options);

}  // namespace cairn::s3
