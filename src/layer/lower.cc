#include "layer/lower.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "layer/look.h"
#include "layer/walk.h"

namespace cairn::layer {
namespace {

Entry opaque_of(const Entry& directory) { return mark_entry(directory.path, EntryKind::opaque, directory.mark); }

// A directory that hides what is below becomes two entries, as in a layer.
class Marked {
 public:
  // What is handed out now; the mark that belongs to it is kept for the next time.
  MergedEntry pass(MergedEntry merged) {
    Entry& entry = merged.indexed.entry;
    if (entry.kind != EntryKind::directory || entry.mark == Mark::none) return merged;
    mark_ = merged;
    mark_->indexed.entry = opaque_of(entry);
    return merged;
  }
  std::optional<MergedEntry> take() { return std::exchange(mark_, std::nullopt); }

 private:
  std::optional<MergedEntry> mark_;
};

// For cursors that have nothing better than to read on.
class ReadingOn : public MergeCursor {
 public:
  Result<std::optional<MergedEntry>> next() final {
    if (pending_) return std::exchange(pending_, std::nullopt);
    return read();
  }
  Result<void> skip_to(std::string_view path) final {
    CAIRN_ASSIGN(std::optional<MergedEntry> entry, next());
    while (entry && in_order(entry->indexed.entry.path, path)) {
      CAIRN_ASSIGN(entry, read());
    }
    pending_ = std::move(entry);
    return {};
  }

 private:
  virtual Result<std::optional<MergedEntry>> read() = 0;

  std::optional<MergedEntry> pending_;
};

class DirectoryCursor final : public ReadingOn {
 public:
  DirectoryCursor(const Layers& layers, const std::string& root, std::size_t label)
      : root_(root), label_(label), walk_(layers), forms_(layers.forms()) {}

 private:
  Result<std::optional<MergedEntry>> read() override {
    if (auto mark = marked_.take()) return mark;
    for (Step step;;) {
      CAIRN_ASSIGN(const bool more, walk_.next(step));
      if (!more) return std::optional<MergedEntry>();
      if (step.what == Step::What::leave) {
        rules_.pop_back();
        continue;
      }
      auto entry = entry_of(step);
      if (!entry) return entry.error().with(fmt::format("{}/{}", root_, step.path));
      if (!*entry) continue;
      MergedEntry merged;
      merged.layer = label_;
      merged.indexed.entry = std::move(**entry);
      merged.indexed.entry.path = step.path;
      return marked_.pass(std::move(merged));
    }
  }

  // Nothing: it is gone by now, or a socket.
  Result<std::optional<Entry>> entry_of(const Step& step) {
    if (step.is_whiteout_file) return mark_entry(step.path, EntryKind::whiteout, Mark::file);
    const int directory = walk_.directory()[step.place].fd();
    CAIRN_ASSIGN(const auto status, status_at(directory, step.name));
    if (!status) return std::optional<Entry>();
    if (step.path.empty()) mount_ = status->stx_mnt_id;
    const LookRules rules{forms_, !rules_.empty() && rules_.back()};
    CAIRN_ASSIGN(auto look, look_at(directory, step.name, *status, rules));
    if (!look || look->is_socket) return std::optional<Entry>();
    if (look->marks.metacopy || look->marks.redirect) return needs_lower("a metacopy or a redirect", step.path);
    if (look->entry.kind == EntryKind::directory) {
      // Another mount is not part of it: an overlay does not look into one either.
      if (status->stx_mnt_id != mount_) return std::move(look->entry);
      CAIRN_TRY(walk_.enter());
      rules_.push_back(look->marks.has_xattr_whiteouts);
      return std::move(look->entry);
    }
    const bool is_linked = status->stx_nlink > 1 && look->entry.kind != EntryKind::whiteout;
    if (!is_linked) return std::move(look->entry);
    const auto [known, is_new] = links_.try_emplace({device_of(*status), status->stx_ino}, step.path);
    if (is_new) return std::move(look->entry);
    return link_entry(std::move(look->entry), known->second);
  }

  const std::string& root_;
  const std::size_t label_;
  Walk walk_;
  const MarkForms forms_;
  std::vector<bool> rules_;  // of each directory on the way: it may have whiteouts of the attribute form
  std::uint64_t mount_ = 0;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> links_;
  Marked marked_;
};

class ChainCursor final : public ReadingOn {
 public:
  explicit ChainCursor(std::unique_ptr<MergedChain> chain) : chain_(std::move(chain)) {}

 private:
  Result<std::optional<MergedEntry>> read() override {
    if (auto mark = marked_.take()) return mark;
    CAIRN_ASSIGN(std::optional<MergedEntry> entry, chain_->next());
    if (!entry) return entry;
    return marked_.pass(std::move(*entry));
  }

  const std::unique_ptr<MergedChain> chain_;
  Marked marked_;
};

}  // namespace

Result<std::unique_ptr<LowerDirectory>> LowerDirectory::open(const std::string& path, LayerHiddenAttributes hidden,
                                                             std::size_t label) {
  CAIRN_ASSIGN(auto layers, Layers::open(path, {}, LayerMarks::automatic, hidden));
  return std::unique_ptr<LowerDirectory>(new LowerDirectory(path, label, std::move(layers)));
}

MergeSource LowerDirectory::source() const {
  return {path_, true, [this]() -> Result<std::unique_ptr<MergeCursor>> {
            return std::make_unique<DirectoryCursor>(*layers_, path_, label_);
          }};
}

Result<FileDescriptor> LowerDirectory::open_file(const std::string& path) const {
  CAIRN_ASSIGN(auto file, layer::open_file(layers_->upper().fd(), path));
  if (file) return std::move(*file);
  return Error(ErrorKind::io, fmt::format("{}/{} vanished while it was copied", path_, path));
}

std::unique_ptr<MergedChain> merge_over(const std::vector<std::unique_ptr<LowerDirectory>>& lower,
                                        std::function<std::unique_ptr<MergedChain>()> chain,
                                        std::optional<std::string> path) {
  std::vector<MergeSource> sources;
  for (auto directory = lower.rbegin(); directory != lower.rend(); ++directory) {
    sources.push_back((*directory)->source());
  }
  sources.push_back({"the upper directory", true, [make = std::move(chain)]() -> Result<std::unique_ptr<MergeCursor>> {
                       return std::make_unique<ChainCursor>(make());
                     }});
  return merge_sources(std::move(sources), std::move(path));
}

}  // namespace cairn::layer
