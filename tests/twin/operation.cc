#include "twin/operation.h"

namespace cairn::twin {
namespace {

constexpr std::array<std::string_view, kOperationCount> kOperationNames{
    "put_object",  "get_object", "head_object",  "delete_object",   "delete_objects", "list_objects",
    "create_upload", "upload_part", "copy_part", "list_parts",      "list_uploads",   "complete_upload",
    "abort_upload", "head_bucket", "create_bucket", "get_location", "unknown",
};

}  // namespace

std::string_view name_of(Operation operation) { return kOperationNames[static_cast<std::size_t>(operation)]; }

std::optional<Operation> operation_named(std::string_view name) {
  for (std::size_t i = 0; i < kOperationCount; ++i) {
    if (kOperationNames[i] == name) return static_cast<Operation>(i);
  }
  return std::nullopt;
}

}  // namespace cairn::twin
