// The process sees the real files. What a power loss may take back is kept beside them: per file the bytes at its last
// sync, per folder the names at its last sync, and the list of naming operations since. After a power loss the whole
// tree is written anew (under new inodes), so that a mapping or descriptor of the dead process points at nothing that
// still has a name.
#include "support/crash_file_system.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/check.h"

namespace cairn::testing {
namespace {

namespace stdfs = std::filesystem;

constexpr std::uint64_t kCachePage = 4096;

// The part of `bytes` at this place, zeros past its end.
Bytes part_of(const Bytes& bytes, std::size_t offset, std::size_t length) {
  Bytes part(length);
  if (offset < bytes.size()) std::memcpy(part.data(), &bytes[offset], std::min(length, bytes.size() - offset));
  return part;
}

Error dead(const std::string& what) { return Error(ErrorKind::io, what + ": the process is dead"); }

template <class T>
T done(Result<T> result) {
  if (!result) check_failed(result.error().message().c_str(), __FILE__, __LINE__);
  return std::move(*result);
}
void done(const Result<void>& result) {
  if (!result) check_failed(result.error().message().c_str(), __FILE__, __LINE__);
}

}  // namespace

class CrashFile final : public File {
 public:
  CrashFile(CrashFileSystem& fs, std::unique_ptr<File> real, CrashFileSystem::NodePtr node, std::string path)
      : fs_(fs), real_(std::move(real)), node_(std::move(node)), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    CAIRN_TRY(fs_.refuse_when_dead(path_));
    return real_->read_at(offset, into);
  }
  Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
    const auto fate = fs_.decide("writing " + path_, CrashFileSystem::Needs::room);
    if (fate.effect == CrashFileSystem::Effect::part) bytes = bytes.first(fs_.random_.below(bytes.size() + 1));
    if (fate.effect != CrashFileSystem::Effect::none) {
      CAIRN_TRY(real_->write_at(offset, bytes));
      const std::uint64_t end = (offset + bytes.size() + kCachePage - 1) / kCachePage;
      for (std::uint64_t page = offset / kCachePage; page < end; ++page) node_->lost_pages.erase(page);
    }
    if (fate.error) return *fate.error;
    return {};
  }
  Result<std::uint64_t> size() const override {
    CAIRN_TRY(fs_.refuse_when_dead(path_));
    return real_->size();
  }
  Result<void> truncate(std::uint64_t size_bytes) override {
    const auto fate = fs_.decide("truncating " + path_, CrashFileSystem::Needs::nothing);
    if (fate.effect == CrashFileSystem::Effect::whole) CAIRN_TRY(real_->truncate(size_bytes));
    if (fate.error) return *fate.error;
    return {};
  }
  Result<void> sync() override {
    const auto fate = fs_.decide("syncing " + path_, CrashFileSystem::Needs::nothing);
    CAIRN_ASSIGN(const std::uint64_t size_bytes, real_->size());
    Bytes written(size_bytes);
    CAIRN_ASSIGN(const std::size_t got, real_->read_at(0, written));
    CAIRN_CHECK(got == size_bytes);
    if (!fate.error) {
      CrashFileSystem::writeback(*node_, std::move(written));
    } else if (fate.effect == CrashFileSystem::Effect::part) {
      CrashFileSystem::lose_writeback(*node_, written);
    }
    if (fate.error) return *fate.error;
    return {};
  }
  void start_writeback(std::uint64_t, std::uint64_t) override {}

 private:
  CrashFileSystem& fs_;
  std::unique_ptr<File> real_;
  CrashFileSystem::NodePtr node_;
  std::string path_;
};

class CrashMappedFile final : public MappedFile {
 public:
  CrashMappedFile(CrashFileSystem& fs, std::unique_ptr<MappedFile> real, std::string path)
      : fs_(fs), real_(std::move(real)), path_(std::move(path)) {}

  std::span<std::byte> bytes() override { return real_->bytes(); }
  Result<void> resize(std::uint64_t size_bytes) override {
    const auto fate = fs_.decide("resizing " + path_, CrashFileSystem::Needs::room);
    if (fate.error) return *fate.error;
    return real_->resize(size_bytes);
  }

 private:
  CrashFileSystem& fs_;
  std::unique_ptr<MappedFile> real_;
  std::string path_;
};

CrashFileSystem::CrashFileSystem(std::string root, Life& life, SeededRandom& random)
    : real_(make_real_file_system()), root_(std::move(root)), life_(life), random_(random) {
  learn_what_is_there();
}
CrashFileSystem::~CrashFileSystem() = default;

void CrashFileSystem::learn_what_is_there() {
  names_.clear();
  unsynced_names_.clear();
  for (const auto& entry : stdfs::recursive_directory_iterator(root_)) {
    if (!entry.is_regular_file()) continue;
    auto node = std::make_shared<Node>();
    node->durable = contents(entry.path());
    names_.emplace(entry.path(), std::move(node));
  }
  durable_names_ = names_;
}

Bytes CrashFileSystem::contents(const std::string& path) const { return done(read_file(*real_, path)); }

void CrashFileSystem::writeback(Node& node, Bytes written) {
  for (const std::uint64_t page : node.lost_pages) {
    const std::uint64_t offset = page * kCachePage;
    if (offset >= written.size()) continue;
    const std::uint64_t length = std::min<std::uint64_t>(kCachePage, written.size() - offset);
    std::ranges::copy(part_of(node.durable, offset, length), written.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  node.durable = std::move(written);
}

void CrashFileSystem::lose_writeback(Node& node, const Bytes& written) {
  for (std::uint64_t offset = 0; offset < written.size(); offset += kCachePage) {
    const std::uint64_t length = std::min<std::uint64_t>(kCachePage, written.size() - offset);
    if (part_of(node.durable, offset, length) != part_of(written, offset, length)) {
      node.lost_pages.insert(offset / kCachePage);
    }
  }
}

CrashFileSystem::NodePtr CrashFileSystem::node_of(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : found->second;
}

void CrashFileSystem::set_names(NameOperation operation) {
  for (const NameChange& change : operation) {
    if (change.now) {
      names_[change.path] = change.now;
    } else {
      names_.erase(change.path);
    }
  }
  unsynced_names_.push_back(std::move(operation));
}

Result<void> CrashFileSystem::refuse_when_dead(const std::string& what) const {
  if (life_.is_over()) return dead(what);
  return {};
}

CrashFileSystem::Fate CrashFileSystem::decide(const std::string& what, Needs needs) {
  ++changing_calls_;
  const auto any_effect = [&] { return static_cast<Effect>(random_.below(3)); };
  switch (life_.tick()) {
    case Life::Moment::dead: return {Effect::none, dead(what)};
    case Life::Moment::dying: return {any_effect(), dead(what)};
    case Life::Moment::alive: break;
  }
  if (needs == Needs::room && random_.chance(faults_.full, 10000)) {
    ++faults_injected_;
    return {random_.chance(1, 2) ? Effect::part : Effect::none, Error(ErrorKind::io, what + ": the disk is full")};
  }
  if (random_.chance(faults_.failing, 10000)) {
    ++faults_injected_;
    return {random_.chance(1, 2) ? Effect::part : Effect::none, Error(ErrorKind::io, what + ": input/output error")};
  }
  return {};
}

Result<std::unique_ptr<File>> CrashFileSystem::open(const std::string& path, OpenMode mode, int permissions) {
  NodePtr node = node_of(path);
  if (!node && mode != OpenMode::read) {
    const Fate fate = decide("creating " + path, Needs::room);
    if (fate.error && fate.effect != Effect::whole) return *fate.error;
    CAIRN_ASSIGN(auto real, real_->open(path, mode, permissions));
    node = std::make_shared<Node>();
    set_names({{path, node}});
    if (fate.error) return *fate.error;
    return std::make_unique<CrashFile>(*this, std::move(real), std::move(node), path);
  }
  CAIRN_TRY(refuse_when_dead("opening " + path));
  CAIRN_ASSIGN(auto real, real_->open(path, mode, permissions));
  CAIRN_CHECK(node != nullptr);  // somebody else made a file below the root
  return std::make_unique<CrashFile>(*this, std::move(real), std::move(node), path);
}

Result<std::unique_ptr<MappedFile>> CrashFileSystem::map(const std::string& path, std::uint64_t size_bytes) {
  const Fate fate = decide("mapping " + path, Needs::room);
  if (fate.error) return *fate.error;
  CAIRN_ASSIGN(auto real, real_->map(path, size_bytes));
  if (!node_of(path)) set_names({{path, std::make_shared<Node>()}});
  return std::make_unique<CrashMappedFile>(*this, std::move(real), path);
}

Result<FileInfo> CrashFileSystem::info(const std::string& path) {
  CAIRN_TRY(refuse_when_dead(path));
  return real_->info(path);
}

Result<void> CrashFileSystem::rename(const std::string& from, const std::string& to) {
  const Fate fate = decide("renaming " + from, Needs::nothing);
  if (fate.error && fate.effect != Effect::whole) return *fate.error;
  if (const NodePtr replaced = node_of(to)) replaced->at_removal = contents(to);
  CAIRN_TRY(real_->rename(from, to));
  const NodePtr node = node_of(from);
  CAIRN_CHECK(node != nullptr);  // folders are not renamed here
  set_names({{from, nullptr}, {to, node}});
  if (fate.error) return *fate.error;
  return {};
}

Result<void> CrashFileSystem::link_new(const std::string& from, const std::string& to) {
  const Fate fate = decide("linking " + from, Needs::nothing);
  if (fate.error && fate.effect != Effect::whole) return *fate.error;
  CAIRN_TRY(real_->link_new(from, to));
  const NodePtr node = node_of(from);
  set_names({{to, node}});
  if (fate.error) return *fate.error;
  return {};
}

Result<void> CrashFileSystem::remove(const std::string& path) {
  const Fate fate = decide("removing " + path, Needs::nothing);
  if (fate.error && fate.effect != Effect::whole) return *fate.error;
  if (const NodePtr node = node_of(path)) {
    node->at_removal = contents(path);
    CAIRN_TRY(real_->remove(path));
    set_names({{path, nullptr}});
  } else {
    CAIRN_TRY(real_->remove(path));  // a folder: gone for good
  }
  if (fate.error) return *fate.error;
  return {};
}

Result<void> CrashFileSystem::make_directories(const std::string& path, int permissions) {
  const Fate fate = decide("making " + path, Needs::room);
  if (fate.error) return *fate.error;
  return real_->make_directories(path, permissions);
}

Result<void> CrashFileSystem::sync_directory(const std::string& path) {
  const Fate fate = decide("syncing " + path, Needs::nothing);
  if (fate.error) return *fate.error;
  const auto is_in = [&](const std::string& file) { return parent_directory(file) == path; };
  std::erase_if(durable_names_, [&](const auto& entry) { return is_in(entry.first); });
  for (const auto& [file, node] : names_) {
    if (is_in(file)) durable_names_[file] = node;
  }
  for (NameOperation& operation : unsynced_names_) {
    std::erase_if(operation, [&](const NameChange& change) { return is_in(change.path); });
  }
  std::erase_if(unsynced_names_, [](const NameOperation& operation) { return operation.empty(); });
  return real_->sync_directory(path);
}

Result<std::vector<std::string>> CrashFileSystem::list(const std::string& path) {
  CAIRN_TRY(refuse_when_dead(path));
  return real_->list(path);
}

Result<std::unique_ptr<FileLock>> CrashFileSystem::lock(const std::string& path) {
  CAIRN_TRY(refuse_when_dead(path));
  CAIRN_ASSIGN(auto lock, real_->lock(path));
  if (!node_of(path)) set_names({{path, std::make_shared<Node>()}});
  return lock;
}

// Two kinds of disk: one that keeps the order of naming operations (any number of them from the front survives), and
// one that keeps none (each name is its old or its new self).
CrashFileSystem::Names CrashFileSystem::names_after_power_loss() {
  Names names = durable_names_;
  const auto apply = [&](const NameChange& change) {
    if (change.now) {
      names[change.path] = change.now;
    } else {
      names.erase(change.path);
    }
  };
  if (random_.chance(2, 3)) {
    const std::uint64_t kept = random_.below(unsynced_names_.size() + 1);
    for (std::uint64_t i = 0; i < kept; ++i) std::for_each(unsynced_names_[i].begin(), unsynced_names_[i].end(), apply);
    return names;
  }
  std::set<std::string> touched;
  for (const NameOperation& operation : unsynced_names_) {
    for (const NameChange& change : operation) touched.insert(change.path);
  }
  for (const std::string& path : touched) {
    if (random_.chance(1, 2)) apply({path, node_of(path)});
  }
  return names;
}

Bytes CrashFileSystem::mix_sectors(const Bytes& old, const Bytes& written) {
  const std::size_t sector = random_.chance(1, 2) ? 512 : 4096;
  const std::size_t shorter = std::min(old.size(), written.size()), longer = std::max(old.size(), written.size());
  const std::size_t sizes[] = {old.size(), written.size(), shorter + random_.below(longer - shorter + 1)};
  Bytes mixed(sizes[random_.below(3)]);
  const bool garbles = random_.chance(1, 2);
  for (std::size_t offset = 0; offset < mixed.size(); offset += sector) {
    const std::size_t length = std::min(sector, mixed.size() - offset);
    const Bytes before = part_of(old, offset, length), after = part_of(written, offset, length);
    Bytes bytes = random_.chance(1, 2) ? before : after;
    if (before != after && garbles && random_.chance(1, 4)) {
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_.next());
    }
    std::copy(bytes.begin(), bytes.end(), mixed.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  return mixed;
}

Bytes CrashFileSystem::after_power_loss(const Node& node, const Bytes& written) {
  if (written == node.durable) return written;
  switch (random_.below(4)) {
    case 0: return written;
    case 1: return node.durable;
    case 2: {  // cut, where it was only appended to
      if (written.size() <= node.durable.size()) break;
      if (!std::equal(node.durable.begin(), node.durable.end(), written.begin())) break;
      const std::size_t grown = written.size() - node.durable.size();
      return Bytes(written.begin(), written.end() - static_cast<std::ptrdiff_t>(random_.below(grown + 1)));
    }
    default: break;
  }
  return mix_sectors(node.durable, written);
}

void CrashFileSystem::replace_all(const std::map<std::string, Bytes>& files) {
  for (const auto& [path, node] : names_) done(real_->remove(path));
  for (const auto& [path, bytes] : files) {
    done(real_->make_directories(parent_directory(path)));
    const auto file = done(real_->open(path, OpenMode::create_new));
    done(file->write_at(0, bytes));
  }
}

void CrashFileSystem::crash(CrashKind kind) {
  if (kind == CrashKind::kill) return;  // what was not synced still is not: a power loss may follow
  std::map<Node*, Bytes> written;
  for (const auto& [path, node] : names_) written.try_emplace(node.get(), contents(path));
  std::map<Node*, Bytes> survived;
  std::map<std::string, Bytes> files;
  for (const auto& [path, node] : names_after_power_loss()) {
    if (!survived.contains(node.get())) {
      const auto found = written.find(node.get());
      survived[node.get()] = after_power_loss(*node, found == written.end() ? node->at_removal : found->second);
    }
    files[path] = survived[node.get()];
  }
  replace_all(files);
  learn_what_is_there();
}

}  // namespace cairn::testing
