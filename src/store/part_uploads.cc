#include "store/part_uploads.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "base/mutex.h"

namespace cairn {

struct PartUploads::Part {
  int number = 0;
  std::function<Result<PartInfo>()> call;
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

PartUploads::PartUploads(Store& store, Executor& transfers, std::string key, std::string upload_id,
                         std::size_t most_at_once)
    : store_(store),
      transfers_(transfers),
      key_(std::move(key)),
      upload_id_(std::move(upload_id)),
      most_at_once_(std::min(most_at_once, static_cast<std::size_t>(transfers.width()))),
      desk_(std::make_shared<Desk>()) {}

PartUploads::~PartUploads() {
  MutexLock lock(desk_->mutex);
  while (desk_->under_way > 0) desk_->changed.wait(desk_->mutex);
}

bool PartUploads::room() const {
  MutexLock lock(desk_->mutex);
  return desk_->under_way + desk_->finished.size() + failed_.size() < most_at_once_;
}

bool PartUploads::none_under_way() const {
  MutexLock lock(desk_->mutex);
  return desk_->under_way == 0 && desk_->finished.empty() && failed_.empty();
}

bool PartUploads::is_idle() const {
  MutexLock lock(desk_->mutex);
  return desk_->under_way == 0 && desk_->finished.empty();
}

void PartUploads::put(int number, Bytes body) {
  add(number, [this, number, body = std::make_shared<const Bytes>(std::move(body))] {
    return store_.put_part(key_, upload_id_, number, BytesSource(*body));
  });
}

void PartUploads::put(int number, std::shared_ptr<const Source> body) {
  add(number, [this, number, body = std::move(body)] { return store_.put_part(key_, upload_id_, number, *body); });
}

void PartUploads::copy(int number, std::string source_key, std::uint64_t offset, std::uint64_t length) {
  add(number, [this, number, source_key = std::move(source_key), offset, length] {
    return store_.copy_part(key_, upload_id_, number, source_key, offset, length);
  });
}

void PartUploads::add(int number, std::function<Result<PartInfo>()> call) {
  auto part = std::make_shared<Part>();
  part->number = number;
  part->call = std::move(call);
  send(part);
}

void PartUploads::send(const std::shared_ptr<Part>& part) {
  {
    MutexLock lock(desk_->mutex);
    ++desk_->under_way;
  }
  // The destructor waits for this, so `this` is there as long as it runs.
  transfers_.run([part, desk = desk_] {
    part->outcome = part->call();
    MutexLock lock(desk->mutex);
    desk->finished.push_back(part);
    --desk->under_way;
    desk->changed.notify_all();
  });
}

std::optional<PartUploads::Finished> PartUploads::next_finished() {
  std::shared_ptr<Part> part;
  {
    MutexLock lock(desk_->mutex);
    if (desk_->finished.empty()) return {};
    part = std::move(desk_->finished.front());
    desk_->finished.pop_front();
  }
  if (!part->outcome) failed_.push_back(part);
  return Finished{part->number, part->outcome};
}

void PartUploads::wait(int wait_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  MutexLock lock(desk_->mutex);
  while (desk_->finished.empty() && desk_->under_way > 0) {
    if (desk_->changed.wait_until(desk_->mutex, deadline) == std::cv_status::timeout) return;
  }
}

void PartUploads::try_failed_again() {
  for (const auto& part : std::exchange(failed_, {})) send(part);
}

void PartUploads::give_up(int number) {
  std::erase_if(failed_, [&](const auto& part) { return part->number == number; });
}

}  // namespace cairn
