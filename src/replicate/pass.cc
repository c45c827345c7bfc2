#include "replicate/pass.h"

#include <algorithm>

#include "segment/keys.h"

namespace cairn::replicate {
namespace {
constexpr const char* kHashesName = "pass_hashes";
constexpr const char* kScratchName = "pass_scratch";
}  // namespace

Result<std::unique_ptr<Pass>> Pass::open(const Input& input, const Time& now) {
  std::unique_ptr<Pass> pass(new Pass(input));
  const std::string& directory = input.shared.options.state_directory;
  CAIRN_ASSIGN(pass->view_,
               FrozenView::open(input.database, input.index, input.shared.files, join_path(directory, kScratchName),
                                input.spool.scratch(input.shared.options.pages_in_memory)));
  const std::uint64_t count = pass->view_->page_count();
  if (input.goal == PassGoal::snapshot && input.known.page_count() != count)
    return Error(ErrorKind::busy, "the database has another size than was captured");
  CAIRN_ASSIGN(auto mapped, input.shared.files.map(join_path(directory, kHashesName), count * 8));
  // The name is not needed any more; the mapping stays until its owner is gone.
  CAIRN_TRY(input.shared.files.remove(join_path(directory, kHashesName)));
  pass->hashes_ = {reinterpret_cast<std::uint64_t*>(mapped->bytes().data()), count};
  pass->own_hashes_ = std::move(mapped);
  pass->input_.head.page_size = pass->view_->page_size();
  if (input.goal == PassGoal::snapshot) std::ranges::copy(input.known.all().first(count), pass->hashes_.begin());
  if (pass->makes_snapshot()) CAIRN_TRY(pass->open_snapshot(now));
  return pass;
}

Pass::~Pass() {
  if (job_ && !snapshot_ended_) job_->writer->abandon();
}

Result<void> Pass::open_snapshot(const Time& now) {
  job_ = std::make_shared<SnapshotJob>();
  job_->sequence = input_.head.last;
  job_->time_ms = input_.key_time_ms;
  job_->key = segment::snapshot_key(input_.shared.options.replica, input_.key_time_ms, job_->sequence);
  job_->page_size = view_->page_size();
  job_->page_count = view_->page_count();
  job_->data_size_bytes = std::uint64_t{job_->page_count} * job_->page_size;
  job_->lineage = input_.head.lineage;
  job_->planned = goal_ == PassGoal::begin;  // there is nothing yet to copy from
  segment::ObjectHead head = input_.head;
  head.kind = segment::ObjectKind::snapshot;
  head.first = head.last;
  head.first_time_ms = head.last_time_ms = now.wall_ms;
  head.hash_before = 0;
  CAIRN_ASSIGN(job_->writer, segment::SnapshotWriter::open(head, input_.shared.executor,
                                                           input_.shared.options.snapshot_level));
  job_->hashes = std::move(own_hashes_);
  MutexLock hold(input_.shared.mutex);
  job_->number = ++input_.shared.snapshots_begun;
  input_.shared.job = job_;
  input_.shared.status.snapshot_pages_total = view_->page_count();
  input_.shared.status.snapshot_pages_done = 0;
  return {};
}

Result<bool> Pass::read_some(std::uint64_t slice_bytes) {
  const std::uint32_t page_size = view_->page_size();
  const std::uint32_t pages_a_block = segment::pages_per_block(page_size);
  for (std::uint64_t read = 0; read < slice_bytes; read += std::uint64_t{pages_a_block} * page_size) {
    const std::uint32_t left = view_->page_count() - (view_->next_page().value - 1);
    if (left == 0) return true;
    if (job_ && job_->dropped) return Error(ErrorKind::busy, "the snapshot's upload is gone: it begins anew");
    if (is_held_up()) return false;
    const PageNo first = view_->next_page();
    Bytes block(std::size_t{std::min(left, pages_a_block)} * page_size);
    CAIRN_TRY(view_->read_next(block));
    CAIRN_TRY(take_pages(first, block));
    if (job_) hand_over(first, std::move(block));
  }
  return view_->next_page().value > view_->page_count();
}

// The run that the next page is part of.
CopiedRun* Pass::run_at_next() {
  if (!job_->copies) return nullptr;
  const std::uint64_t block = (view_->next_page().value - 1) / segment::pages_per_block(view_->page_size());
  auto& runs = job_->copies->runs;
  while (next_run_ < runs.size() && block >= runs[next_run_].end_block()) ++next_run_;
  return next_run_ < runs.size() && block >= runs[next_run_].first_block ? &runs[next_run_] : nullptr;
}

bool Pass::is_held_up() {
  if (!job_) return false;
  if (!job_->planned || !job_->writer->room()) return true;
  const CopiedRun* run = run_at_next();
  return run != nullptr && run->state == CopiedRun::State::waits;
}

// To be compressed and sent; or, with the last one of a run that the store has copied, all of that run as being there.
void Pass::hand_over(PageNo first, Bytes block) {
  const std::uint32_t page_size = view_->page_size(), pages_a_block = segment::pages_per_block(page_size);
  const std::uint64_t number = (first.value - 1) / pages_a_block;
  const bool has_run = job_->copies && next_run_ < job_->copies->runs.size();
  const CopiedRun* const run = has_run ? &job_->copies->runs[next_run_] : nullptr;
  if (run == nullptr || number < run->first_block || run->state != CopiedRun::State::copied) {
    job_->writer->add(std::move(block));
    return;
  }
  if (number + 1 < run->end_block()) return;
  const std::uint64_t begin = run->first_block * pages_a_block;
  const std::uint64_t end = std::min<std::uint64_t>(run->end_block() * pages_a_block, view_->page_count());
  std::uint64_t hash = 0;
  for (std::uint64_t page = begin; page < end; ++page) hash ^= hashes_[page];
  job_->writer->add_elsewhere(run->stored, (end - begin) * page_size, hash);
}

Result<void> Pass::take_pages(PageNo first, ByteView bytes) {
  const std::uint32_t page_size = view_->page_size();
  const PageNo lock_page = segment::lock_byte_page(page_size);
  if (first.value == 1) first_page_.assign(bytes.begin(), bytes.begin() + page_size);
  PageNo page = first;
  for (std::size_t at = 0; at < bytes.size(); at += page_size, page = page.next()) {
    const ByteView page_bytes = bytes.subspan(at, page_size);
    const std::uint64_t hash = page == lock_page ? 0 : segment::page_hash(page, page_bytes);
    if (goal_ == PassGoal::snapshot && hashes_[page.value - 1] != hash) has_other_pages_ = true;
    hashes_[page.value - 1] = hash;
    hash_ ^= hash;
    if (goal_ != PassGoal::reconcile || page == lock_page) continue;
    const bool known = page.value <= input_.known.page_count() && page_size == input_.known_page_size &&
                       input_.known.get(page) == hash;
    if (!known) CAIRN_TRY(add_difference(page, page_bytes, hash));
  }
  return {};
}

Result<void> Pass::add_difference(PageNo page, ByteView bytes, std::uint64_t hash) {
  if (!output_) {
    segment::ObjectHead head = input_.head;
    head.kind = segment::ObjectKind::segment;
    head.first = head.last = head.last.next();
    CAIRN_ASSIGN(output_, SegmentOutput::open(input_.shared, input_.spool, head));
  }
  return output_->add_page(page, bytes, hash);
}

bool Pass::differs() const {
  return hash_ != input_.head.hash_before || view_->page_size() != input_.known_page_size ||
         view_->page_count() != input_.known.page_count();
}

Result<void> Pass::finish_segment(const Time& now) {
  if (!output_) CAIRN_TRY(add_difference(PageNo(1), first_page_, hashes_[0]));
  segment::RestorePoint point;
  point.sequence = input_.head.last.next();
  point.time_ms = now.wall_ms;
  point.page_count = view_->page_count();
  point.hash_after = hash_;
  return output_->finish(point);
}

void Pass::finish_snapshot(const Time& now) {
  segment::RestorePoint point;
  point.sequence = input_.head.last;
  point.time_ms = now.wall_ms;
  point.page_count = view_->page_count();
  point.hash_after = hash_;
  snapshot_ended_ = true;
  job_->writer->end(point, hashes_);
  job_->ended = true;
  if (job_->dropped) input_.shared.snapshot_requested = true;
}

}  // namespace cairn::replicate
