#include <cstddef>
#include <cstdint>

#include "config_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cairn::fuzz::fuzz_config({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
