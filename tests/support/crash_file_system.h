// A disk that forgets. The files are real ones below a real directory; beside them it keeps, for every file and every
// folder, what a disk is bound to keep: contents as of the last sync(), names as of the last sync_directory(). A
// power loss then picks, from one seed, what became of everything else.
//
//   kill         nothing is lost: the page cache outlives the process
//   power_loss   per file: writes since its last sync are kept, dropped, cut, or mixed and garbled by the sector; per
//                folder: new names, renames and removals since its last sync are kept or undone, in order or not
//
// It can also die in the middle of a call (see life.h), and fail writes and syncs at a rate. What was waiting for a
// sync that failed stays lost, although later syncs say that all is well, until it is written again: that is what
// Linux does to pages whose writeback failed.
//
// Only paths below the root may be used, always spelled the same. One thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/files.h"
#include "support/life.h"

namespace cairn::testing {

enum class CrashKind { kill, power_loss };

// Chances in 10,000 changing calls.
struct DiskFaults {
  std::uint32_t full = 0;       // write, create, resize: "the disk is full", a part of the bytes may be written
  std::uint32_t failing = 0;    // write, sync, rename, remove: io
};

class CrashFileSystem final : public FileSystem {
 public:
  // `root` exists; what lies in it counts as synced. `life` is shared with the store of the same process.
  CrashFileSystem(std::string root, Life& life, SeededRandom& random);
  ~CrashFileSystem() override;

  // To be called when the objects of the dead process are gone. Afterwards the files are what the next process finds.
  void crash(CrashKind kind);
  void set_faults(DiskFaults faults) { faults_ = faults; }
  std::uint64_t changing_calls() const { return changing_calls_; }
  std::uint64_t faults_injected() const { return faults_injected_; }

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, int permissions) override;
  Result<std::unique_ptr<MappedFile>> map(const std::string& path, std::uint64_t size_bytes) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> link_new(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> make_directories(const std::string& path, int permissions) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;

  // A file, whatever its names. `durable` is what the disk must keep.
  struct Node {
    Bytes durable;
    std::set<std::uint64_t> lost_pages;  // of 4 KiB: clean in the cache, never written to the disk
    // Contents when the last name went, in case the removal is undone.
    Bytes at_removal;
  };
  using NodePtr = std::shared_ptr<Node>;

 private:
  friend class CrashFile;
  friend class CrashMappedFile;

  using Names = std::map<std::string, NodePtr>;
  struct NameChange {
    std::string path;
    NodePtr now;  // null: the name is gone
  };
  using NameOperation = std::vector<NameChange>;

  enum class Effect { whole, part, none };
  // What becomes of a changing call: its whole effect, or an error with part of it or none. `may_fill` calls need room.
  struct Fate {
    Effect effect = Effect::whole;
    std::optional<Error> error;
  };
  enum class Needs { nothing, room };
  Fate decide(const std::string& what, Needs needs);
  Result<void> refuse_when_dead(const std::string& what) const;

  NodePtr node_of(const std::string& path) const;
  static void writeback(Node& node, Bytes written);
  static void lose_writeback(Node& node, const Bytes& written);
  void set_names(NameOperation operation);
  Bytes contents(const std::string& path) const;
  void learn_what_is_there();
  Names names_after_power_loss();
  Bytes after_power_loss(const Node& node, const Bytes& written);
  Bytes mix_sectors(const Bytes& old, const Bytes& written);
  void replace_all(const std::map<std::string, Bytes>& files);

  std::unique_ptr<FileSystem> real_;
  std::string root_;
  Life& life_;
  SeededRandom& random_;
  DiskFaults faults_;
  std::uint64_t changing_calls_ = 0, faults_injected_ = 0;
  Names names_;          // as the process sees them
  Names durable_names_;  // as the disk must keep them
  std::vector<NameOperation> unsynced_names_;  // the way from durable_names_ to names_, in order
};

}  // namespace cairn::testing
