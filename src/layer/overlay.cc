// Names and values from: Documentation/filesystems/overlayfs.rst and fs/overlayfs/ of Linux (whiteouts and opaque
// directories, "xwhiteouts", nesting, metacopy, redirect_dir, userxattr); fuse-overlayfs(1) and its utils.c
// (override_stat); containers/storage, "force_mask".
#include "layer/overlay.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace cairn::layer {
namespace {

constexpr std::string_view kTrusted = "trusted.overlay.", kUser = "user.overlay.", kEscape = "overlay.";
constexpr std::string_view kFuse = "user.fuseoverlayfs.";
constexpr std::string_view kFuseOpaque = "user.fuseoverlayfs.opaque";
constexpr std::string_view kFuseStat = "user.fuseoverlayfs.override_stat";
constexpr std::string_view kContainersStat = "user.containers.override_stat";
constexpr std::string_view kPrivilegedStat = "security.fuseoverlayfs.override_stat";

bool any_begins_with(const std::vector<Xattr>& xattrs, std::string_view prefix) {
  return std::ranges::any_of(xattrs, [&](const Xattr& xattr) { return xattr.name.starts_with(prefix); });
}

bool shows_fuse(const std::vector<Xattr>& xattrs) {
  return any_begins_with(xattrs, kFuse) || any_begins_with(xattrs, kContainersStat) ||
         any_begins_with(xattrs, kPrivilegedStat);
}

bool escapes(Escaped escaped, std::string_view space) {
  return escaped == Escaped::both || (escaped == Escaped::user) == (space == kUser);
}

// A mark of the kernel's, by what follows its namespace. Those that are not named here (origin, uuid, impure, nlink,
// upper, ...) are bound to the host, or are the kernel's own business: no container ever sees them.
void note_kernel_mark(std::string_view what, const Xattr& xattr, Mark form, OverlayMarks& marks) {
  if (what == "opaque" && xattr.value == "y") marks.opaque = form;
  if (what == "opaque" && xattr.value == "x") marks.has_xattr_whiteouts = true;
  if (what == "metacopy") marks.metacopy = true;
  if (what == "redirect") marks.redirect = xattr.value;
  if (what == "whiteout") {
    marks.whiteout = true;
    marks.whiteout_form = form;
  }
}

std::optional<std::uint32_t> parsed_number(std::string_view text, int base) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// "block-8-0" and the like. What is a file, a directory or a link says so itself.
bool parse_override_kind(std::string_view text, OverlayMarks::Override& into) {
  if (text == "pipe") into.kind = EntryKind::fifo;
  if (text == "socket") into.is_socket = true;
  const bool block = text.starts_with("block-");
  if (!block && !text.starts_with("char-")) return true;
  text.remove_prefix(block ? 6 : 5);
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  const auto major = parsed_number(text.substr(0, dash), 10), minor = parsed_number(text.substr(dash + 1), 10);
  if (!major || !minor) return false;
  into.kind = block ? EntryKind::block_device : EntryKind::char_device;
  into.dev_major = *major;
  into.dev_minor = *minor;
  return true;
}

}  // namespace

MarkForms forms_of_root(const std::vector<Xattr>& xattrs, LayerMarks marks) {
  MarkForms forms;
  const bool trusted = any_begins_with(xattrs, kTrusted), user = any_begins_with(xattrs, kUser);
  if (trusted != user) {
    forms.trusted = trusted;
    forms.user = user;
  }
  const bool fuse = shows_fuse(xattrs);
  forms.fuse = marks == LayerMarks::fuse_overlayfs || (marks == LayerMarks::automatic && fuse);
  // Under a mount by root such an attribute belongs to a container in the container.
  forms.fuse_opaque = forms.fuse || (marks == LayerMarks::automatic && forms.user);
  return forms;
}

Result<OverlayMarks::Override> parse_override_stat(std::string_view value) {
  const auto refused = [&] {
    return Error(ErrorKind::invalid,
                 fmt::format("the attribute override_stat says \"{}\", which is not owner:group:mode",
                             value.substr(0, 64)));
  };
  std::array<std::string_view, 4> fields;
  std::size_t count = 0;
  for (std::string_view rest = value; count < fields.size();) {
    const std::size_t colon = count + 1 < fields.size() ? rest.find(':') : std::string_view::npos;
    fields[count++] = rest.substr(0, colon);
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  if (count < 3) return refused();
  const auto uid = parsed_number(fields[0], 10), gid = parsed_number(fields[1], 10), mode = parsed_number(fields[2], 8);
  OverlayMarks::Override parsed;
  if (!uid || !gid || !mode || !parse_override_kind(fields[3], parsed)) return refused();
  parsed.uid = *uid;
  parsed.gid = *gid;
  parsed.mode = *mode & 07777;  // some writers keep the kind of the file in it
  return parsed;
}

Result<OverlayMarks> take_marks(std::vector<Xattr>& xattrs, const MarkForms& forms) {
  OverlayMarks marks;
  std::vector<Xattr> data;
  for (Xattr& xattr : xattrs) {
    const std::string_view name = xattr.name;
    const bool trusted = forms.trusted && name.starts_with(kTrusted);
    if (trusted || (forms.user && name.starts_with(kUser))) {
      const std::string_view space = trusted ? kTrusted : kUser;
      const std::string_view what = name.substr(space.size());
      if (what.starts_with(kEscape)) {
        xattr.name.erase(space.size(), kEscape.size());
        data.push_back(std::move(xattr));
      } else {
        note_kernel_mark(what, xattr, trusted ? Mark::xattr : Mark::user, marks);
      }
    } else if (forms.fuse_opaque && name == kFuseOpaque) {
      if (xattr.value == "y") marks.opaque = Mark::fuse;
    } else if (forms.fuse && is_owner_attribute(name)) {
      // By the bytes of their names, so the one of containers comes before fuse-overlayfs' own.
      if (name != kContainersStat && marks.override_stat) continue;
      CAIRN_ASSIGN(marks.override_stat, parse_override_stat(xattr.value));
      marks.override_xattr = std::move(xattr);
    } else if (!forms.fuse || !name.starts_with(kFuse)) {
      data.push_back(std::move(xattr));
    }
  }
  std::ranges::sort(data, {}, &Xattr::name);
  xattrs = std::move(data);
  return marks;
}

Escaped escaped_in(const std::vector<Xattr>& xattrs, const MarkForms& forms) {
  const bool has_trusted = any_begins_with(xattrs, kTrusted), has_user = any_begins_with(xattrs, kUser);
  const bool by_user = has_user && forms.user;
  if (by_user && has_trusted && forms.trusted) return Escaped::both;
  return by_user || (has_trusted && !forms.trusted) ? Escaped::user : Escaped::trusted;
}

Mark with_file(Mark mark) {
  switch (mark) {
    case Mark::none: return Mark::file;
    case Mark::xattr: return Mark::xattr_file;
    case Mark::user: return Mark::user_file;
    case Mark::fuse: return Mark::fuse_file;
    default: return mark;
  }
}

bool has_file(Mark mark) { return without_file(mark) != mark; }

Mark without_file(Mark mark) {
  switch (mark) {
    case Mark::file: return Mark::none;
    case Mark::xattr_file: return Mark::xattr;
    case Mark::user_file: return Mark::user;
    case Mark::fuse_file: return Mark::fuse;
    default: return mark;
  }
}

bool is_owner_attribute(std::string_view name) {
  return name == kContainersStat || name == kFuseStat || name == kPrivilegedStat;
}

std::vector<Xattr> upper_xattrs(const Entry& entry, bool user_marks) {
  const Escaped escaped = user_marks ? Escaped::user : entry.escaped;
  std::vector<Xattr> xattrs = entry.xattrs;
  for (Xattr& xattr : xattrs) {
    for (const std::string_view space : {kTrusted, kUser}) {
      if (!escapes(escaped, space) || !xattr.name.starts_with(space)) continue;
      xattr.name.insert(space.size(), kEscape);
      break;
    }
  }
  if (entry.stored_owner && !user_marks) xattrs.push_back({entry.stored_owner->attribute, entry.stored_owner->value});
  const Mark mark = without_file(entry.mark);
  const std::string kernel(user_marks || mark == Mark::user ? kUser : kTrusted);
  const bool is_xattr_mark = mark == Mark::xattr || mark == Mark::user;
  if (entry.kind == EntryKind::directory && (is_xattr_mark || (user_marks && entry.mark != Mark::none))) {
    xattrs.push_back({kernel + "opaque", "y"});
  } else if (entry.kind == EntryKind::directory && mark == Mark::fuse) {
    xattrs.push_back({std::string(kFuseOpaque), "y"});
  } else if (entry.kind == EntryKind::whiteout && (is_xattr_mark || user_marks)) {
    xattrs.push_back({kernel + "whiteout", ""});
  }
  std::ranges::sort(xattrs, {}, &Xattr::name);
  return xattrs;
}

void Signs::note(const Entry& entry, bool user_marks) {
  const Escaped escaped = user_marks ? Escaped::user : entry.escaped;
  has_plain_trusted_ |= !escapes(escaped, kTrusted) && any_begins_with(entry.xattrs, kTrusted);
  has_plain_user_ |= !escapes(escaped, kUser) && any_begins_with(entry.xattrs, kUser);
  has_trusted_marks_ |= !user_marks && without_file(entry.mark) == Mark::xattr;
  has_user_marks_ |= user_marks || without_file(entry.mark) == Mark::user;
  is_fuse_ |= !user_marks && (has_file(entry.mark) || entry.stored_owner);
}

std::vector<Xattr> Signs::missing(const std::vector<Xattr>& root) const {
  std::vector<Xattr> signs;
  const bool trusted = any_begins_with(root, kTrusted), user = any_begins_with(root, kUser);
  // Overlayfs sets this one itself as soon as something is copied up.
  const bool is_trusteds = has_trusted_marks_ || has_plain_user_, is_users = has_user_marks_ || has_plain_trusted_;
  if (has_plain_trusted_ && !is_trusteds && !user) signs.push_back({"user.overlay.impure", "y"});
  if (has_plain_user_ && !is_users && !trusted) signs.push_back({"trusted.overlay.impure", "y"});
  if (is_fuse_ && !shows_fuse(root)) signs.push_back({"user.fuseoverlayfs.upper", "y"});
  return signs;
}

}  // namespace cairn::layer
