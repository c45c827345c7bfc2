// A job is in the queue from push to pop, and whoever claims it first compresses it: a thread of the executor, or the
// popping thread when it would have to wait. The executor's closures own the jobs and the shared state, not the
// pipeline: a writer may be destroyed with work under way, and the last closure cleans up.
//
// Compressors are pooled for the whole process: there are as many as blocks are compressed at once, however many
// writers have blocks waiting. That bounds their memory, which is more than what most databases have to write.

#include "segment/block_pipeline.h"

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "segment/zstd_block.h"

namespace cairn::segment {

struct BlockPipeline::Job {
  std::uint64_t number = 0;
  std::shared_ptr<const Bytes> raw;
  std::atomic<bool> claimed = false;
  bool done = false;                           // guarded by Shared::mutex, as is `packed`
  Result<PackedBlock> packed = PackedBlock{};  // once done
};

namespace {

// Idle ones stay while there is a pipeline; after the last one, one of each of the ordinary levels, so that a small
// segment now and then, or a few that are merged, do not make one anew.
class Compressors {
 public:
  static std::shared_ptr<Compressors> of_process() {
    static const auto all = std::make_shared<Compressors>();
    return all;
  }

  void begin_use() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ++users_;
  }
  void end_use() EXCLUDES(mutex_) {
    std::map<int, std::vector<std::unique_ptr<BlockCompressor>>> gone;
    MutexLock lock(mutex_);
    if (--users_ > 0) return;
    gone.swap(idle_);
    for (auto& [level, idle] : gone) {
      if (level > kOrdinaryLevel || idle.empty()) continue;
      idle_[level].push_back(std::move(idle.back()));
      idle.pop_back();
    }
  }

  std::unique_ptr<BlockCompressor> take(int level) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      auto& idle = idle_[level];
      if (!idle.empty()) {
        auto compressor = std::move(idle.back());
        idle.pop_back();
        return compressor;
      }
    }
    return std::make_unique<BlockCompressor>(level);
  }
  void give_back(int level, std::unique_ptr<BlockCompressor> compressor) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    idle_[level].push_back(std::move(compressor));
  }

 private:
  static constexpr int kOrdinaryLevel = 3;  // higher ones take several times the memory
  Mutex mutex_;
  std::map<int, std::vector<std::unique_ptr<BlockCompressor>>> idle_ GUARDED_BY(mutex_);  // by level
  int users_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

struct BlockPipeline::Shared {
  Shared(int level_in, Inspect inspect_in) : level(level_in), inspect(std::move(inspect_in)) {
    compressors->begin_use();
  }
  ~Shared() { compressors->end_use(); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  const int level;
  const Inspect inspect;
  const std::shared_ptr<Compressors> compressors = Compressors::of_process();
  mutable Mutex mutex;
  ConditionVariable changed;
  std::deque<std::shared_ptr<Job>> queue GUARDED_BY(mutex);
  std::uint64_t pushed GUARDED_BY(mutex) = 0;
  bool closed GUARDED_BY(mutex) = false;
  bool cancelled GUARDED_BY(mutex) = false;

  bool is_cancelled() const EXCLUDES(mutex) {
    MutexLock lock(mutex);
    return cancelled;
  }

  Result<PackedBlock> pack(const Job& job, BlockCompressor& compressor) const {
    CAIRN_ASSIGN(Bytes bytes, compressor.compress(*job.raw));
    return PackedBlock{.bytes = std::move(bytes),
                       .size_bytes = static_cast<std::uint32_t>(job.raw->size()),
                       .digest = inspect ? inspect(job.number, *job.raw) : 0};
  }

  // Nothing will come any more.
  bool is_over() const REQUIRES(mutex) { return cancelled || (closed && queue.empty()); }

  Result<std::optional<PackedBlock>> take_front() REQUIRES(mutex) {
    Result<PackedBlock> packed = std::move(queue.front()->packed);
    queue.pop_front();
    if (!packed) return packed.error();
    return std::optional<PackedBlock>(std::move(*packed));
  }

  // Compresses the job unless somebody else does.
  void work_on(Job& job) EXCLUDES(mutex) {
    if (job.claimed.exchange(true)) return;
    if (is_cancelled()) return;
    std::unique_ptr<BlockCompressor> compressor = compressors->take(level);
    Result<PackedBlock> packed = pack(job, *compressor);
    compressors->give_back(level, std::move(compressor));
    job.raw.reset();
    MutexLock lock(mutex);
    job.packed = std::move(packed);
    job.done = true;
    changed.notify_all();
  }
};

BlockPipeline::BlockPipeline(Executor& executor, int level, Inspect inspect)
    : executor_(executor), shared_(std::make_shared<Shared>(level, std::move(inspect))) {}

BlockPipeline::~BlockPipeline() { cancel(); }

void BlockPipeline::push(Bytes raw) { push(std::make_shared<const Bytes>(std::move(raw))); }

void BlockPipeline::push(std::shared_ptr<const Bytes> raw) {
  auto job = enqueue(std::move(raw));
  if (job) executor_.run([shared = shared_, job = std::move(job)] { shared->work_on(*job); });
}

void BlockPipeline::push_own(Bytes raw) { enqueue(std::make_shared<const Bytes>(std::move(raw))); }

// Null: it was cancelled.
std::shared_ptr<BlockPipeline::Job> BlockPipeline::enqueue(std::shared_ptr<const Bytes> raw) {
  auto job = std::make_shared<Job>();
  job->raw = std::move(raw);
  MutexLock lock(shared_->mutex);
  if (shared_->cancelled) return nullptr;
  job->number = shared_->pushed++;
  shared_->queue.push_back(job);
  shared_->changed.notify_all();
  return job;
}

void BlockPipeline::push_elsewhere(std::shared_ptr<const std::vector<StoredBlock>> blocks, std::uint64_t digest) {
  auto job = std::make_shared<Job>();
  job->claimed = true;
  job->done = true;
  MutexLock lock(shared_->mutex);
  if (shared_->cancelled) return;
  job->number = shared_->pushed;
  shared_->pushed += blocks->size();
  job->packed = PackedBlock{.bytes = {}, .digest = digest, .elsewhere = std::move(blocks)};
  shared_->queue.push_back(job);
  shared_->changed.notify_all();
}

void BlockPipeline::close() {
  MutexLock lock(shared_->mutex);
  shared_->closed = true;
  shared_->changed.notify_all();
}

void BlockPipeline::cancel() {
  MutexLock lock(shared_->mutex);
  shared_->cancelled = true;
  shared_->queue.clear();
  shared_->changed.notify_all();
}

std::size_t BlockPipeline::pending() const {
  MutexLock lock(shared_->mutex);
  return shared_->queue.size();
}

Result<std::optional<PackedBlock>> BlockPipeline::pop() {
  std::shared_ptr<Job> front;
  {
    MutexLock lock(shared_->mutex);
    if (shared_->queue.empty()) return std::optional<PackedBlock>{};
    front = shared_->queue.front();
  }
  shared_->work_on(*front);
  MutexLock lock(shared_->mutex);
  while (!front->done && !shared_->cancelled) shared_->changed.wait(shared_->mutex);
  if (shared_->cancelled) return std::optional<PackedBlock>{};
  return shared_->take_front();
}

Result<std::optional<PackedBlock>> BlockPipeline::pop_within(int wait_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  for (;;) {
    std::shared_ptr<Job> front;
    {
      MutexLock lock(shared_->mutex);
      if (shared_->is_over()) return std::optional<PackedBlock>{};
      if (!shared_->queue.empty()) front = shared_->queue.front();
      if (front && front->done) return shared_->take_front();
      if (wait_ms <= 0) return std::optional<PackedBlock>{};
      if (!front || front->claimed.load()) {
        if (shared_->changed.wait_until(shared_->mutex, deadline) == std::cv_status::timeout)
          return std::optional<PackedBlock>{};
        continue;
      }
    }
    shared_->work_on(*front);
  }
}

}  // namespace cairn::segment
