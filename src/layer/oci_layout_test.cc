// Image layouts, judged by the tools that they are for.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "layer/restore.h"
#include "layer/test_layers.h"
#include "support/scratch.h"

namespace cairn::layer {
namespace {

using namespace testing;
namespace fs = std::filesystem;

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class OciLayout : public ::testing::Test {
 protected:
  void SetUp() override {
    Item deleted = item_of(entry_of(EntryKind::whiteout, "deleted"));
    deleted.entry.mark = Mark::device;
    Item directory = item_of(entry_of(EntryKind::directory, "d"));
    std::string large(5u << 20, 'x');
    for (std::size_t i = 0; i < large.size(); i += 7) large[i] = static_cast<char>(i * 2654435761u >> 20);
    layers_ = {make_layer({item_of(entry_of(EntryKind::directory, "")), directory, item_of(file_of("d/a", 0), "old"),
                           item_of(file_of("deleted", 0), "gone"), item_of(file_of("large", 0), large)}),
               make_layer({directory, item_of(file_of("d/a", 0), "new"), deleted})};
    publish(*store_, "web", layers_);
  }
  Result<RestoredSync> restore(const LayerRestoreOptions& options) {
    return restore_layer(*store_, "web", layout_, options, {*decode_, *transfers_, random_});
  }
  static void run(const std::string& command) {
    EXPECT_EQ(std::system((command + " >/dev/null").c_str()), 0) << command;
  }
  static bool has_command(const std::string& name) {
    return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
  }

  cairn::testing::Scratch scratch_{"oci"};
  const std::string layout_ = scratch_ / "image";
  std::unique_ptr<Store> store_ = make_memory_store();
  std::unique_ptr<Executor> decode_ = make_thread_pool(2);
  std::unique_ptr<Executor> transfers_ = make_thread_pool(3);
  SeededRandom random_{1};
  std::vector<MadeLayer> layers_;
};

TEST_F(OciLayout, HasEveryLayerAsItLiesInTheStore) {
  const auto restored = restore({.form = LayerForm::oci_layout, .compression = LayerCompression::zstd});
  ASSERT_TRUE(restored) << restored.error().message();
  const auto blob = [&](const nlohmann::json& descriptor) {
    const std::string digest = descriptor.at("digest");
    const std::string text = read_text(layout_ + "/blobs/sha256/" + digest.substr(7));
    EXPECT_EQ(digest, "sha256:" + hex_of(sha256_of(as_bytes(text))));
    EXPECT_EQ(descriptor.at("size"), text.size());
    return text;
  };
  const auto index = nlohmann::json::parse(read_text(layout_ + "/index.json"));
  const auto manifest = nlohmann::json::parse(blob(index.at("manifests").at(0)));
  const auto config = nlohmann::json::parse(blob(manifest.at("config")));
  ASSERT_EQ(manifest.at("layers").size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(blob(manifest.at("layers").at(i)) == as_text(layers_[i].object));
    EXPECT_EQ(config.at("rootfs").at("diff_ids").at(i), "sha256:" + layers_[i].digest);
  }
  EXPECT_EQ(read_text(layout_ + "/oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
}

TEST_F(OciLayout, SkopeoAndUmociTakeIt) {
  if (!has_command("skopeo") || !has_command("umoci")) GTEST_SKIP() << "no skopeo or no umoci here";
  if (::geteuid() != 0) GTEST_SKIP() << "unpacking an image needs root";
  ASSERT_TRUE(restore({.form = LayerForm::oci_layout}));
  const std::string image = "oci:" + layout_ + ":latest";
  run("skopeo inspect " + image);
  run("umoci stat --image " + layout_ + ":latest");
  run("skopeo copy -q " + image + " dir:" + (scratch_ / "copy"));
  run("umoci unpack --image " + layout_ + ":latest " + (scratch_ / "bundle") + " 2>/dev/null");
  EXPECT_EQ(read_text(scratch_ / "bundle/rootfs/d/a"), "new");
  EXPECT_FALSE(fs::exists(scratch_ / "bundle/rootfs/deleted"));
  EXPECT_EQ(fs::file_size(scratch_ / "bundle/rootfs/large"), 5u << 20);
  ASSERT_TRUE(restore({.form = LayerForm::oci_layout, .overwrite = true, .compression = LayerCompression::zstd}));
  run("skopeo copy -q " + image + " dir:" + (scratch_ / "copy-zstd"));
}

TEST_F(OciLayout, AsGzipItHasTheSameTars) {
  ASSERT_TRUE(restore({.form = LayerForm::oci_layout}));
  const auto index = nlohmann::json::parse(read_text(layout_ + "/index.json"));
  const auto blob = [&](const nlohmann::json& descriptor) {
    return layout_ + "/blobs/sha256/" + std::string(descriptor.at("digest")).substr(7);
  };
  const auto manifest = nlohmann::json::parse(read_text(blob(index.at("manifests").at(0))));
  ASSERT_EQ(manifest.at("layers").size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& layer = manifest.at("layers").at(i);
    EXPECT_EQ(layer.at("mediaType"), "application/vnd.oci.image.layer.v1.tar+gzip");
    EXPECT_EQ(layer.at("digest"), "sha256:" + hex_of(sha256_of(as_bytes(read_text(blob(layer))))));
    EXPECT_EQ(layer.at("size"), fs::file_size(blob(layer)));
    ASSERT_EQ(std::system(("gzip -dc " + blob(layer) + " >" + (scratch_ / "tar")).c_str()), 0);
    EXPECT_TRUE(read_text(scratch_ / "tar") == as_text(layers_[i].tar)) << i;
  }
  EXPECT_EQ(restore({.compression = LayerCompression::gzip}).error().kind(), ErrorKind::invalid);
}

TEST_F(OciLayout, DamageIsFoundAndAPathCannotBeAskedFor) {
  EXPECT_EQ(restore({.form = LayerForm::oci_layout, .path = "d"}).error().kind(), ErrorKind::invalid);
  Bytes damaged = layers_[0].object;
  damaged[damaged.size() / 3] ^= std::byte{1};
  ASSERT_TRUE(store_->remove(layers_[0].meta.object));
  ASSERT_TRUE(store_->put_new(layers_[0].meta.object, BytesSource(damaged)));
  const auto restored = restore({.form = LayerForm::oci_layout});
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind(), ErrorKind::corrupt);
  EXPECT_TRUE(fs::is_empty(scratch_.path()));
}

}  // namespace
}  // namespace cairn::layer
