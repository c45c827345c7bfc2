// Two windows move over the plan. Runs are fetched while what is fetched, and not decoded yet, stays below
// kFetchedBytes; of runs that are there, frames are decoded while what is decoded, and not used up yet, stays below
// kDecodedBytes. What is needed next is begun whatever the bounds say. Plan and windows have the same order, so the
// next one is never behind something that waits for it.

#include "layer/frame_supply.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <utility>

#include "base/mutex.h"

namespace cairn::layer {
namespace {

constexpr std::uint64_t kFetchedBytes = 24u << 20;
constexpr std::uint64_t kDecodedBytes = 16u << 20;
constexpr std::uint64_t kUsualBytes = 4u << 20;

enum class RunStage : std::uint8_t { waiting, begun, done };

// Used again and again: fresh memory costs a page fault and a zero for every byte.
struct Buffer {
  Bytes room;
  std::size_t size_bytes = 0;
  ByteView view() const { return ByteView(room).first(size_bytes); }
};

}  // namespace

struct FrameSupply::Shared : std::enable_shared_from_this<FrameSupply::Shared> {
  struct Run {
    RunStage stage = RunStage::waiting;
    Result<Bytes> stored = Bytes{};
    std::uint64_t uses_left = 0;
  };
  struct Frame {
    RunStage stage = RunStage::waiting;
    Result<Buffer> buffer = Buffer{};
  };

  Shared(const std::vector<const LayerReader*>& layers_in, const RestorePlan& plan_in, Executor& decode_in,
         Executor& transfers_in, std::stop_token stop_in)
      : layers(layers_in), plan(plan_in), decode(decode_in), transfers(transfers_in), stop(std::move(stop_in)) {}

  const FrameInfo& info(const FrameUse& use) const { return layers[use.layer]->frames()[use.frame]; }

  // Begins what the bounds allow, and what is needed next. Work is handed out without the lock: an executor may run it
  // at once.
  void pump() EXCLUDES(mutex) {
    std::vector<std::uint64_t> fetches, decodes;
    {
      MutexLock lock(mutex);
      if (cancelled) return;
      while (may_fetch()) {
        runs.push_back({.stage = RunStage::waiting, .stored = Bytes{}, .uses_left = plan.runs[fetch_next].uses});
        fetched_bytes += plan.runs[fetch_next].compressed_bytes;
        fetches.push_back(fetch_next++);
      }
      while (may_decode()) {
        frames.emplace_back();
        decoded_bytes += info(plan.uses[decode_next]).size_bytes;
        decodes.push_back(decode_next++);
      }
    }
    for (const std::uint64_t run : fetches) transfers.run([self = shared_from_this(), run] { self->fetch(run); });
    for (const std::uint64_t use : decodes) decode.run([self = shared_from_this(), use] { self->unpack(use); });
  }

  bool may_fetch() const REQUIRES(mutex) {
    if (fetch_next == plan.runs.size()) return false;
    const bool needed = next_use < plan.uses.size() && plan.uses[next_use].run >= fetch_next;
    return needed || fetched_bytes + plan.runs[fetch_next].compressed_bytes <= kFetchedBytes;
  }

  bool may_decode() const REQUIRES(mutex) {
    if (decode_next == plan.uses.size()) return false;
    const FrameUse& use = plan.uses[decode_next];
    if (use.run >= fetch_next || runs[use.run].stage != RunStage::done) return false;
    return decode_next <= next_use || decoded_bytes + info(use).size_bytes <= kDecodedBytes;
  }

  // Takes a piece of work unless somebody else has it, or nobody wants it any more.
  bool claim(RunStage& stage) REQUIRES(mutex) {
    if (stage != RunStage::waiting || cancelled) return false;
    stage = RunStage::begun;
    ++under_way;
    return true;
  }

  void fetch(std::uint64_t number) EXCLUDES(mutex) {
    {
      MutexLock lock(mutex);
      if (!claim(runs[number].stage)) return;
    }
    const FrameRun& run = plan.runs[number];
    Result<Bytes> stored = Error(ErrorKind::cancelled, "stopped on request");
    if (!stop.stop_requested()) stored = layers[run.layer]->fetch_frames(run.first, run.count);
    {
      MutexLock lock(mutex);
      runs[number].stored = std::move(stored);
      runs[number].stage = RunStage::done;
      --under_way;
      changed.notify_all();
    }
    pump();
  }

  void unpack(std::uint64_t number) EXCLUDES(mutex) {
    const Result<Bytes>* stored = nullptr;
    {
      MutexLock lock(mutex);
      // Once it is cancelled there may be no plan any more.
      if (number < frames_begin || !claim(frames[number - frames_begin].stage)) return;
      stored = &runs[plan.uses[number].run].stored;  // stays until the last of its frames is decoded
    }
    const FrameUse& use = plan.uses[number];
    Result<Buffer> buffer = decoded(use, *stored);
    MutexLock lock(mutex);
    Frame& frame = frames[number - frames_begin];
    frame.buffer = std::move(buffer);
    frame.stage = RunStage::done;
    Run& run = runs[use.run];
    if (--run.uses_left == 0 && run.stored) {
      fetched_bytes -= plan.runs[use.run].compressed_bytes;
      Bytes().swap(*run.stored);
    }
    --under_way;
    changed.notify_all();
  }

  Result<Buffer> decoded(const FrameUse& use, const Result<Bytes>& stored) EXCLUDES(mutex) {
    if (!stored) return stored.error();
    const std::uint64_t begin = layers[use.layer]->frames()[plan.runs[use.run].first].offset;
    const FrameInfo& frame = info(use);
    Buffer buffer = take_buffer();
    if (buffer.room.size() < frame.size_bytes) buffer.room.resize(frame.size_bytes);
    buffer.size_bytes = frame.size_bytes;
    CAIRN_TRY(layers[use.layer]->decode_frame(
        use.frame, ByteView(*stored).subspan(frame.offset - begin, frame.compressed_bytes),
        std::span(buffer.room).first(buffer.size_bytes)));
    return buffer;
  }

  Buffer take_buffer() EXCLUDES(mutex) {
    MutexLock lock(mutex);
    if (idle.empty()) return {};
    Buffer buffer = std::move(idle.back());
    idle.pop_back();
    idle_bytes -= buffer.room.size();
    return buffer;
  }

  // Nobody looks at it any more. One of an unusual size is not kept, nor more than are decoded ahead.
  void give_back(Buffer buffer) EXCLUDES(mutex) {
    {
      MutexLock lock(mutex);
      decoded_bytes -= buffer.size_bytes;
      if (buffer.room.size() <= kUsualBytes && idle_bytes + buffer.room.size() <= kDecodedBytes) {
        idle_bytes += buffer.room.size();
        idle.push_back(std::move(buffer));
      }
    }
    pump();
  }

  // What is given back when the last who has it lets go.
  struct Lent {
    Lent(std::shared_ptr<Shared> of, Buffer lent)
        : shared(std::move(of)), buffer(std::move(lent)), view(buffer.view()) {}
    ~Lent() { shared->give_back(std::move(buffer)); }
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;

    std::shared_ptr<Shared> shared;
    Buffer buffer;
    ByteView view;
  };
  SharedBytes lend(Buffer buffer) {
    const auto lent = std::make_shared<Lent>(shared_from_this(), std::move(buffer));
    return {lent, &lent->view};
  }

  // The bytes of use `number`, which is the next one. Does itself what nobody has begun.
  Result<Buffer> take(std::uint64_t number) EXCLUDES(mutex) {
    pump();
    for (;;) {
      const Step step = next_step(number);
      if (step == Step::fetch) fetch(plan.uses[number].run);
      if (step == Step::pump) pump();
      if (step == Step::unpack) unpack(number);
      if (step == Step::done) break;
    }
    MutexLock lock(mutex);
    Result<Buffer> buffer = std::move(frames.front().buffer);
    frames.pop_front();
    ++frames_begin;
    return buffer;
  }

  enum class Step : std::uint8_t { fetch, pump, unpack, done };
  Step next_step(std::uint64_t number) EXCLUDES(mutex) {
    MutexLock lock(mutex);
    for (;;) {
      const RunStage run = runs[plan.uses[number].run].stage;
      if (run == RunStage::waiting) return Step::fetch;
      if (number < decode_next) {
        const RunStage frame = frames[number - frames_begin].stage;
        if (frame == RunStage::done) return Step::done;
        if (frame == RunStage::waiting) return Step::unpack;
      } else if (run == RunStage::done) {
        return Step::pump;
      }
      changed.wait(mutex);
    }
  }

  const std::vector<const LayerReader*>& layers;
  const RestorePlan& plan;
  Executor& decode;
  Executor& transfers;
  const std::stop_token stop;

  Mutex mutex;
  ConditionVariable changed;
  std::deque<Run> runs GUARDED_BY(mutex);      // those begun: [0, fetch_next)
  std::deque<Frame> frames GUARDED_BY(mutex);  // [frames_begin, decode_next)
  std::vector<Buffer> idle GUARDED_BY(mutex);
  std::uint64_t frames_begin GUARDED_BY(mutex) = 0;
  std::uint64_t fetch_next GUARDED_BY(mutex) = 0, decode_next GUARDED_BY(mutex) = 0;
  std::uint64_t next_use GUARDED_BY(mutex) = 0;
  std::uint64_t fetched_bytes GUARDED_BY(mutex) = 0, decoded_bytes GUARDED_BY(mutex) = 0;
  std::uint64_t idle_bytes GUARDED_BY(mutex) = 0;
  int under_way GUARDED_BY(mutex) = 0;
  bool cancelled GUARDED_BY(mutex) = false;
};

FrameSupply::FrameSupply(const std::vector<const LayerReader*>& layers, const RestorePlan& plan, Executor& decode,
                         Executor& transfers, std::stop_token stop)
    : shared_(std::make_shared<Shared>(layers, plan, decode, transfers, std::move(stop))),
      current_(layers.size()) {}

FrameSupply::~FrameSupply() {
  MutexLock lock(shared_->mutex);
  shared_->cancelled = true;
  while (shared_->under_way > 0) shared_->changed.wait(shared_->mutex);
}

Result<SharedBytes> FrameSupply::frame(std::size_t layer, std::uint64_t frame) {
  Current& current = current_[layer];
  if (is_current(layer, frame)) return current.bytes;
  const auto& uses = shared_->plan.uses;
  if (asked_ >= uses.size() || uses[asked_].layer != layer || uses[asked_].frame != frame)
    return Error(ErrorKind::corrupt, "a layer was replaced while it was restored: try again");
  {
    MutexLock lock(shared_->mutex);
    shared_->next_use = asked_;
  }
  current.bytes.reset();
  CAIRN_ASSIGN(Buffer buffer, shared_->take(asked_));
  current = {frame, shared_->lend(std::move(buffer))};
  ++asked_;
  return current.bytes;
}

}  // namespace cairn::layer
