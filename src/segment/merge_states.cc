// The database hash is the XOR of all page hashes. So a run takes it from one state to the next by the hashes of its
// own pages and of those that they replace; pages by which the database was cut count too. A replaced page's hash is
// known if an earlier run of the merge wrote it: in a range of many publishes that is so for most runs, because most
// pages that change have changed a moment ago.

#include "segment/merge_states.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <unordered_map>

namespace cairn::segment {
namespace {

// Page hashes as far as they are known. Only what is written takes memory: 8 bytes a page, in pieces of 4 KiB.
class KnownHashes {
 public:
  explicit KnownHashes(std::span<const std::uint64_t> before) : before_(before) {}

  // 0: not known. (A page whose hash is 0 is one in 2^64, and then only less is proven.)
  std::uint64_t of(std::uint32_t page) {
    const std::uint64_t* written = slot(page);
    if (written != nullptr && *written != 0) return *written;
    return page <= before_.size() ? before_[page - 1] : 0;
  }

  void set(std::uint32_t page, std::uint64_t hash) {
    if (std::uint64_t* known = slot(page)) {
      *known = hash;
      return;
    }
    current_ = (pieces_[page / kPiece] = std::make_unique<Piece>()).get();
    (*current_)[page % kPiece] = hash;
  }

 private:
  static constexpr std::uint32_t kPiece = 512;
  using Piece = std::array<std::uint64_t, kPiece>;

  // Runs are sorted: the next page mostly lies in the same piece.
  std::uint64_t* slot(std::uint32_t page) {
    if (current_number_ != page / kPiece || current_ == nullptr) {
      current_number_ = page / kPiece;
      const auto found = pieces_.find(current_number_);
      current_ = found != pieces_.end() ? found->second.get() : nullptr;
    }
    return current_ != nullptr ? &(*current_)[page % kPiece] : nullptr;
  }

  const std::span<const std::uint64_t> before_;
  std::unordered_map<std::uint32_t, std::unique_ptr<Piece>> pieces_;
  std::uint32_t current_number_ = 0;
  Piece* current_ = nullptr;
};

class StateChecker {
 public:
  StateChecker(std::span<ObjectReader* const> inputs, std::span<const std::uint64_t> hashes_before)
      : inputs_(inputs), lock_page_(lock_byte_page(inputs.front()->footer().page_size).value), known_(hashes_before),
        hash_(inputs.front()->footer().hash_before) {
    if (!hashes_before.empty()) page_count_ = static_cast<std::uint32_t>(hashes_before.size());
  }

  Result<void> check_beginning(std::span<const std::uint64_t> hashes_before) const {
    std::uint64_t sum = 0;
    for (const std::uint64_t hash : hashes_before) sum ^= hash;
    if (hashes_before.empty() || sum == hash_) return {};
    return Error(ErrorKind::corrupt, fmt::format("{} builds on another state than the one whose page hashes were given "
                                                 "(database hash {:016x}, not {:016x})", inputs_.front()->name(), hash_,
                                                 sum));
  }

  Result<void> add(const MergeRun& run) {
    CAIRN_TRY(check_growth(run));
    const PageIndex& index = inputs_[run.input]->segment_index();
    bool proves = page_count_.has_value();
    std::uint64_t hash = hash_;
    // What fell away first: a run that cuts the database has no page beyond its end.
    if (proves) proves = take_away_cut_pages(run.point.page_count, hash);
    for (std::uint64_t entry = run.begin; entry < run.end; ++entry) {
      const std::uint32_t page = index.pages[entry].value;
      const bool replaces = !page_count_ || page <= *page_count_;
      const std::uint64_t old = replaces ? known_.of(page) : 0;
      proves = proves && (!replaces || old != 0);
      hash ^= old ^ index.hashes[entry];
      known_.set(page, index.hashes[entry]);
    }
    if (proves && hash != run.point.hash_after) return wrong_sum(run);
    proven_ += proves ? 1 : 0;
    hash_ = run.point.hash_after;
    page_count_ = run.point.page_count;
    return {};
  }

  std::uint64_t proven() const { return proven_; }

 private:
  // Pages are sorted and no page comes twice, so it is enough to count those beyond the old end.
  Result<void> check_growth(const MergeRun& run) const {
    if (!page_count_ || run.point.page_count <= *page_count_) return {};
    const std::vector<PageNo>& pages = inputs_[run.input]->segment_index().pages;
    const auto end = pages.begin() + static_cast<std::ptrdiff_t>(run.end);
    const auto added = std::upper_bound(pages.begin() + static_cast<std::ptrdiff_t>(run.begin), end,
                                        PageNo(*page_count_));
    std::uint64_t expected = run.point.page_count - *page_count_;
    if (*page_count_ < lock_page_ && lock_page_ <= run.point.page_count) --expected;
    if (static_cast<std::uint64_t>(end - added) == expected) return {};
    return Error(ErrorKind::corrupt,
                 fmt::format("{} lacks pages: the database grew from {} to {} pages at sequence {}, and {} of the new "
                             "ones are there. 'cairn verify' tells what else needs it", inputs_[run.input]->name(),
                             *page_count_, run.point.page_count, run.point.sequence.value, end - added));
  }

  // False: one of them is not known.
  bool take_away_cut_pages(std::uint32_t page_count, std::uint64_t& hash) {
    for (std::uint32_t page = *page_count_; page > page_count; --page) {
      if (page == lock_page_) continue;
      const std::uint64_t old = known_.of(page);
      if (old == 0) return false;
      hash ^= old;
    }
    return true;
  }

  Error wrong_sum(const MergeRun& run) const {
    return Error(ErrorKind::corrupt,
                 fmt::format("{}: the pages of sequence {} do not add up to its database hash: it, or an object before "
                             "it, lacks a page or has one of another state. 'cairn verify' finds which",
                             inputs_[run.input]->name(), run.point.sequence.value));
  }

  const std::span<ObjectReader* const> inputs_;
  const std::uint32_t lock_page_;
  KnownHashes known_;
  std::uint64_t hash_;
  std::optional<std::uint32_t> page_count_;  // of the state before the next run
  std::uint64_t proven_ = 0;
};

}  // namespace

Result<std::uint64_t> check_states(std::span<ObjectReader* const> inputs, std::span<const MergeRun> runs,
                                   std::span<const std::uint64_t> hashes_before) {
  StateChecker checker(inputs, hashes_before);
  CAIRN_TRY(checker.check_beginning(hashes_before));
  for (const MergeRun& run : runs) CAIRN_TRY(checker.add(run));
  return checker.proven();
}

}  // namespace cairn::segment
