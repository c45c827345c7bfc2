#include "support/page_model.h"

#include <sqlite3.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/bytes.h"
#include "base/check.h"
#include "fmt/format.h"
#include "support/whole_file.h"

namespace cairn::testing {
namespace {

namespace stdfs = std::filesystem;

Bytes read_whole(const std::string& path) {
  const std::string text = whole_file(path);
  const ByteView bytes = as_bytes(text);
  return Bytes(bytes.begin(), bytes.end());
}

std::uint32_t page_size_of(ByteView image) {
  if (image.size() < 100) return 512;
  const auto stored =
      static_cast<std::uint32_t>(std::to_integer<int>(image[16]) << 8 | std::to_integer<int>(image[17]));
  return stored == 1 ? 65536 : std::max(stored, 512u);
}

}  // namespace

ContentHash content_hash(ByteView bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::optional<Bytes> committed_image(sqlite3* connection) {
  // A refresh of the schema and of the page size, both of which another connection may have changed.
  if (sqlite3_exec(connection, "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr) != SQLITE_OK) return {};
  sqlite3_int64 size = 0;
  unsigned char* bytes = sqlite3_serialize(connection, "main", &size, 0);
  if (bytes == nullptr) {
    if (size == 0) return Bytes{};  // a database in which nothing was made yet
    return {};
  }
  const auto* begin = reinterpret_cast<const std::byte*>(bytes);
  Bytes image(begin, begin + size);
  sqlite3_free(bytes);
  return image;
}

Bytes committed_image_by_copy(const std::string& database, const std::string& scratch_directory) {
  const std::string copy = scratch_directory + "/copy";
  for (const char* suffix : {"", "-wal", "-journal", "-shm"}) {
    stdfs::remove(copy + suffix);
    if (*suffix == '-' && suffix[1] == 's') continue;  // the index is rebuilt from the WAL
    if (stdfs::exists(database + suffix)) stdfs::copy_file(database + suffix, copy + suffix);
  }
  sqlite3* connection = nullptr;
  CAIRN_CHECK(sqlite3_open_v2(copy.c_str(), &connection, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
  sqlite3_exec(connection, "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr);
  sqlite3_wal_checkpoint_v2(connection, "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  CAIRN_CHECK(sqlite3_close(connection) == SQLITE_OK);
  return read_whole(copy);
}

std::string describe_difference(ByteView expected, ByteView got) {
  const std::uint32_t page_size = page_size_of(expected);
  if (page_size != page_size_of(got)) return fmt::format("page size {} instead of {}", page_size_of(got), page_size);
  std::string text;
  if (expected.size() != got.size()) {
    text = fmt::format("{} pages instead of {}; ", got.size() / page_size, expected.size() / page_size);
  }
  std::size_t differing = 0;
  const std::size_t common = std::min(expected.size(), got.size());
  for (std::size_t offset = 0; offset < common; offset += page_size) {
    const std::size_t length = std::min<std::size_t>(page_size, common - offset);
    if (std::memcmp(&expected[offset], &got[offset], length) == 0) continue;
    if (++differing <= 8) text += fmt::format("page {} differs; ", offset / page_size + 1);
  }
  return fmt::format("{}{} of {} common pages differ", text, differing, common / page_size);
}

bool PageModel::observe(sqlite3* connection) {
  auto image = committed_image(connection);
  if (!image) return false;
  observe(std::move(*image));
  return true;
}

void PageModel::observe(Bytes image) {
  const State state{content_hash(image), image.size()};
  if (!states_.empty() && states_.back().hash == state.hash) return;
  states_.push_back(state);
  images_.push_back(std::move(image));
  if (images_.size() > kKeptImages) images_.pop_front();
}

std::optional<std::size_t> PageModel::find_from(std::size_t from, ContentHash hash) const {
  for (std::size_t i = from; i < states_.size(); ++i) {
    if (states_[i].hash == hash) return i;
  }
  return {};
}

const Bytes* PageModel::image(std::size_t index) const {
  const std::size_t oldest = states_.size() - images_.size();
  return index < oldest || index >= states_.size() ? nullptr : &images_[index - oldest];
}

std::string PageModel::explain(ByteView image) const {
  if (images_.empty()) return "";
  std::string text = "against the newest state: " + describe_difference(images_.back(), image);
  const std::uint32_t page_size = page_size_of(image);
  int told = 0;
  for (std::size_t offset = 0; offset < image.size() && told < 8; offset += page_size) {
    const ByteView page = image.subspan(offset, std::min<std::size_t>(page_size, image.size() - offset));
    const auto has_it = [&](const Bytes& state) {
      return state.size() >= offset + page.size() && std::memcmp(&state[offset], page.data(), page.size()) == 0;
    };
    if (has_it(images_.back())) continue;
    ++told;
    const auto found = std::find_if(images_.rbegin(), images_.rend(), has_it);
    text += found == images_.rend() ? fmt::format("; page {} is like in no kept state", offset / page_size + 1)
                                    : fmt::format("; page {} is that of state {}", offset / page_size + 1,
                                                  newest() - (found - images_.rbegin()));
  }
  return text;
}

}  // namespace cairn::testing
