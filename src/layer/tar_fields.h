// How an entry is spelled in a tar: what writing and reading share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "layer/entry.h"

namespace cairn::layer {

// The fields of a ustar block (POSIX.1-2017, pax, "ustar Interchange Format"). Its prefix field stays empty: a name
// that does not fit into 100 bytes has an extended header anyway.
struct UstarField {
  std::size_t at = 0, size = 0;
};
inline constexpr UstarField kNameField = {0, 100};
inline constexpr UstarField kModeField = {100, 8};
inline constexpr UstarField kUidField = {108, 8};
inline constexpr UstarField kGidField = {116, 8};
inline constexpr UstarField kSizeField = {124, 12};
inline constexpr UstarField kMtimeField = {136, 12};
inline constexpr UstarField kChecksumField = {148, 8};
inline constexpr UstarField kTypeField = {156, 1};
inline constexpr UstarField kLinkField = {157, 100};
inline constexpr UstarField kMagicField = {257, 8};
inline constexpr UstarField kMajorField = {329, 8};
inline constexpr UstarField kMinorField = {337, 8};
inline constexpr std::string_view kUstarMagic = {"ustar\00000", 8};

inline constexpr char kExtendedType = 'x';
inline constexpr std::string_view kXattrKeyword = "SCHILY.xattr.";

// The checksum of a ustar block: the sum of its bytes, its own field counted as blanks.
std::uint32_t ustar_checksum(const std::byte* block);

// The name of an entry in the tar, and the entry's path and kind back. A component that begins with `.wh.`, which
// every OCI tool takes for a deletion, gets kNameEscape in front; so does one that begins with kNameEscape itself,
// which makes the way back unambiguous.
inline constexpr std::string_view kNameEscape = ".cairn-name-";
std::string tar_name(const Entry& entry);
std::string escaped_path(std::string_view path);
std::string unescaped_path(std::string_view name);

// '%' and '=' in the name of an attribute, as GNU tar has them.
std::string xattr_keyword(std::string_view name);
std::string xattr_name(std::string_view keyword);

// "12.5", "-0.25": seconds since 1970, and back.
std::string pax_time(std::int64_t seconds, std::uint32_t nanoseconds);
struct PaxTime {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};
std::optional<PaxTime> parse_pax_time(std::string_view text);

// What only Cairn needs of an entry, as the value of a comment record; empty: nothing.
std::string write_comment(const Entry& entry);
// false: it is none of ours.
bool parse_comment(std::string_view comment, Entry& entry);

// The rules that an entry keeps. The error is `invalid`.
Result<void> check_entry(const Entry& entry);

}  // namespace cairn::layer
