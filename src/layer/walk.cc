#include "layer/walk.h"

#include <fmt/format.h>

#include <algorithm>

#include "layer/tar_fields.h"

namespace cairn::layer {
namespace {

// Directories held open at a time, at most, below the root.
constexpr std::size_t kOpenDirectories = 64;

}  // namespace

Result<bool> Walk::next(Step& into) {
  if (!begun_) {
    begun_ = true;
    root_ = {layers_.upper()};
    into = Step{};
    return true;
  }
  if (frames_.empty()) return false;
  Frame* frame = &frames_.back();
  if (frame->places.empty()) CAIRN_TRY(open_again(*frame));
  for (; frame->next < frame->items.size(); ++frame->next) {
    CAIRN_ASSIGN(const bool left_out, is_left_out(*frame, frame->next));
    if (!left_out) break;
  }

  path_.resize(frame->path_bytes);
  into.path = path_;
  into.status = nullptr;
  if (frame->next == frame->items.size()) {
    into.what = Step::What::leave;
    frames_.pop_back();
    return true;
  }
  if (!frame->statuses.empty() && frame->statuses[frame->next]) into.status = &*frame->statuses[frame->next];
  const Item& item = frame->items[frame->next++];
  if (!path_.empty()) path_ += '/';
  path_ += item.name;
  into.what = Step::What::name;
  into.path = path_;
  into.name = item.name;
  into.place = item.place;
  into.is_whiteout_file = item.is_whiteout_file;
  into.company = item.company;
  return true;
}

Result<void> Walk::enter() {
  const std::string key = sort_key(path_);
  const bool is_ahead = ahead_ != nullptr && ReadAhead::reaches(key);
  if (frames_.empty() && !is_ahead) return enter(root_);
  const Item* item = frames_.empty() ? nullptr : &frames_.back().items[frames_.back().next - 1];
  const std::string name = item != nullptr ? item->name : std::string();
  const Place& parent = item != nullptr ? frames_.back().places[item->place] : root_.front();
  if (is_ahead && parent.layer == 0 && directory().size() == 1) {
    CAIRN_ASSIGN(Listing listing, ahead_->take(key, parent.directory, name));
    return enter(std::move(listing));
  }
  CAIRN_ASSIGN(auto opened, open_directory(parent.fd(), name));
  if (!opened) return enter(Places());  // it has vanished, or become something else: there is nothing in it
  return enter({Place{std::make_shared<FileDescriptor>(std::move(*opened)), parent.layer}});
}

Result<void> Walk::enter(Listing listing) {
  if (!listing.directory) return enter(Places());
  Frame frame;
  frame.path_bytes = path_.size();
  frame.items.reserve(listing.names.size());
  for (std::string& name : listing.names) frame.items.emplace_back().name = std::move(name);
  find_company(frame.items);
  frame.statuses = std::move(listing.statuses);
  frame.places.push_back({std::move(listing.directory), 0});
  frames_.push_back(std::move(frame));
  return close_far_ones();
}

Result<void> Walk::enter(Places places) {
  Frame frame;
  frame.path_bytes = path_.size();
  CAIRN_ASSIGN(frame.items, list(places));
  frame.places = std::move(places);
  if (frame.places.empty()) frame.places.push_back(layers_.upper());  // never used: it has no names
  frames_.push_back(std::move(frame));
  return close_far_ones();
}

void Walk::leave_out_company() {
  Frame& frame = frames_.back();
  frame.items[frame.next - 1].leaves_out_company = true;
}

void Walk::leave_out_journal() {
  Frame& frame = frames_.back();
  frame.items[frame.next - 1].leaves_out_journal = true;
}

// What is no file is no part of a database, whatever its name, and may hold more than that.
Result<bool> Walk::is_left_out(const Frame& frame, std::size_t at) const {
  const Item& item = frame.items[at];
  if (item.companion_of == kNone) return false;
  const Item& of = frame.items[item.companion_of];
  if (!(item.is_journal ? of.leaves_out_journal : of.leaves_out_company)) return false;
  if (!frame.statuses.empty() && frame.statuses[at]) return S_ISREG(frame.statuses[at]->stx_mode);
  CAIRN_ASSIGN(const auto status, status_at(frame.places[item.place].fd(), item.name));
  return !status || S_ISREG(status->stx_mode);
}

Result<std::vector<Walk::Item>> Walk::list(const Places& places) const {
  std::vector<Item> items;
  for (std::size_t place = 0; place < places.size(); ++place) {
    CAIRN_ASSIGN(auto names, names_in(places[place].fd()));
    items.reserve(items.size() + names.size());
    for (std::string& name : names) {
      Item item;
      const bool is_mark = layers_.forms().fuse && name.starts_with(kWhiteoutPrefix);
      // `.wh..wh..opq` and its like are marks of the directory itself.
      if (is_mark && name.starts_with(std::string(kWhiteoutPrefix) + std::string(kWhiteoutPrefix))) continue;
      item.is_whiteout_file = is_mark;
      item.name = is_mark ? name.substr(kWhiteoutPrefix.size()) : std::move(name);
      item.place = static_cast<std::uint16_t>(place);
      items.push_back(std::move(item));
    }
  }
  if (places.size() > 1 || layers_.forms().fuse) {
    // The topmost of each name; beside a name that is there its whiteout says nothing.
    std::ranges::stable_sort(items, [](const Item& a, const Item& b) {
      return std::tie(a.name, a.place, a.is_whiteout_file) < std::tie(b.name, b.place, b.is_whiteout_file);
    });
    const auto repeated = std::ranges::unique(items, {}, &Item::name);
    items.erase(repeated.begin(), repeated.end());
  }
  find_company(items);
  return items;
}

void Walk::find_company(std::vector<Item>& items) {
  for (Item& item : items) {
    const std::size_t dash = item.name.rfind('-');
    if (dash == std::string::npos || dash == 0) continue;
    const std::string_view ending = std::string_view(item.name).substr(dash);
    const bool wal = ending == "-wal", shm = ending == "-shm", journal = ending == "-journal";
    if (!wal && !shm && !journal) continue;
    const std::string base = item.name.substr(0, dash);
    const auto found = std::ranges::lower_bound(items, base, {}, &Item::name);
    if (found == items.end() || found->name != base || found->is_whiteout_file || item.is_whiteout_file) continue;
    if (wal) found->company.wal = true;
    if (shm) found->company.shm = true;
    if (journal) found->company.journal = true;
    item.is_journal = journal;
    item.companion_of = static_cast<std::uint32_t>(found - items.begin());
  }
}

Result<void> Walk::close_far_ones() {
  if (frames_.size() <= kOpenDirectories) return {};
  Frame& far = frames_[frames_.size() - kOpenDirectories - 1];
  if (far.places.size() != 1 || far.path_bytes == 0) return {};
  CAIRN_ASSIGN(const auto status, status_at(far.places.front().fd(), ""));
  if (!status || far.places.front().layer != 0) return {};
  far.inode = status->stx_ino;
  far.places.clear();
  return {};
}

// The directory may have been moved or removed meanwhile. What it still holds is not at this path any more then.
Result<void> Walk::open_again(Frame& frame) {
  CAIRN_ASSIGN(auto opened, open_directory(layers_.upper().fd(), path_.substr(0, frame.path_bytes)));
  std::optional<struct statx> status;
  if (opened) {
    CAIRN_ASSIGN(status, status_at(opened->get(), ""));
  }
  if (!status || status->stx_ino != frame.inode) {
    frame.next = frame.items.size();
    frame.places.push_back(layers_.upper());
    return {};
  }
  frame.places.push_back({std::make_shared<FileDescriptor>(std::move(*opened)), 0});
  return {};
}

}  // namespace cairn::layer
