#include "layer/digest_strand.h"

#include <deque>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"

namespace cairn::layer {

struct DigestStrand::Shared {
  explicit Shared(Sha256 begin) : hash(std::move(begin)) {}

  Mutex mutex;
  ConditionVariable changed;
  std::deque<std::shared_ptr<const Bytes>> waiting GUARDED_BY(mutex);
  std::deque<Sha256> states GUARDED_BY(mutex);  // behind the pieces that are done
  bool at_work GUARDED_BY(mutex) = false;       // somebody hashes: `hash` is theirs
  Sha256 hash;

  // Hashes what waits, unless somebody does; of it, at most `limit` pieces.
  void work(std::size_t limit) EXCLUDES(mutex) {
    for (; limit > 0; --limit) {
      std::shared_ptr<const Bytes> piece;
      {
        MutexLock lock(mutex);
        if (at_work || waiting.empty()) return;
        at_work = true;
        piece = std::move(waiting.front());
        waiting.pop_front();
      }
      hash.add(*piece);
      piece.reset();
      MutexLock lock(mutex);
      at_work = false;
      states.push_back(hash);
      changed.notify_all();
    }
  }
};

DigestStrand::DigestStrand(Executor& executor, Sha256 begin)
    : executor_(executor), shared_(std::make_shared<Shared>(std::move(begin))) {}

DigestStrand::~DigestStrand() {
  MutexLock lock(shared_->mutex);
  shared_->waiting.clear();
}

void DigestStrand::add(std::shared_ptr<const Bytes> piece) {
  {
    MutexLock lock(shared_->mutex);
    shared_->waiting.push_back(std::move(piece));
  }
  work_elsewhere();
}

void DigestStrand::work_elsewhere() {
  executor_.run([shared = shared_] { shared->work(std::numeric_limits<std::size_t>::max()); });
}

Sha256 DigestStrand::take() {
  for (;;) {
    bool more = false;
    {
      MutexLock lock(shared_->mutex);
      while (shared_->states.empty() && shared_->at_work) shared_->changed.wait(shared_->mutex);
      if (!shared_->states.empty()) {
        Sha256 state = std::move(shared_->states.front());
        shared_->states.pop_front();
        return state;
      }
      CAIRN_CHECK(!shared_->waiting.empty());
      // Of those who came while this thread is at work nobody stays: one has to come again.
      if (shared_->waiting.size() > 1) more = true;
    }
    shared_->work(1);
    if (more) work_elsewhere();
  }
}

}  // namespace cairn::layer
