// From the newest run back to the snapshot: the first version met of a page is the newest. `limit` is the smallest
// page count of the target and of every point passed on the way: a page beyond it did not live through to the target,
// whatever an older run says.

#include "restore/pages.h"

#include <fmt/format.h>

#include <algorithm>

namespace cairn::restore {
namespace {

class Selector {
 public:
  explicit Selector(const Chain& chain)
      : chain_(chain), settled_(std::uint64_t{chain.point.page_count} + 1), limit_(chain.point.page_count) {}

  Result<Selection> run() {
    selection_.wanted.resize(chain_.links.size());
    bool restated = false;
    for (std::size_t i = chain_.links.size() - 1; i > 0 && !restated; --i) {
      CAIRN_TRY(take_segment(chain_.links[i], selection_.wanted[i]));
      restated = chain_.links[i].restates;
    }
    if (!restated) take_snapshot(chain_.links[0], selection_.wanted[0]);
    CAIRN_TRY(check_complete());
    return std::move(selection_);
  }

 private:
  Result<void> take_segment(const ChainLink& link, Bitmap& wanted) {
    CAIRN_ASSIGN(const segment::PageIndex index, link.reader->index());
    wanted = Bitmap(index.pages.size());
    for (std::size_t point = link.end_point; point-- > link.first_point;) {
      limit_ = std::min(limit_, link.footer().points[point].page_count);
      const std::uint64_t end = link.frames_end(point);
      if (link.frames_begin(point) > end || end > index.pages.size()) {
        return segment::damaged_object(link.object.name.key, "it has fewer frames than its table of commits says");
      }
      for (std::uint64_t frame = link.frames_begin(point); frame < end; ++frame) {
        const std::uint32_t page = index.pages[frame].value;
        if (page == 0 || page > limit_ || settled_.test(page)) continue;
        settled_.set(page);
        wanted.set(frame);
      }
    }
    return {};
  }

  void take_snapshot(const ChainLink& link, Bitmap& wanted) {
    const std::uint32_t pages = std::min(limit_, link.footer().page_count());
    const std::uint32_t lock_page = segment::lock_byte_page(chain_.page_size).value;
    wanted = Bitmap(link.footer().page_count());
    for (std::uint32_t page = 1; page <= pages; ++page) {
      if (page == lock_page || settled_.test(page)) continue;
      settled_.set(page);
      wanted.set(page - 1);
    }
  }

  Result<void> check_complete() const {
    const std::uint32_t lock_page = segment::lock_byte_page(chain_.page_size).value;
    for (std::uint64_t page = 1; page <= chain_.point.page_count; ++page) {
      if (settled_.test(page) || page == lock_page) continue;
      return Error(ErrorKind::corrupt, fmt::format("page {} of the state at sequence {} is in no object of the replica",
                                                   page, chain_.point.sequence.value));
    }
    return {};
  }

  const Chain& chain_;
  Bitmap settled_;  // by page number: found, or not needed
  std::uint32_t limit_;
  Selection selection_;
};

}  // namespace

Result<Selection> select_pages(const Chain& chain) { return Selector(chain).run(); }

}  // namespace cairn::restore
