// The calls of a Store by name, for decorators that treat them one by one.
#pragma once

#include <cstddef>
#include <string_view>

namespace cairn {

enum class Operation {
  put_new,
  put_if,
  get,
  get_suffix,
  head,
  list,
  remove,
  remove_many,
  begin_upload,
  put_part,
  copy_part,
  list_parts,
  complete_new,
  abort_upload,
  list_uploads,
};
inline constexpr std::size_t kOperationCount = 15;

std::string_view name_of(Operation operation);

constexpr bool is_read(Operation operation) {
  switch (operation) {
    case Operation::get:
    case Operation::get_suffix:
    case Operation::head:
    case Operation::list:
    case Operation::list_parts:
    case Operation::list_uploads:
      return true;
    default:
      return false;
  }
}

}  // namespace cairn
