// What a request asks for, by its name in the S3 API; and sets and counts of these.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace cairn::twin {

enum class Operation {
  put_object,
  get_object,
  head_object,
  delete_object,
  delete_objects,
  list_objects,
  create_upload,
  upload_part,
  copy_part,
  list_parts,
  list_uploads,
  complete_upload,
  abort_upload,
  head_bucket,
  create_bucket,
  get_location,
  unknown,  // what the twin does not offer, or cannot make sense of
};
inline constexpr std::size_t kOperationCount = 17;

std::string_view name_of(Operation operation);
std::optional<Operation> operation_named(std::string_view name);

constexpr bool writes(Operation operation) {
  switch (operation) {
    case Operation::put_object:
    case Operation::delete_object:
    case Operation::delete_objects:
    case Operation::create_upload:
    case Operation::upload_part:
    case Operation::copy_part:
    case Operation::complete_upload:
    case Operation::abort_upload:
    case Operation::create_bucket:
      return true;
    default:
      return false;
  }
}

// Its body is an object's bytes, or some of them.
constexpr bool takes_bytes(Operation operation) {
  return operation == Operation::put_object || operation == Operation::upload_part;
}

class Operations {
 public:
  Operations() = default;
  Operations(std::initializer_list<Operation> some) {
    for (const Operation one : some) insert(one);
  }
  static Operations all() {
    Operations every;
    every.bits_.set();
    return every;
  }
  void insert(Operation operation) { bits_.set(static_cast<std::size_t>(operation)); }
  bool contains(Operation operation) const { return bits_.test(static_cast<std::size_t>(operation)); }

 private:
  std::bitset<kOperationCount> bits_;
};

template <class T>
class ByOperation {
 public:
  T& operator[](Operation operation) { return values_[static_cast<std::size_t>(operation)]; }
  const T& operator[](Operation operation) const { return values_[static_cast<std::size_t>(operation)]; }

 private:
  std::array<T, kOperationCount> values_{};
};

}  // namespace cairn::twin
