// A store as a process sees it that may die at any call: see life.h. Also counts what it is asked.
#pragma once

#include <memory>

#include "base/clock.h"
#include "cairn/store.h"
#include "support/life.h"

namespace cairn::testing {

class MortalStore final : public Store {
 public:
  // All three must outlive it.
  MortalStore(Store& inner, Life& life, SeededRandom& random) : inner_(inner), life_(life), random_(random) {}

  std::uint64_t calls() const { return calls_; }

  std::string url() const override { return inner_.url(); }
  StoreCapabilities capabilities() const override { return inner_.capabilities(); }
  Result<std::string> put_new(std::string_view key, const Source& body) override;
  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override;
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override;
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override;
  Result<ObjectInfo> head(std::string_view key) override;
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override;
  Result<void> remove(std::string_view key) override;
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override;
  Result<std::string> begin_upload(std::string_view key) override;
  Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number, const Source& body) override;
  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number, std::string_view source_key,
                             std::uint64_t offset, std::uint64_t length) override;
  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view upload_id) override;
  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override;
  Result<void> abort_upload(std::string_view key, std::string_view upload_id) override;
  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override;

 private:
  // The call, unless the process is dead; the last one may or may not have its effect, and nobody sees the answer.
  template <class Call>
  auto while_alive(const Call& call) -> decltype(call()) {
    ++calls_;
    const Error dead(ErrorKind::retry_later, "the process is dead");
    switch (life_.tick()) {
      case Life::Moment::dead: return dead;
      case Life::Moment::dying:
        if (random_.chance(1, 2)) (void)call();
        return dead;
      case Life::Moment::alive: break;
    }
    return call();
  }

  Store& inner_;
  Life& life_;
  SeededRandom& random_;
  std::uint64_t calls_ = 0;
};

}  // namespace cairn::testing
