// The numbers that must not be mixed up, as types of their own; and the random ids.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "cairn/error.h"

namespace cairn {

// A number of one kind. Arithmetic is done on .value, on purpose: adding two page numbers has no meaning.
template <class Tag, class Rep>
struct StrongNumber {
  Rep value{};
  constexpr StrongNumber() = default;
  constexpr explicit StrongNumber(Rep v) : value(v) {}
  constexpr auto operator<=>(const StrongNumber&) const = default;
  constexpr StrongNumber next() const { return StrongNumber(value + 1); }
};

// A page of a database, from 1.
using PageNo = StrongNumber<struct PageNoTag, std::uint32_t>;
// A frame of a WAL, from 1; 0: none.
using FrameNo = StrongNumber<struct FrameNoTag, std::uint32_t>;
// A level-0 segment of a replica, dense from 1; 0: the state that the first snapshot holds.
using Sequence = StrongNumber<struct SequenceTag, std::uint64_t>;

// 128 random bits: the lineage of a replica, the id of a writer. Printed as 32 hexadecimal digits.
struct Id128 {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Id128&) const = default;
  bool is_zero() const { return *this == Id128{}; }
  std::string hex() const;
  static Result<Id128> from_hex(std::string_view text);  // invalid: not 32 hexadecimal digits
};

}  // namespace cairn

template <class Tag, class Rep>
struct std::hash<cairn::StrongNumber<Tag, Rep>> {
  std::size_t operator()(cairn::StrongNumber<Tag, Rep> n) const noexcept { return std::hash<Rep>{}(n.value); }
};
