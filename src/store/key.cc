#include "store/key.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace cairn {

namespace {

// What is wrong with a whole component; nullptr: nothing.
const char* fault_of_component(std::string_view name) {
  if (name.empty()) return "it has an empty component";
  if (name == "." || name == "..") return "it has a '.' or '..' component";
  if (name.size() > kMaxKeyComponentBytes) return "it has a component of more than 255 bytes";
  if (name.starts_with(kReservedPrefix)) return "names that begin with '.cairn-' are reserved";
  return nullptr;
}

const char* fault_of_bytes(std::string_view text) {
  if (text.size() > kMaxKeyBytes) return "it is longer than 1024 bytes";
  if (text.find('\0') != std::string_view::npos) return "it has a NUL byte";
  return nullptr;
}

// All components but the last, which is left in `text`.
const char* fault_of_folders(std::string_view& text) {
  for (std::size_t slash = text.find('/'); slash != std::string_view::npos; slash = text.find('/')) {
    if (const char* fault = fault_of_component(text.substr(0, slash))) return fault;
    text.remove_prefix(slash + 1);
  }
  return nullptr;
}

const char* fault_of_key(std::string_view key) {
  if (key.empty()) return "it is empty";
  if (const char* fault = fault_of_bytes(key)) return fault;
  if (!is_utf8(key)) return "it is not UTF-8";
  if (const char* fault = fault_of_folders(key)) return fault;
  return fault_of_component(key);
}

const char* fault_of_prefix(std::string_view prefix) {
  if (const char* fault = fault_of_bytes(prefix)) return fault;
  return fault_of_folders(prefix);
}

Error invalid_key(const char* what, std::string_view key, const char* fault) {
  return Error(ErrorKind::invalid, fmt::format("'{}' cannot be {}: {}", key, what, fault));
}

}  // namespace

Result<void> check_key(std::string_view key) {
  if (const char* fault = fault_of_key(key)) return invalid_key("a key", key, fault);
  return {};
}

Result<void> check_prefix(std::string_view prefix) {
  if (const char* fault = fault_of_prefix(prefix)) return invalid_key("the beginning of a key", prefix, fault);
  return {};
}

Result<void> check_part_number(int number) {
  if (number >= 1 && number <= kMaxPartNumber) return {};
  return Error(ErrorKind::invalid,
               fmt::format("{} cannot be the number of a part: they go from 1 to {}", number, kMaxPartNumber));
}

Result<void> check_parts_order(std::string_view key, std::span<const PartInfo> parts) {
  if (parts.empty()) return Error(ErrorKind::invalid, fmt::format("{}: an object cannot be made of no parts", key));
  int before = 0;
  for (const PartInfo& part : parts) {
    CAIRN_TRY(check_part_number(part.number));
    if (part.number <= before) {
      return Error(ErrorKind::invalid,
                   fmt::format("{}: part {} is named after part {}: parts must ascend", key, part.number, before));
    }
    before = part.number;
  }
  return {};
}

bool is_key(std::string_view key) { return fault_of_key(key) == nullptr; }

Error no_upload(std::string_view key) {
  return Error(ErrorKind::not_found, fmt::format("{}: there is no such upload", key));
}

}  // namespace cairn
