// What only Cairn needs, in the value of one `comment` record: "cairn mark=device", "cairn holes=0+4096,8192+512",
// "cairn forgotten=a/b%20c", "cairn escaped=user", "cairn owner=containers/0%3A0%3A755/1000/1000/100644", fields in the
// order below, a blank between them. Names and values have all bytes but A-Z a-z 0-9 . _ - as %XX, a '/' between them.

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "layer/percent.h"
#include "layer/tar_fields.h"

namespace cairn::layer {
namespace {

constexpr std::string_view kComment = "cairn";
constexpr std::array<std::string_view, 9> kMarkNames = {"",     "device", "xattr",      "user",     "file",
                                                        "fuse", "xattr+file", "user+file", "fuse+file"};

constexpr std::array<std::string_view, 3> kEscapedNames = {"", "user", "both"};
// Of attributes that keep an owner, and the attributes themselves.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kOwnerNames = {
    {{"containers", "user.containers.override_stat"},
     {"fuse", "user.fuseoverlayfs.override_stat"},
     {"privileged", "security.fuseoverlayfs.override_stat"}}};

bool parse_mark(std::string_view text, Mark& mark) {
  for (std::size_t i = 1; i < kMarkNames.size(); ++i) {
    if (text != kMarkNames[i]) continue;
    mark = static_cast<Mark>(i);
    return true;
  }
  return false;
}

// The piece of `text` up to `separator`, and `text` behind it.
std::string_view take_until(std::string_view& text, char separator) {
  const std::string_view piece = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(piece.size() + 1, text.size()));
  return piece;
}

bool parse_offset(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_holes(std::string_view text, std::vector<Hole>& holes) {
  while (!text.empty()) {
    std::string_view piece = take_until(text, ',');
    Hole hole;
    if (!parse_offset(take_until(piece, '+'), hole.offset) || !parse_offset(piece, hole.length)) return false;
    holes.push_back(hole);
  }
  return true;
}

bool parse_names(std::string_view text, std::vector<std::string>& names) {
  while (!text.empty()) {
    auto name = percent_decoded(take_until(text, '/'));
    if (!name) return false;
    names.push_back(std::move(*name));
  }
  return true;
}

bool parse_escaped(std::string_view text, Escaped& escaped) {
  for (std::size_t i = 1; i < kEscapedNames.size(); ++i) {
    if (text != kEscapedNames[i]) continue;
    escaped = static_cast<Escaped>(i);
    return true;
  }
  return false;
}

bool parse_count(std::string_view text, int base, std::uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_owner(std::string_view text, std::optional<StoredOwner>& into) {
  StoredOwner owner;
  const std::string_view form = take_until(text, '/');
  for (const auto& [name, attribute] : kOwnerNames) {
    if (form == name) owner.attribute = attribute;
  }
  auto value = percent_decoded(take_until(text, '/'));
  if (owner.attribute.empty() || !value) return false;
  owner.value = std::move(*value);
  const bool is_read = parse_count(take_until(text, '/'), 10, owner.uid) &&
                       parse_count(take_until(text, '/'), 10, owner.gid) && parse_count(text, 8, owner.mode);
  if (is_read) into = std::move(owner);
  return is_read;
}

std::string owner_text(const StoredOwner& owner) {
  std::string_view form;
  for (const auto& [name, attribute] : kOwnerNames) {
    if (owner.attribute == attribute) form = name;
  }
  return fmt::format("{}/{}/{}/{}/{:o}", form, percent_encoded(owner.value), owner.uid, owner.gid, owner.mode);
}

}  // namespace

std::string write_comment(const Entry& entry) {
  std::string comment;
  if (entry.mark != Mark::none) {
    comment.append(" mark=").append(kMarkNames[static_cast<std::size_t>(entry.mark)]);
  }
  std::string_view before = " holes=";
  for (const Hole& hole : entry.holes) {
    comment.append(before).append(fmt::format("{}+{}", hole.offset, hole.length));
    before = ",";
  }
  before = " forgotten=";
  for (const std::string& name : entry.forgotten) {
    comment.append(before).append(percent_encoded(name));
    before = "/";
  }
  if (entry.escaped != Escaped::trusted) {
    comment.append(" escaped=").append(kEscapedNames[static_cast<std::size_t>(entry.escaped)]);
  }
  if (entry.stored_owner) comment.append(" owner=").append(owner_text(*entry.stored_owner));
  return comment.empty() ? comment : std::string(kComment).append(comment);
}

bool parse_comment(std::string_view comment, Entry& entry) {
  if (take_until(comment, ' ') != kComment) return false;
  while (!comment.empty()) {
    std::string_view field = take_until(comment, ' ');
    const std::string_view name = take_until(field, '=');
    const bool known = name == "mark"        ? parse_mark(field, entry.mark)
                       : name == "holes"     ? parse_holes(field, entry.holes)
                       : name == "forgotten" ? parse_names(field, entry.forgotten)
                       : name == "escaped"   ? parse_escaped(field, entry.escaped)
                       : name == "owner"     ? parse_owner(field, entry.stored_owner)
                                             : false;
    if (!known) return false;
  }
  return true;
}

}  // namespace cairn::layer
