#include "store/operation.h"

namespace cairn {

std::string_view name_of(Operation operation) {
  switch (operation) {
    case Operation::put_new:
      return "put_new";
    case Operation::put_if:
      return "put_if";
    case Operation::get:
      return "get";
    case Operation::get_suffix:
      return "get_suffix";
    case Operation::head:
      return "head";
    case Operation::list:
      return "list";
    case Operation::remove:
      return "remove";
    case Operation::remove_many:
      return "remove_many";
    case Operation::begin_upload:
      return "begin_upload";
    case Operation::put_part:
      return "put_part";
    case Operation::copy_part:
      return "copy_part";
    case Operation::list_parts:
      return "list_parts";
    case Operation::complete_new:
      return "complete_new";
    case Operation::abort_upload:
      return "abort_upload";
    case Operation::list_uploads:
      return "list_uploads";
  }
  return "unknown";
}

}  // namespace cairn
