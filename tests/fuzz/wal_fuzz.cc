#include <cstddef>
#include <cstdint>

#include "wal_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cairn::fuzz::fuzz_wal({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
