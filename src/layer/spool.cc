#include "layer/spool.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/open_file_source.h"

namespace cairn::layer {
namespace {

constexpr std::string_view kPrefix = "part-";

// Of a part's file; 0: it is another one.
int number_of(std::string_view name) {
  int number = 0;
  if (name.starts_with(kPrefix)) std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), number);
  return number;
}

Result<std::uint64_t> hash_of_part(const Source& source) {
  constexpr std::uint64_t kChunkBytes = 1u << 20;
  segment::RunningHash hash;
  Bytes chunk;
  for (std::uint64_t offset = 0; offset < source.size_bytes(); offset += chunk.size()) {
    chunk.resize(std::min(kChunkBytes, source.size_bytes() - offset));
    CAIRN_TRY(source.read_at(offset, chunk));
    hash.add(chunk);
  }
  return hash.value();
}

}  // namespace

Result<void> SpoolPart::append(ByteView bytes) {
  CAIRN_TRY(file_->write_at(size_bytes_, bytes));
  size_bytes_ += bytes.size();
  hash_.add(bytes);
  return {};
}

Result<void> SpoolPart::go_back(const Mark& mark) {
  CAIRN_TRY(file_->truncate(mark.size_bytes));
  CAIRN_ASSIGN(hash_, segment::RunningHash::restore(mark.hash));
  size_bytes_ = mark.size_bytes;
  return {};
}

std::string Spool::path_of(int number) const { return join_path(directory_, fmt::format("{}{:05}", kPrefix, number)); }

Result<std::unique_ptr<SpoolPart>> Spool::begin(int number) {
  CAIRN_TRY(files_.make_directories(directory_));
  CAIRN_TRY(files_.remove(path_of(number)));
  CAIRN_ASSIGN(auto file, files_.open(path_of(number), OpenMode::create_new));
  return std::make_unique<SpoolPart>(std::move(file), number);
}

Result<std::shared_ptr<const Source>> Spool::find(const JournaledPart& part) {
  const std::shared_ptr<const Source> none;
  auto file = files_.open(path_of(part.number), OpenMode::read);
  if (!file && file.error().kind() == ErrorKind::not_found) return none;
  if (!file) return file.error();
  CAIRN_ASSIGN(const std::uint64_t size, (*file)->size());
  if (size != part.size_bytes) return none;
  auto source = std::make_shared<const OpenFileSource>(std::move(*file), size);
  CAIRN_ASSIGN(const std::uint64_t hash, hash_of_part(*source));
  if (hash != part.hash) return none;
  return std::shared_ptr<const Source>(std::move(source));
}

void Spool::remove(int number) { (void)files_.remove(path_of(number)); }

Result<std::vector<std::string>> Spool::names() {
  auto names = files_.list(directory_);
  if (!names && names.error().kind() == ErrorKind::not_found) return std::vector<std::string>();
  return names;
}

Result<std::set<int>> Spool::numbers() {
  CAIRN_ASSIGN(const auto all, names());
  std::set<int> numbers;
  for (const std::string& name : all) numbers.insert(number_of(name));
  numbers.erase(0);
  return numbers;
}

Result<void> Spool::keep_only(int last) {
  CAIRN_ASSIGN(const auto all, names());
  for (const std::string& name : all) {
    const int number = number_of(name);
    if (number >= 1 && number <= last) continue;
    CAIRN_TRY(files_.remove(join_path(directory_, name)));
  }
  return {};
}

}  // namespace cairn::layer
