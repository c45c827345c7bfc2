// What an entry must keep to so that its bytes in a tar are the only ones for it, and so that writing it to a disk
// needs no further look: paths that stay inside, each thing only where its kind has it, lists in order.

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "layer/overlay.h"
#include "layer/tar.h"
#include "layer/tar_fields.h"

namespace cairn::layer {
namespace {

constexpr std::uint32_t kMaxMode = 07777;
constexpr std::uint32_t kMaxNanoseconds = 999'999'999;
constexpr std::uint32_t kMaxDeviceNumber = 07777777;  // as ustar has room for; Linux itself has 12 and 20 bits
constexpr std::size_t kMaxTargetBytes = 4095;         // Linux's PATH_MAX without the NUL
constexpr std::size_t kMaxXattrNameBytes = 255;
constexpr std::size_t kMaxXattrValueBytes = 64 * 1024;

Error refused(const Entry& entry, std::string_view why) {
  return Error(ErrorKind::invalid, fmt::format("'{}' cannot be put into a layer: {}", entry.path, why));
}

const char* fault_of_path(const Entry& entry) {
  if (!is_valid_path(entry.path)) return "its path is not one inside a directory";
  const bool may_be_top = entry.kind == EntryKind::directory || entry.kind == EntryKind::opaque;
  if (entry.path.empty() && !may_be_top) return "it has no name";
  return nullptr;
}

const char* fault_of_target(const Entry& entry) {
  const std::string& target = entry.link_target;
  if (entry.kind == EntryKind::symlink) {
    const bool fits = !target.empty() && target.size() <= kMaxTargetBytes && target.find('\0') == std::string::npos;
    return fits ? nullptr : "what the symbolic link says cannot be";
  }
  if (entry.kind == EntryKind::hard_link) {
    // The name with the contents comes first, so whoever reads in order has it already.
    const bool fits = !target.empty() && is_valid_path(target) && in_order(target, entry.path);
    return fits ? nullptr : "it is a hard link to what is not an earlier path of the layer";
  }
  return target.empty() ? nullptr : "it has a target but is no link";
}

const char* fault_of_numbers(const Entry& entry) {
  if (entry.mode > kMaxMode) return "its mode has more than permission bits";
  if (entry.mtime_ns > kMaxNanoseconds) return "its time has more than a second of nanoseconds";
  if (entry.kind != EntryKind::file && entry.size_bytes != 0) return "it has a size but is no file";
  const bool is_device = entry.kind == EntryKind::char_device || entry.kind == EntryKind::block_device;
  if (!is_device && (entry.dev_major != 0 || entry.dev_minor != 0)) return "it has a device number but is no device";
  if (entry.dev_major > kMaxDeviceNumber || entry.dev_minor > kMaxDeviceNumber) return "its device number cannot be";
  return nullptr;
}

const char* fault_of_xattrs(const Entry& entry) {
  const Xattr* before = nullptr;
  for (const Xattr& xattr : entry.xattrs) {
    const bool is_name = !xattr.name.empty() && xattr.name.size() <= kMaxXattrNameBytes &&
                         xattr.name.find('\0') == std::string::npos;
    if (!is_name || xattr.value.size() > kMaxXattrValueBytes) return "it has an attribute that Linux could not";
    if (before && !(before->name < xattr.name)) return "its attributes are not in the order of their names";
    before = &xattr;
  }
  return nullptr;
}

const char* fault_of_holes(const Entry& entry) {
  if (entry.holes.empty()) return nullptr;
  if (entry.kind != EntryKind::file) return "it has holes but is no file";
  if (entry.holes.size() > kMaxHoles) return "it has more holes than a layer can name";
  std::uint64_t end = 0;
  for (const Hole& hole : entry.holes) {
    const bool follows = &hole == &entry.holes.front() || hole.offset > end;
    const bool fits =
        hole.length > 0 && hole.offset <= entry.size_bytes && hole.length <= entry.size_bytes - hole.offset;
    if (!follows || !fits) return "its holes are not in order, or not inside it";
    end = hole.offset + hole.length;
  }
  return nullptr;
}

const char* fault_of_marks(const Entry& entry) {
  const bool may_be_marked = entry.kind == EntryKind::whiteout || entry.kind == EntryKind::opaque ||
                             entry.kind == EntryKind::directory;
  if (entry.mark != Mark::none && !may_be_marked) return "it has a mark but is neither a deletion nor a directory";
  const bool is_both = without_file(entry.mark) != Mark::none && has_file(entry.mark);
  if (is_both && entry.kind == EntryKind::whiteout) return "it has two marks at once";
  if (entry.forgotten.empty()) return nullptr;
  if (entry.kind != EntryKind::directory) return "it forgets whiteouts but is no directory";
  const std::string* before = nullptr;
  for (const std::string& name : entry.forgotten) {
    const bool is_name = !name.empty() && name.find('/') == std::string::npos && is_valid_path(name);
    if (!is_name || (before && !(*before < name))) return "the names that it forgets are not in order, or no names";
    before = &name;
  }
  return nullptr;
}

mode_t file_type_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::directory: return S_IFDIR;
    case EntryKind::symlink: return S_IFLNK;
    case EntryKind::char_device: return S_IFCHR;
    case EntryKind::block_device: return S_IFBLK;
    case EntryKind::fifo: return S_IFIFO;
    default: return S_IFREG;
  }
}

const char* fault_of_origin(const Entry& entry) {
  const MarkForms forms{.trusted = entry.escaped != Escaped::user, .user = entry.escaped != Escaped::trusted};
  if (entry.escaped != escaped_in(entry.xattrs, forms)) return "it has no attributes that are escaped as it says";
  if (!entry.stored_owner) return nullptr;
  const StoredOwner& owner = *entry.stored_owner;
  if (entry.kind == EntryKind::hard_link || entry.kind == EntryKind::whiteout || entry.kind == EntryKind::opaque) {
    return "an owner is kept for it, but it has none of its own";
  }
  if (!is_owner_attribute(owner.attribute) || owner.value.size() > kMaxXattrValueBytes)
    return "the attribute that keeps its owner is none";
  const mode_t type = owner.mode & S_IFMT;
  const bool may_be_file = entry.kind == EntryKind::char_device || entry.kind == EntryKind::block_device ||
                           entry.kind == EntryKind::fifo;
  const bool fits = type == file_type_of(entry.kind) || (may_be_file && type == S_IFREG);
  return fits && owner.mode <= (S_IFMT | kMaxMode) ? nullptr : "its kind is not one that can be kept in an attribute";
}

}  // namespace

Result<void> check_entry(const Entry& entry) {
  for (const auto fault_of :
       {fault_of_path, fault_of_target, fault_of_numbers, fault_of_xattrs, fault_of_holes, fault_of_marks,
        fault_of_origin}) {
    if (const char* fault = fault_of(entry)) return refused(entry, fault);
  }
  return {};
}

}  // namespace cairn::layer
