#include "layer/layers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "layer/trusted.h"

namespace cairn::layer {
namespace {

Error hidden_marks(const std::string& path) {
  return Error(ErrorKind::unsupported,
               fmt::format("{} may have marks of overlayfs that this process is not shown (trusted.* attributes: which "
                           "names are deleted or replaced, and which contents lie elsewhere): give it CAP_SYS_ADMIN "
                           "outside of any user namespace (docker: --cap-add SYS_ADMIN), or, if no overlay mount of "
                           "root's has written there, say so with --accept-hidden-attributes",
                           path));
}

}  // namespace

// Where a name is looked for next: it goes down layer by layer, and a redirect met on the way changes name and place.
struct Layers::Trail {
  Places places;
  std::string name;
  std::size_t next = 0;

  bool at_end() const { return next == places.size(); }
  Result<void> follow(const std::string& redirect, const Layers& layers);
};

Result<void> Layers::Trail::follow(const std::string& redirect, const Layers& layers) {
  if (!redirect.starts_with('/')) {
    name = redirect;
    return {};
  }
  // From the roots of all layers further down, whose own marks count on the way.
  const std::string path = redirect.substr(1);
  const int layer = places[next - 1].layer;
  next = 0;
  name = name_of(path);
  Places roots = layers.roots_;
  std::erase_if(roots, [&](const Place& root) { return root.layer <= layer; });
  CAIRN_ASSIGN(places, layers.descend(std::move(roots), parent_of(path)));
  return {};
}

Result<std::unique_ptr<Layers>> Layers::open(const std::string& upper, const std::vector<std::string>& lower,
                                             LayerMarks marks, LayerHiddenAttributes hidden) {
  CAIRN_TRY(check_proc());
  auto layers = std::make_unique<Layers>();
  std::vector<std::string> all{upper};
  all.insert(all.end(), lower.begin(), lower.end());
  for (const std::string& path : all) {
    FileDescriptor root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root.is_open()) return os_error(errno, path);
    const auto layer = static_cast<int>(layers->roots_.size());
    layers->roots_.push_back({std::make_shared<FileDescriptor>(std::move(root)), layer});
  }
  CAIRN_ASSIGN(layers->sees_trusted_, layer::sees_trusted());
  if (!layers->sees_trusted_ && hidden == LayerHiddenAttributes::refuse) {
    CAIRN_ASSIGN(const Owners owners, owners_of(layers->upper().fd()));
    if (may_be_marked(owners)) return hidden_marks(upper);
    layers->not_expected_ = owners.root;
  }
  layers->path_ = upper;
  CAIRN_ASSIGN(const auto xattrs, xattrs_at(layers->upper().fd(), ""));
  layers->forms_ = forms_of_root(xattrs, marks);
  return layers;
}

// The kernel makes whiteouts in the name of whoever has mounted.
Result<void> Layers::check_whiteout(const struct statx& whiteout) const {
  return not_expected_ == whiteout.stx_uid ? hidden_marks(path_) : Result<void>();
}

Result<Places> Layers::merged_directory(const Places& places, const std::string& name) const {
  Trail trail{places, name};
  Places found;
  while (!trail.at_end()) {
    const Place place = trail.places[trail.next++];
    CAIRN_ASSIGN(const auto status, status_at(place.fd(), trail.name));
    if (!status) continue;
    if (!S_ISDIR(status->stx_mode)) break;  // a whiteout, or a file that hides what is below
    CAIRN_ASSIGN(auto xattrs, xattrs_at(place.fd(), trail.name));
    CAIRN_ASSIGN(const OverlayMarks marks, take_marks(xattrs, forms_));
    CAIRN_ASSIGN(auto opened, open_directory(place.fd(), trail.name));
    if (!opened) break;
    found.push_back({std::make_shared<FileDescriptor>(std::move(*opened)), place.layer});
    if (marks.opaque != Mark::none) break;
    if (marks.redirect) CAIRN_TRY(trail.follow(*marks.redirect, *this));
  }
  return found;
}

Result<Places> Layers::merged_directory(std::string_view path) const { return descend(roots_, path); }

Result<Places> Layers::descend(Places places, std::string_view path) const {
  while (!path.empty() && !places.empty()) {
    const std::string name(path.substr(0, path.find('/')));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    CAIRN_ASSIGN(places, merged_directory(places, name));
  }
  return places;
}

Result<std::optional<FileDescriptor>> Layers::contents_of(int layer, const Places& below, const std::string& name,
                                                          const std::optional<std::string>& redirect) const {
  // The metacopy's own layer has been passed already: where an absolute redirect begins depends on it.
  Trail trail{{Place{nullptr, layer}}, name, 1};
  trail.places.insert(trail.places.end(), below.begin(), below.end());
  if (redirect) CAIRN_TRY(trail.follow(*redirect, *this));
  while (!trail.at_end()) {
    const Place place = trail.places[trail.next++];
    CAIRN_ASSIGN(const auto status, status_at(place.fd(), trail.name));
    if (!status) continue;
    if (!S_ISREG(status->stx_mode)) break;
    CAIRN_ASSIGN(auto xattrs, xattrs_at(place.fd(), trail.name));
    CAIRN_ASSIGN(const OverlayMarks marks, take_marks(xattrs, forms_));
    if (!marks.metacopy) return open_file(place.fd(), trail.name);
    if (marks.redirect) CAIRN_TRY(trail.follow(*marks.redirect, *this));
  }
  return std::optional<FileDescriptor>();
}

Result<Places> Layers::below(std::string_view path) const {
  CAIRN_ASSIGN(Places places, merged_directory(path));
  std::erase_if(places, [](const Place& place) { return place.layer == 0; });
  return places;
}

Error needs_lower(std::string_view mark, std::string_view what) {
  return Error(ErrorKind::unsupported,
               fmt::format("{} in a lower directory (attribute {}): name all lower directories of the mount with "
                           "--lower, the topmost first",
                           what, mark));
}

Result<std::optional<FileDescriptor>> open_file(int directory, const std::string& path) {
  struct open_how how {};
  // Without O_NONBLOCK opening a FIFO that has taken the file's place would wait for a writer.
  how.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOATIME;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  for (;;) {
    const auto opened = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
    if (opened >= 0) return std::optional(FileDescriptor(static_cast<int>(opened)));
    if (errno == EAGAIN || errno == EINTR) continue;
    if (errno == EPERM && (how.flags & O_NOATIME) != 0) {  // not ours
      how.flags &= ~static_cast<std::uint64_t>(O_NOATIME);
      continue;
    }
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV || errno == ENXIO) {
      return std::optional<FileDescriptor>();
    }
    return os_error(errno, path);
  }
}

}  // namespace cairn::layer
