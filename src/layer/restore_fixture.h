// A store with layers, and restores from it, for tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "layer/restore.h"
#include "layer/test_layers.h"
#include "support/scratch.h"

namespace cairn::layer::testing {

inline std::string file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class LayerRestore : public ::testing::Test {
 protected:
  Result<RestoredSync> restore(const std::string& target, const LayerRestoreOptions& options = {},
                               const OnRestored& on_restored = {}) {
    return restore_layer(*store_, "web", target, options, {*decode_, *transfers_, random_}, on_restored);
  }
  void publish_layers(const std::vector<std::vector<Item>>& layers) {
    std::vector<MadeLayer> made;
    for (const auto& items : layers) made.push_back(make_layer(items));
    publish(*store_, "web", made);
  }
  // Nothing beside the target, whatever happened.
  void expect_only(const std::vector<std::string>& names) {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(scratch_.path())) {
      found.push_back(entry.path().filename());
    }
    std::ranges::sort(found);
    EXPECT_EQ(found, names);
  }
  static void needs_root() {
    if (::geteuid() != 0) GTEST_SKIP() << "owners, devices and trusted attributes need root";
  }

  cairn::testing::Scratch scratch_{"restore"};
  std::unique_ptr<Store> store_ = make_memory_store();
  std::unique_ptr<Executor> decode_ = make_thread_pool(2);
  std::unique_ptr<Executor> transfers_ = make_thread_pool(4);
  SeededRandom random_{1};
};

}  // namespace cairn::layer::testing
