#include "layer/file_strand.h"

#include <deque>
#include <limits>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace cairn::layer {
namespace {

constexpr std::uint64_t kAtOnceBytes = 16 * 1024;
constexpr std::size_t kWaitingPieces = 4;

}  // namespace

struct FileStrand::Shared {
  explicit Shared(NewFile new_file) : file(std::move(new_file)) {}

  struct Piece {
    SharedBytes owner;
    ByteView bytes;
  };

  Mutex mutex;
  ConditionVariable changed;
  std::deque<Piece> waiting GUARDED_BY(mutex);
  bool at_work GUARDED_BY(mutex) = false;   // somebody writes: `file` is theirs
  bool asked_for GUARDED_BY(mutex) = false;  // the executor has work for this that it has not begun
  Result<void> outcome GUARDED_BY(mutex);   // behind an error nothing is written
  std::optional<NewFile> file;              // until the strand ends, whatever the executor still has

  // Writes what waits, unless somebody does; of it, at most `limit` pieces.
  void work(std::size_t limit) EXCLUDES(mutex) {
    for (; limit > 0; --limit) {
      Piece piece;
      {
        MutexLock lock(mutex);
        if (at_work || waiting.empty()) return;
        at_work = true;
        piece = std::move(waiting.front());
        waiting.pop_front();
      }
      Result<void> written = file->write(piece.bytes);
      piece.owner.reset();
      MutexLock lock(mutex);
      at_work = false;
      if (!written) {
        outcome = std::move(written);
        waiting.clear();
      }
      changed.notify_all();
    }
  }

  void work_elsewhere() EXCLUDES(mutex) {
    {
      MutexLock lock(mutex);
      asked_for = false;
    }
    work(std::numeric_limits<std::size_t>::max());
  }

  // Until no more than `pieces` wait, and for none also until nobody writes.
  void work_down_to(std::size_t pieces) EXCLUDES(mutex) {
    for (;;) {
      {
        MutexLock lock(mutex);
        while (at_work && (waiting.size() > pieces || pieces == 0)) changed.wait(mutex);
        if (waiting.size() <= pieces) return;
      }
      work(1);
    }
  }
};

FileStrand::FileStrand(Executor& executor, NewFile file)
    : executor_(&executor), shared_(std::make_shared<Shared>(std::move(file))) {}

FileStrand::~FileStrand() {
  if (!shared_) return;
  MutexLock lock(shared_->mutex);
  shared_->waiting.clear();
  while (shared_->at_work) shared_->changed.wait(shared_->mutex);
  shared_->file.reset();
}

bool FileStrand::add(SharedBytes owner, ByteView bytes) {
  const bool at_once = bytes.size() <= kAtOnceBytes;
  bool asks = false;
  {
    MutexLock lock(shared_->mutex);
    if (!shared_->outcome) return false;
    shared_->waiting.push_back({std::move(owner), bytes});
    if (!at_once && !shared_->asked_for) asks = shared_->asked_for = true;
  }
  if (asks) executor_->run([shared = shared_] { shared->work_elsewhere(); });
  shared_->work_down_to(at_once ? 0 : kWaitingPieces);
  MutexLock lock(shared_->mutex);
  return shared_->outcome.has_value();
}

Result<const NewFile*> FileStrand::finish() {
  shared_->work_down_to(0);
  MutexLock lock(shared_->mutex);
  if (!shared_->outcome) return shared_->outcome.error();
  return &*shared_->file;
}

}  // namespace cairn::layer
