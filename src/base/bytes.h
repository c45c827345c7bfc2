// Reading and writing integers in bytes, bounds checked by the caller through spans.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "cairn/store.h"

#if defined(__clang__)
#define CAIRN_LIFETIME_BOUND [[clang::lifetimebound]]
#else
#define CAIRN_LIFETIME_BOUND
#endif

namespace cairn {

template <class T>
T load_le(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  static_assert(std::endian::native == std::endian::little, "big-endian machines need a swap here");
  return v;
}
template <class T>
void store_le(std::byte* p, T v) {
  std::memcpy(p, &v, sizeof v);
}
inline std::uint32_t load_be32(const std::byte* p) { return __builtin_bswap32(load_le<std::uint32_t>(p)); }
inline std::uint16_t load_be16(const std::byte* p) { return __builtin_bswap16(load_le<std::uint16_t>(p)); }
inline void store_be32(std::byte* p, std::uint32_t v) { store_le(p, __builtin_bswap32(v)); }

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
// Of a string by itself, so that clang refuses a view of one that is gone by the end of the line.
template <std::same_as<std::string> Text>
ByteView as_bytes(const Text& text CAIRN_LIFETIME_BOUND) {
  return as_bytes(std::string_view(text));
}
inline void append(Bytes& bytes, ByteView more) { bytes.insert(bytes.end(), more.begin(), more.end()); }
inline std::string_view as_text(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace cairn
