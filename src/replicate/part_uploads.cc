#include "replicate/part_uploads.h"

#include <deque>
#include <utility>

#include "base/mutex.h"

namespace cairn::replicate {

struct PartUploads::Part {
  int number = 0;
  Bytes body;
  Result<PartInfo> outcome = Error(ErrorKind::cancelled, "not sent yet");
};

// Where the threads of `transfers` lay down what they are done with. Shared with them, so that one that comes last does
// not find it gone.
struct PartUploads::Desk {
  Mutex mutex;
  ConditionVariable changed;
  std::size_t under_way GUARDED_BY(mutex) = 0;
  std::deque<std::shared_ptr<Part>> finished GUARDED_BY(mutex);
};

PartUploads::PartUploads(Store& store, Executor& transfers, std::string key, std::string upload_id)
    : store_(store),
      transfers_(transfers),
      key_(std::move(key)),
      upload_id_(std::move(upload_id)),
      desk_(std::make_shared<Desk>()) {}

PartUploads::~PartUploads() {
  MutexLock lock(desk_->mutex);
  while (desk_->under_way > 0) desk_->changed.wait(desk_->mutex);
}

bool PartUploads::room() const {
  MutexLock lock(desk_->mutex);
  return desk_->under_way + desk_->finished.size() + failed_.size() < static_cast<std::size_t>(transfers_.width());
}

bool PartUploads::none_under_way() const {
  MutexLock lock(desk_->mutex);
  return desk_->under_way == 0 && desk_->finished.empty() && failed_.empty();
}

void PartUploads::put(int number, Bytes body) {
  auto part = std::make_shared<Part>();
  part->number = number;
  part->body = std::move(body);
  send(part);
}

void PartUploads::send(const std::shared_ptr<Part>& part) {
  {
    MutexLock lock(desk_->mutex);
    ++desk_->under_way;
  }
  // The destructor waits for this, so `this` is there as long as it runs.
  transfers_.run([this, part, desk = desk_] {
    part->outcome = store_.put_part(key_, upload_id_, part->number, BytesSource(part->body));
    MutexLock lock(desk->mutex);
    desk->finished.push_back(part);
    --desk->under_way;
    desk->changed.notify_all();
  });
}

std::optional<Result<PartInfo>> PartUploads::next_finished() {
  std::shared_ptr<Part> part;
  {
    MutexLock lock(desk_->mutex);
    if (desk_->finished.empty()) return {};
    part = std::move(desk_->finished.front());
    desk_->finished.pop_front();
  }
  if (!part->outcome) failed_.push_back(part);
  return part->outcome;
}

void PartUploads::try_failed_again() {
  for (const auto& part : std::exchange(failed_, {})) send(part);
}

}  // namespace cairn::replicate
