// Writing. One block of ustar for every entry; in front of it, where ustar has no room, an extended header with one
// record for each thing that does not fit, in a fixed order: path, linkpath, size, uid, gid, mtime, attributes by
// name, comment. Nothing that is not the entry's own gets in (no user names, no process id, no time of writing): equal
// entries are equal bytes.
//
// Names. An ASCII name of up to 100 bytes stands in the block alone. UTF-8 stands in the block and in a `path` record,
// whose encoding pax defines. Bytes that are not UTF-8 stand in the block alone as long as they fit: every reader
// takes those verbatim, where a record would be converted, and `hdrcharset=BINARY` makes GNU tar complain. Only such a
// name of more than 100 bytes needs a record with raw bytes; GNU tar and Python take it verbatim as well.

#include "layer/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/utf8.h"
#include "layer/tar_fields.h"

namespace cairn::layer {
namespace {

constexpr std::uint64_t kMaxOctal7 = 07777777;
constexpr std::uint64_t kMaxOctal11 = 077777777777;
constexpr std::uint32_t kExtendedMode = 0644;
constexpr std::string_view kExtendedName = "PaxHeaders";

using Block = std::array<std::byte, kTarBlockBytes>;

void put_text(Block& block, UstarField field, std::string_view text) {
  std::memcpy(block.data() + field.at, text.data(), std::min(text.size(), field.size));
}

// Digits and a NUL, as all common tars write them. What is too large stands in a record, and is 0 here.
void put_octal(Block& block, UstarField field, std::uint64_t value) {
  const std::size_t digits = field.size - 1;
  if (value >= std::uint64_t{1} << (3 * digits)) value = 0;
  for (std::size_t i = digits; i-- > 0; value /= 8) {
    block[field.at + i] = static_cast<std::byte>('0' + value % 8);
  }
}

void seal(Block& block) {
  put_text(block, kMagicField, kUstarMagic);
  put_text(block, kChecksumField, fmt::format("{:06o}", ustar_checksum(block.data())));
  block[kChecksumField.at + 7] = std::byte{' '};
}

char type_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::directory: return '5';
    case EntryKind::symlink: return '2';
    case EntryKind::hard_link: return '1';
    case EntryKind::char_device: return '3';
    case EntryKind::block_device: return '4';
    case EntryKind::fifo: return '6';
    case EntryKind::file:
    case EntryKind::whiteout:
    case EntryKind::opaque: break;
  }
  return '0';
}

// "<length> <keyword>=<value>\n", where the length counts its own digits.
void add_record(std::string& records, std::string_view keyword, std::string_view value) {
  const std::size_t rest = keyword.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (fmt::formatted_size("{}", length) + rest > length) ++length;
  records.append(fmt::format("{} ", length));
  records.append(keyword).append("=").append(value).append("\n");
}

bool needs_record(std::string_view name) {
  if (name.size() > kNameField.size) return true;
  const bool is_ascii = std::ranges::all_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return !is_ascii && is_utf8(name);
}

bool fits_block(const Entry& entry) {
  return entry.mtime_ns == 0 && entry.mtime_s >= 0 && static_cast<std::uint64_t>(entry.mtime_s) <= kMaxOctal11;
}

std::string records_of(const Entry& entry, std::string_view name, std::string_view link) {
  std::string records;
  if (needs_record(name)) add_record(records, "path", name);
  if (needs_record(link)) add_record(records, "linkpath", link);
  if (entry.size_bytes > kMaxOctal11) add_record(records, "size", fmt::format("{}", entry.size_bytes));
  if (entry.uid > kMaxOctal7) add_record(records, "uid", fmt::format("{}", entry.uid));
  if (entry.gid > kMaxOctal7) add_record(records, "gid", fmt::format("{}", entry.gid));
  if (!fits_block(entry)) add_record(records, "mtime", pax_time(entry.mtime_s, entry.mtime_ns));
  for (const Xattr& xattr : entry.xattrs) {
    add_record(records, xattr_keyword(xattr.name), xattr.value);
  }
  if (const std::string comment = write_comment(entry); !comment.empty()) add_record(records, "comment", comment);
  return records;
}

// The extended header: a block that says how long the records are, the records, zeros up to a whole block.
void append_extended(Bytes& bytes, std::string_view records) {
  Block block{};
  put_text(block, kNameField, kExtendedName);
  put_octal(block, kModeField, kExtendedMode);
  put_octal(block, kUidField, 0);
  put_octal(block, kGidField, 0);
  put_octal(block, kSizeField, records.size());
  put_octal(block, kMtimeField, 0);
  block[kTypeField.at] = static_cast<std::byte>(kExtendedType);
  put_octal(block, kMajorField, 0);
  put_octal(block, kMinorField, 0);
  seal(block);
  append(bytes, block);
  append(bytes, as_bytes(records));
  bytes.resize(bytes.size() + tar_padding(records.size()));
}

void append_block(Bytes& bytes, const Entry& entry, std::string_view name, std::string_view link) {
  Block block{};
  put_text(block, kNameField, name);
  put_octal(block, kModeField, entry.mode);
  put_octal(block, kUidField, entry.uid);
  put_octal(block, kGidField, entry.gid);
  put_octal(block, kSizeField, entry.size_bytes);
  put_octal(block, kMtimeField, static_cast<std::uint64_t>(std::max<std::int64_t>(entry.mtime_s, 0)));
  block[kTypeField.at] = static_cast<std::byte>(type_of(entry.kind));
  put_text(block, kLinkField, link);
  put_octal(block, kMajorField, entry.dev_major);
  put_octal(block, kMinorField, entry.dev_minor);
  seal(block);
  append(bytes, block);
}

}  // namespace

std::uint32_t ustar_checksum(const std::byte* block) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kTarBlockBytes; ++i) {
    const bool is_own = i >= kChecksumField.at && i < kChecksumField.at + kChecksumField.size;
    sum += is_own ? ' ' : std::to_integer<std::uint32_t>(block[i]);
  }
  return sum;
}

std::uint64_t tar_padding(std::uint64_t size_bytes) {
  return (kTarBlockBytes - size_bytes % kTarBlockBytes) % kTarBlockBytes;
}

Result<Bytes> write_tar_header(const Entry& entry) {
  CAIRN_TRY(check_entry(entry));
  const std::string name = tar_name(entry);
  const std::string link = entry.kind == EntryKind::hard_link ? escaped_path(entry.link_target) : entry.link_target;
  const std::string records = records_of(entry, name, link);
  Bytes bytes;
  if (!records.empty()) append_extended(bytes, records);
  append_block(bytes, entry, name, link);
  if (bytes.size() > kMaxTarHeaderBytes) {
    return Error(ErrorKind::invalid, fmt::format("{}: its attributes take {} bytes, more than a layer can carry",
                                                 entry.path, bytes.size()));
  }
  return bytes;
}

}  // namespace cairn::layer
