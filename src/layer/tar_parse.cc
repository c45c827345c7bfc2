// Reading. What stands there is taken apart with no more care than it takes not to read past the end; then the entry
// that came out is written again, and must give the same bytes. So there is one spelling of each entry, whatever does
// not keep the rules of an entry is refused by the same code that refuses to write it, and no damaged bit goes unseen.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/bytes.h"
#include "layer/tar.h"
#include "layer/tar_fields.h"

namespace cairn::layer {
namespace {

Error damaged_header(std::string_view what) { return Error(ErrorKind::corrupt, fmt::format("a tar header {}", what)); }

std::string_view text_of(ByteView block, UstarField field) {
  const std::string_view text = as_text(block.subspan(field.at, field.size));
  return text.substr(0, text.find('\0'));
}

// At most 11 digits: it cannot overflow.
std::uint64_t octal_of(ByteView block, UstarField field) {
  std::uint64_t value = 0;
  for (const char c : text_of(block, field)) {
    if (c < '0' || c > '7') break;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

bool has_right_checksum(ByteView block) {
  return octal_of(block, kChecksumField) == ustar_checksum(block.data());
}

bool is_zero_block(ByteView block) {
  return std::ranges::all_of(block, [](std::byte b) { return b == std::byte{}; });
}

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// The record in front, taken off `records`. Nothing: it is no record.
struct Record {
  std::string_view keyword, value;
};
std::optional<Record> take_record(std::string_view& records) {
  std::size_t length = 0;
  const auto [end, error] = std::from_chars(records.data(), records.data() + records.size(), length);
  const auto digits = static_cast<std::size_t>(end - records.data());
  if (error != std::errc() || length > records.size() || length < digits + 3) return std::nullopt;
  std::string_view record = records.substr(digits, length - digits);
  records.remove_prefix(length);
  const std::size_t equals = record.find('=');
  if (record.front() != ' ' || record.back() != '\n' || equals == std::string_view::npos) return std::nullopt;
  return Record{record.substr(1, equals - 1), record.substr(equals + 1, record.size() - equals - 2)};
}

// An entry as the tar has it: names that are still to be turned into a path and a kind.
struct Member {
  Entry entry;
  std::string name, link;
};

bool apply(const Record& record, Member& member) {
  const auto& [keyword, value] = record;
  if (keyword.starts_with(kXattrKeyword)) {
    member.entry.xattrs.push_back({xattr_name(keyword), std::string(value)});
    return true;
  }
  if (keyword == "path") return member.name = value, true;
  if (keyword == "linkpath") return member.link = value, true;
  if (keyword == "size") return parse_number(value, member.entry.size_bytes);
  if (keyword == "uid") return parse_number(value, member.entry.uid);
  if (keyword == "gid") return parse_number(value, member.entry.gid);
  if (keyword == "comment") return parse_comment(value, member.entry);
  if (keyword != "mtime") return false;
  const auto time = parse_pax_time(value);
  if (!time) return false;
  member.entry.mtime_s = time->seconds;
  member.entry.mtime_ns = time->nanoseconds;
  return true;
}

std::optional<EntryKind> kind_of(char type) {
  switch (type) {
    case '0': return EntryKind::file;
    case '1': return EntryKind::hard_link;
    case '2': return EntryKind::symlink;
    case '3': return EntryKind::char_device;
    case '4': return EntryKind::block_device;
    case '5': return EntryKind::directory;
    case '6': return EntryKind::fifo;
    default: return std::nullopt;
  }
}

void take_block(ByteView block, Member& member) {
  Entry& entry = member.entry;
  member.name = text_of(block, kNameField);
  member.link = text_of(block, kLinkField);
  entry.mode = static_cast<std::uint32_t>(octal_of(block, kModeField));
  entry.uid = static_cast<std::uint32_t>(octal_of(block, kUidField));
  entry.gid = static_cast<std::uint32_t>(octal_of(block, kGidField));
  entry.size_bytes = octal_of(block, kSizeField);
  entry.mtime_s = static_cast<std::int64_t>(octal_of(block, kMtimeField));
  entry.dev_major = static_cast<std::uint32_t>(octal_of(block, kMajorField));
  entry.dev_minor = static_cast<std::uint32_t>(octal_of(block, kMinorField));
}

// Name and type to path, kind and target.
void resolve(Member& member) {
  Entry& entry = member.entry;
  std::string_view name = member.name;
  if (entry.kind == EntryKind::directory) {
    if (name.ends_with('/')) name.remove_suffix(1);
    if (name == ".") name = {};
  }
  entry.link_target = entry.kind == EntryKind::hard_link ? unescaped_path(member.link) : member.link;
  if (entry.kind == EntryKind::file && name_of(name).starts_with(kWhiteoutPrefix)) {
    const std::string_view parent = parent_of(name);
    const bool opaque = name_of(name) == kOpaqueName;
    entry.kind = opaque ? EntryKind::opaque : EntryKind::whiteout;
    entry.path = unescaped_path(parent);
    if (opaque) return;
    if (!parent.empty()) entry.path.push_back('/');
    entry.path += unescaped_path(name_of(name).substr(kWhiteoutPrefix.size()));
    return;
  }
  entry.path = unescaped_path(name);
}

// Where the block of the entry itself begins, and the records in front of it. Nothing: `bytes` is too short.
struct Extent {
  std::string_view records;
  std::uint64_t block_at = 0;
};
Result<std::optional<Extent>> extent_of(ByteView bytes) {
  const ByteView first = bytes.first(kTarBlockBytes);
  if (static_cast<char>(first[kTypeField.at]) != kExtendedType) return Extent{};
  const std::uint64_t size = octal_of(first, kSizeField);
  if (size > kMaxTarHeaderBytes) return damaged_header("is larger than any of Cairn's");
  const std::uint64_t block_at = kTarBlockBytes + size + tar_padding(size);
  if (bytes.size() < block_at + kTarBlockBytes) return std::optional<Extent>();
  return Extent{as_text(bytes.subspan(kTarBlockBytes, size)), block_at};
}

}  // namespace

Result<std::optional<TarHeader>> parse_tar_header(ByteView bytes) {
  if (bytes.size() < kTarBlockBytes) return std::optional<TarHeader>();
  const ByteView first = bytes.first(kTarBlockBytes);
  if (is_zero_block(first)) return std::optional<TarHeader>();
  if (!has_right_checksum(first)) return damaged_header("has a wrong checksum");
  CAIRN_ASSIGN(const std::optional<Extent> extent, extent_of(bytes));
  if (!extent) return std::optional<TarHeader>();
  const ByteView block = bytes.subspan(extent->block_at, kTarBlockBytes);
  const std::optional<EntryKind> kind = kind_of(static_cast<char>(block[kTypeField.at]));
  if (!kind) return damaged_header("is of a type that Cairn does not write");
  Member member;
  member.entry.kind = *kind;
  take_block(block, member);
  for (std::string_view records = extent->records; !records.empty();) {
    const std::optional<Record> record = take_record(records);
    if (!record || !apply(*record, member)) return damaged_header("has a record that Cairn does not write");
  }
  resolve(member);

  const ByteView header = bytes.first(extent->block_at + kTarBlockBytes);
  auto again = write_tar_header(member.entry);
  if (!again) return again.error().as(ErrorKind::corrupt);
  if (!std::ranges::equal(*again, header)) return damaged_header("is not spelled as Cairn spells it");
  return TarHeader{std::move(member.entry), header.size()};
}

}  // namespace cairn::layer
