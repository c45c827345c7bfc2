// A container's directory, a store and a state directory for tests of syncs, and what the directory and the store hold
// as text, so that the two can be held against each other.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "cairn/layer.h"
#include "cairn/machine.h"
#include "layer/manager.h"
#include "support/scratch.h"

namespace cairn::testing {

inline constexpr std::uint64_t kMiB = 1u << 20;
inline constexpr std::int64_t kDayMs = 24ll * 3600 * 1000;

// Everything that a layer keeps of a directory, a line a name: kind, mode, owner, time, contents (as a hash), links,
// devices, attributes. Through the system's own calls and nothing of Cairn's.
std::string describe_directory(const std::string& root);
// The same of a sync in the store, from the objects alone. sequence 0: the newest.
std::string describe_sync(Store& store, const std::string& name, std::uint64_t sequence = 0);

// The lines in which two descriptions differ; empty: none.
std::string difference(const std::string& is, const std::string& should_be);
// The newest sync against the directory.
std::string difference_to(Store& store, const std::string& name, const std::string& root);

class LayerWorld {
 public:
  LayerWorld();

  std::string upper() const { return scratch_ / "upper"; }
  std::string operator/(const std::string& path) const { return upper() + "/" + path; }
  std::string state() const { return scratch_ / "state"; }
  std::string beside(const std::string& name) const { return scratch_ / name; }

  void write(const std::string& path, const std::string& contents) const;
  void mkdir(const std::string& path) const;
  // Bytes that do not compress, of a seed.
  static std::string noise(std::uint64_t seed, std::size_t size_bytes);
  // A small tree of every kind: files, directories, links, a fifo, attributes, a whiteout if this is root.
  void fill() const;

  LayerOptions options() const;
  // Opens a manager on the state directory and registers the directory as "web". Ends the test when it cannot.
  std::unique_ptr<LayerManager> open(Store& store, layer::Hook hook = {}) const {
    return open(store, options(), std::move(hook));
  }
  std::unique_ptr<LayerManager> open(Store& store, LayerOptions with, layer::Hook hook) const;

  Machine& machine() const { return *machine_; }

  // The same world with a machine of its own: for a forked child, which has none of its parent's threads.
  std::unique_ptr<LayerManager> open_in_child(Store& store, LayerOptions with, layer::Hook hook) const;

 private:
  Scratch scratch_{"layers"};
  std::unique_ptr<Machine> machine_;
};

}  // namespace cairn::testing
