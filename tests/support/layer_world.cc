#include "support/layer_world.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "layer/history.h"
#include "layer/manifest.h"
#include "layer/merge.h"
#include "layer/object.h"
#include "segment/running_hash.h"

namespace cairn::testing {
namespace {

namespace fs = std::filesystem;

std::string hash_text(ByteView bytes) {
  segment::RunningHash hash;
  hash.add(bytes);
  return fmt::format("{:016x}", hash.value());
}

std::string attributes_text(const std::string& path) {
  std::string names(64 << 10, '\0');
  const ssize_t length = ::llistxattr(path.c_str(), names.data(), names.size());
  std::set<std::string> sorted;
  for (ssize_t at = 0; at < length; at += static_cast<ssize_t>(std::string(names.c_str() + at).size()) + 1) {
    sorted.insert(names.c_str() + at);
  }
  std::string text;
  for (const std::string& name : sorted) {
    std::string value(64 << 10, '\0');
    const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    CAIRN_CHECK(size >= 0);
    value.resize(static_cast<std::size_t>(size));
    text += fmt::format(" {}={}", name, hash_text(as_bytes(value)));
  }
  return text;
}

std::string line(const std::string& path, std::string_view kind, std::uint32_t mode, std::uint64_t uid,
                 std::uint64_t gid, std::int64_t mtime_s, std::uint64_t mtime_ns, const std::string& rest) {
  return fmt::format("{} {} {:o} {}:{} {}.{:09}{}\n", path, kind, mode, uid, gid, mtime_s, mtime_ns, rest);
}

std::string file_hash(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  segment::RunningHash hash;
  std::string chunk(1 << 20, '\0');
  while (file.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || file.gcount() > 0) {
    hash.add(as_bytes(std::string_view(chunk).substr(0, static_cast<std::size_t>(file.gcount()))));
  }
  return fmt::format("{:016x}", hash.value());
}

using FirstNames = std::map<std::pair<dev_t, ino_t>, std::string>;
using Lines = std::map<std::string, std::string>;

void describe_name(const std::string& root, const std::string& relative, FirstNames& first_names, Lines& all) {
  const std::string path = relative.empty() ? root : root + "/" + relative;
  struct stat status{};
  CAIRN_CHECK(::lstat(path.c_str(), &status) == 0);
  std::string kind, rest;
  if (S_ISSOCK(status.st_mode)) return;
  if (S_ISCHR(status.st_mode) && status.st_rdev == 0) {
    all[relative] = relative + " whiteout\n";
    return;
  }
  const bool has_names = !S_ISDIR(status.st_mode) && status.st_nlink > 1;
  if (has_names) {
    const auto [at, is_first] = first_names.emplace(std::pair(status.st_dev, status.st_ino), relative);
    if (!is_first) {
      all[relative] = relative + " link " + at->second + "\n";
      return;
    }
  }
  if (S_ISDIR(status.st_mode)) {
    kind = "directory";
  } else if (S_ISREG(status.st_mode)) {
    kind = "file";
    rest = fmt::format(" {} {}", status.st_size, file_hash(path));
  } else if (S_ISLNK(status.st_mode)) {
    kind = "symlink";
    rest = " -> " + fs::read_symlink(path).string();
  } else if (S_ISFIFO(status.st_mode)) {
    kind = "fifo";
  } else {
    kind = S_ISCHR(status.st_mode) ? "char" : "block";
    rest = fmt::format(" {}:{}", major(status.st_rdev), minor(status.st_rdev));
  }
  all[relative] = line(relative, kind, status.st_mode & 07777, status.st_uid, status.st_gid, status.st_mtim.tv_sec,
                       static_cast<std::uint64_t>(status.st_mtim.tv_nsec), rest + attributes_text(path));
}

void walk(const std::string& root, const std::string& relative, FirstNames& first_names, Lines& all) {
  describe_name(root, relative, first_names, all);
  const fs::path path = relative.empty() ? root : root + "/" + relative;
  if (!fs::is_directory(fs::symlink_status(path))) return;
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(path)) names.insert(entry.path().filename().string());
  for (const std::string& name : names) {
    walk(root, relative.empty() ? name : relative + "/" + name, first_names, all);
  }
}

std::string joined(const Lines& all) {
  std::string text;
  for (const auto& [path, described] : all) text += described;
  return text;
}

// The contents of a file, read the obvious way: all frames that they lie in.
std::string stored_hash(layer::LayerReader& reader, const layer::IndexedEntry& file) {
  segment::RunningHash hash;
  std::uint64_t left = file.entry.size_bytes;
  if (left == 0) return fmt::format("{:016x}", hash.value());
  const std::uint64_t first = reader.frame_at(file.data_offset);
  const std::uint64_t last = reader.frame_at(file.data_offset + left - 1);
  std::uint64_t begin = 0;  // of the first frame, in the tar
  for (std::uint64_t i = 0; i < first; ++i) begin += reader.frames()[i].size_bytes;
  std::uint64_t skip = file.data_offset - begin;
  const auto read = reader.visit_frames(first, last - first + 1, [&](std::uint64_t, ByteView bytes) -> Result<void> {
    const ByteView part = bytes.subspan(skip).first(std::min<std::uint64_t>(left, bytes.size() - skip));
    hash.add(part);
    left -= part.size();
    skip = 0;
    return {};
  });
  if (!read) return read.error().message();
  return fmt::format("{:016x}", hash.value());
}

std::string kind_text(layer::EntryKind kind) {
  switch (kind) {
    case layer::EntryKind::directory: return "directory";
    case layer::EntryKind::file: return "file";
    case layer::EntryKind::symlink: return "symlink";
    case layer::EntryKind::fifo: return "fifo";
    case layer::EntryKind::char_device: return "char";
    case layer::EntryKind::block_device: return "block";
    default: return "?";
  }
}

std::string stored_line(layer::LayerReader& reader, const layer::IndexedEntry& indexed) {
  const layer::Entry& entry = indexed.entry;
  if (entry.kind == layer::EntryKind::whiteout) return entry.path + " whiteout\n";
  if (entry.kind == layer::EntryKind::hard_link) return entry.path + " link " + entry.link_target + "\n";
  std::string rest;
  if (entry.kind == layer::EntryKind::file)
    rest = fmt::format(" {} {}", entry.size_bytes, stored_hash(reader, indexed));
  if (entry.kind == layer::EntryKind::symlink) rest = " -> " + entry.link_target;
  if (entry.kind == layer::EntryKind::char_device || entry.kind == layer::EntryKind::block_device)
    rest = fmt::format(" {}:{}", entry.dev_major, entry.dev_minor);
  std::vector<layer::Xattr> attributes = entry.xattrs;
  if (entry.kind == layer::EntryKind::directory && entry.mark == layer::Mark::xattr)
    attributes.push_back({"trusted.overlay.opaque", "y"});
  std::ranges::sort(attributes, {}, &layer::Xattr::name);
  for (const layer::Xattr& attribute : attributes)
    rest += fmt::format(" {}={}", attribute.name, hash_text(as_bytes(attribute.value)));
  return line(entry.path, kind_text(entry.kind), entry.mode, entry.uid, entry.gid, entry.mtime_s, entry.mtime_ns, rest);
}

}  // namespace

std::string describe_directory(const std::string& root) {
  FirstNames first_names;
  Lines all;
  walk(root, "", first_names, all);
  return joined(all);
}

std::string describe_sync(Store& store, const std::string& name, std::uint64_t sequence) {
  const auto stored = layer::read_history(store, name);
  if (!stored) return stored.error().message();
  const auto chain = layer::chain_of(stored->whole, sequence == 0 ? stored->whole.head().sequence : sequence);
  if (!chain) return chain.error().message();
  std::vector<std::unique_ptr<layer::LayerReader>> readers;
  std::vector<const layer::LayerReader*> layers;
  for (const layer::SyncRecord& sync : *chain) {
    auto reader = layer::LayerReader::open(store, sync.layer.object);
    if (!reader) return reader.error().message();
    layers.push_back(reader->get());
    readers.push_back(std::move(*reader));
  }
  const auto merged = layer::merge_chain(layers);
  Lines all;
  for (;;) {
    const auto next = merged->next();
    if (!next) return next.error().message();
    if (!*next) return joined(all);
    all[(*next)->indexed.entry.path] = stored_line(*readers[(*next)->layer], (*next)->indexed);
  }
}

std::string difference(const std::string& is, const std::string& should_be) {
  const auto lines_of = [](const std::string& text) {
    std::set<std::string> lines;
    std::istringstream stream(text);
    for (std::string one; std::getline(stream, one);) lines.insert(one);
    return lines;
  };
  const std::set<std::string> have = lines_of(is), want = lines_of(should_be);
  std::string text;
  for (const std::string& one : have) text += want.contains(one) ? "" : "has " + one + "\n";
  for (const std::string& one : want) text += have.contains(one) ? "" : "not " + one + "\n";
  return text;
}

std::string difference_to(Store& store, const std::string& name, const std::string& root) {
  return difference(describe_sync(store, name), describe_directory(root));
}

LayerWorld::LayerWorld() : machine_(make_machine(2)) { fs::create_directory(upper()); }

void LayerWorld::write(const std::string& path, const std::string& contents) const {
  std::ofstream(*this / path, std::ios::binary) << contents;
}

void LayerWorld::mkdir(const std::string& path) const { fs::create_directories(*this / path); }

std::string LayerWorld::noise(std::uint64_t seed, std::size_t size_bytes) {
  return SeededRandom(seed).bytes(size_bytes);
}

void LayerWorld::fill() const {
  mkdir("etc/deep/er");
  mkdir("empty");
  write("etc/hosts", "127.0.0.1 localhost\n");
  write("etc/deep/er/none", "");
  for (int i = 0; i < 40; ++i) write(fmt::format("etc/deep/file-{}", i), noise(static_cast<std::uint64_t>(i), 3000));
  write("two", "two names");
  fs::create_hard_link(*this / "two", *this / "etc/two");
  fs::create_symlink("/nowhere/at all", *this / "dangling");
  CAIRN_CHECK(::mkfifo((*this / "fifo").c_str(), 0640) == 0);
  CAIRN_CHECK(::chmod((*this / "etc/hosts").c_str(), 04755) == 0);
  if (::geteuid() == 0) {
    CAIRN_CHECK(::mknod((*this / "gone").c_str(), S_IFCHR, 0) == 0);
    CAIRN_CHECK(::lchown((*this / "etc/deep").c_str(), 1234, 5678) == 0);
  }
}

LayerOptions LayerWorld::options() const {
  LayerOptions options;
  options.state_directory = state();
  return options;
}

std::unique_ptr<LayerManager> LayerWorld::open(Store& store, LayerOptions with, layer::Hook hook) const {
  auto manager = layer::open_manager(store, *machine_, std::move(with), std::move(hook));
  CAIRN_CHECK(manager.has_value());
  CAIRN_CHECK((*manager)->register_container("web", upper()).has_value());
  return std::move(*manager);
}

std::unique_ptr<LayerManager> LayerWorld::open_in_child(Store& store, LayerOptions with, layer::Hook hook) const {
  Machine* const machine = make_machine(2).release();  // the child ends without tidying up
  auto manager = layer::open_manager(store, *machine, std::move(with), std::move(hook));
  CAIRN_CHECK(manager.has_value());
  CAIRN_CHECK((*manager)->register_container("web", upper()).has_value());
  return std::move(*manager);
}

}  // namespace cairn::testing
