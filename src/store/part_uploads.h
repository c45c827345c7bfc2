// Parts of one upload on their way to the store, several at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "cairn/store.h"

namespace cairn {

// One thread; the store is called on `transfers`.
class PartUploads {
 public:
  // `store` and `transfers` outlive this. `most_at_once`: however many `transfers` could carry.
  PartUploads(Store& store, Executor& transfers, std::string key, std::string upload_id,
              std::size_t most_at_once = ~std::size_t{0});
  ~PartUploads();  // waits for what is under way

  // Whether another part may be handed in.
  bool room() const;
  bool none_under_way() const;  // and none failed
  bool is_idle() const;          // all that were handed in have arrived or failed, and were asked for
  void put(int number, Bytes body);
  // The same with a body that lies elsewhere (a file); it is let go of once the part has arrived.
  void put(int number, std::shared_ptr<const Source> body);
  // The same with a range of another object, which the store copies.
  void copy(int number, std::string source_key, std::uint64_t offset, std::uint64_t length);

  struct Finished {
    int number = 0;
    Result<PartInfo> info;
  };
  // The next part that has arrived, or failed; a failed one stays, to be tried again.
  std::optional<Finished> next_finished();
  // Waits until there is one, at most `wait_ms`.
  void wait(int wait_ms);
  void try_failed_again();
  // One that failed is not tried again.
  void give_up(int number);

 private:
  struct Part;
  struct Desk;
  void add(int number, std::function<Result<PartInfo>()> call);
  void send(const std::shared_ptr<Part>& part);

  Store& store_;
  Executor& transfers_;
  const std::string key_, upload_id_;
  const std::size_t most_at_once_;
  const std::shared_ptr<Desk> desk_;
  std::vector<std::shared_ptr<Part>> failed_;
};

}  // namespace cairn
