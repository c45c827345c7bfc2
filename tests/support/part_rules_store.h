// A store that takes only such uploads as its rules say, and lets a test do something before any call.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "store/around.h"

namespace cairn::testing {

class PartRulesStore final : public StoreAround<PartRulesStore> {
 public:
  explicit PartRulesStore(Store& inner) : inner_(inner) {}

  // The rules.
  std::uint64_t min_part_bytes = 0;
  bool copies = true;
  bool leaves_out_parts = false;
  bool wants_equal_parts = false;
  // Before each call, where an error takes its place; and behind it, where an error takes the place of the answer.
  std::function<Result<void>(const StoreCall&)> before, after;

  // What it was asked.
  std::map<Operation, std::uint64_t> calls;
  std::uint64_t part_bytes = 0;  // that were put
  std::uint64_t count(Operation operation) const {
    const auto at = calls.find(operation);
    return at == calls.end() ? 0 : at->second;
  }
  void reset() {
    calls.clear();
    part_bytes = 0;
  }

  StoreCapabilities capabilities() const override {
    StoreCapabilities can = inner_.capabilities();
    can.min_part_bytes = min_part_bytes;
    can.copy_part = copies;
    can.leaves_out_parts = leaves_out_parts;
    return can;
  }
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall& about, const Call& call) -> decltype(call()) {
    ++calls[about.operation];
    if (about.operation == Operation::put_part) part_bytes += about.sent_bytes;
    if (before) CAIRN_TRY(before(about));
    auto result = call();
    if (after) CAIRN_TRY(after(about));
    return result;
  }
  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override {
    const auto there = inner_.list_parts(key, upload_id);
    if (there) CAIRN_TRY(check(*there, parts));
    return StoreAround::complete_new(key, upload_id, parts);
  }

 private:
  Result<void> check(const std::vector<PartInfo>& there, std::span<const PartInfo> parts) const {
    std::map<int, std::uint64_t> size_bytes;
    for (const PartInfo& part : there) size_bytes[part.number] = part.size_bytes;
    if (!leaves_out_parts && parts.size() != there.size()) return Error(ErrorKind::invalid, "a part is not named");
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const std::uint64_t size = size_bytes[parts[i].number];
      // Amazon's rule for parts with checksums.
      if (parts[i].number != static_cast<int>(i) + 1) return Error(ErrorKind::invalid, "InvalidPartOrder");
      if (size < min_part_bytes) return Error(ErrorKind::invalid, "EntityTooSmall");
      if (wants_equal_parts && size != size_bytes[parts[0].number])
        return Error(ErrorKind::invalid, "all parts but the last must be of one size");
    }
    return {};
  }

  Store& inner_;
};

}  // namespace cairn::testing
