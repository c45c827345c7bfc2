#include "layer/merge.h"

#include <gtest/gtest.h>

#include "layer/test_layers.h"

namespace cairn::layer {
namespace {

using namespace testing;

using Layers = std::vector<std::vector<Item>>;

// What a chain comes to, a line an entry: path, kind, and the layer that it is from. Contents are those of its layer.
std::string merged(const Layers& layers, std::optional<std::string> path = std::nullopt) {
  const auto store = make_memory_store();
  std::vector<std::unique_ptr<LayerReader>> readers;
  std::vector<const LayerReader*> views;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string key = "layer" + std::to_string(i);
    const MadeLayer made = make_layer(layers[i]);
    CAIRN_CHECK(store->put_new(key, BytesSource(made.object)));
    readers.push_back(LayerReader::open(*store, key).value());
    views.push_back(readers.back().get());
  }
  const auto chain = merge_chain(views, std::move(path));
  std::string text;
  for (;;) {
    auto entry = chain->next();
    if (!entry) return text + "error: " + std::string(cairn::name_of(entry.error().kind()));
    if (!*entry) return text;
    const Entry& e = (*entry)->indexed.entry;
    const char kind = "dflhcbpwo"[static_cast<int>(e.kind)];
    text += e.path + " " + kind + std::to_string((*entry)->layer);
    if (e.kind == EntryKind::hard_link) text += ">" + e.link_target;
    if (e.mark != Mark::none) text += "!";
    if (e.kind == EntryKind::file) {
      const LayerReader& reader = *views[(*entry)->layer];
      const std::uint64_t at = (*entry)->indexed.data_offset;
      EXPECT_TRUE(reader.visit_frames(reader.frame_at(at), 1, [&](std::uint64_t frame, ByteView bytes) -> Result<void> {
        text += "=" + std::string(as_text(bytes.subspan(at - reader.frames()[frame].tar_offset, e.size_bytes)));
        return {};
      }));
    }
    text += "\n";
  }
}

TEST(LayerMerge, OneLayerIsWhatItIs) {
  EXPECT_EQ(merged({{dir(""), dir("a"), file("a/f", "1"), hard_link("b", "a/f"), gone("c", Mark::device)}}),
            " d0\na d0\na/f f0=1\nb h0>a/f\nc w0!\n");
}

TEST(LayerMerge, TheNewestOfEachPathCounts) {
  EXPECT_EQ(merged({{dir(""), dir("d"), file("d/a", "1"), file("d/b", "1"), file("e", "1")},
                    {dir("d"), file("d/a", "2"), file("d/c", "2")},
                    {file("d/c", "3")}}),
            " d0\nd d1\nd/a f1=2\nd/b f0=1\nd/c f2=3\ne f0=1\n");
}

TEST(LayerMerge, DeletionsAreMarksOrNothing) {
  EXPECT_EQ(merged({{dir(""), file("a", "1"), file("b", "1"), dir("c"), file("c/x", "1")},
                    {dir(""), gone("a", Mark::device), gone("b"), gone("c")}}),
            " d1\na w1!\n");
  // Gone, back, gone again.
  const Layers back{{dir(""), file("a", "1")}, {gone("a", Mark::device)}, {file("a", "3")}};
  EXPECT_EQ(merged(back), " d0\na f2=3\n");
  Layers gone_again = back;
  gone_again.push_back({gone("a")});
  EXPECT_EQ(merged(gone_again), " d0\n");
}

TEST(LayerMerge, AWhiteoutIsForgotten) {
  const Layers layers{{dir(""), dir("d"), gone("d/a", Mark::device), gone("d/b", Mark::device)},
                      {dir("d", Mark::none, {"a"})}};
  EXPECT_EQ(merged(layers), " d0\nd d1\nd/b w0!\n");
  Layers marked_again = layers;
  marked_again.push_back({dir("d"), gone("d/a", Mark::device)});
  EXPECT_EQ(merged(marked_again), " d0\nd d2\nd/a w2!\nd/b w0!\n");
}

TEST(LayerMerge, OpaqueHidesOlderLayersOnly) {
  EXPECT_EQ(merged({{dir(""), dir("d"), file("d/a", "1"), dir("d/s"), file("d/s/x", "1")},
                    {dir("d", Mark::xattr), opaque("d"), file("d/b", "2")},
                    {file("d/c", "3")}}),
            " d0\nd d1!\nd/b f1=2\nd/c f2=3\n");
  EXPECT_EQ(merged({{dir(""), file("a", "1")}, {dir("", Mark::xattr), opaque(""), file("b", "2")}}), " d1!\nb f1=2\n");
}

TEST(LayerMerge, KindsThatReplaceEachOther) {
  // A directory becomes a file, and a directory again: what was in the first is not in the second.
  const Layers layers{{dir(""), dir("d"), file("d/a", "1"), dir("d/s"), file("d/s/x", "1")}, {file("d", "2")},
                      {dir("d"), file("d/b", "3")}};
  EXPECT_EQ(merged({layers[0], layers[1]}), " d0\nd f1=2\n");
  EXPECT_EQ(merged(layers), " d0\nd d2\nd/b f2=3\n");
  EXPECT_EQ(merged({layers[0], {gone("d", Mark::device)}, layers[2]}), " d0\nd d2\nd/b f2=3\n");
  EXPECT_EQ(merged({layers[0], {item_of(link_of(EntryKind::symlink, "d", "/etc"))}}), " d0\nd l1\n");
}

TEST(LayerMerge, LinksWhoseFirstNameChanged) {
  const Layers base{{dir(""), file("a", "old"), hard_link("b", "a"), hard_link("c", "a")}};
  const auto with = [&](std::vector<Item> more) {
    Layers layers = base;
    layers.push_back(std::move(more));
    return merged(layers);
  };
  EXPECT_EQ(with({file("x", "2")}), " d0\na f0=old\nb h0>a\nc h0>a\nx f1=2\n");
  EXPECT_EQ(with({file("a", "new")}), " d0\na f1=new\nb f0=old\nc h0>b\n");
  EXPECT_EQ(with({gone("a")}), " d0\nb f0=old\nc h0>b\n");
  EXPECT_EQ(with({gone("a", Mark::device), gone("b")}), " d0\na w1!\nc f0=old\n");
  const std::vector<Item> linked{dir(""), dir("d"), file("d/a", "old"), hard_link("e", "d/a")};
  EXPECT_EQ(merged({linked, {dir("d", Mark::xattr), opaque("d")}}), " d0\nd d1!\ne f0=old\n");
}

TEST(LayerMerge, OnePathAlone) {
  const Layers layers{{dir(""), dir("a"), file("a/f", "1"), dir("a/s"), file("a/s/x", "1"), file("a/s.txt", "1"),
                       hard_link("a/s2", "a/f"), file("b", "1")},
                      {gone("a/s/x", Mark::device), file("a/s/y", "2")},
                      {file("c", "3")}};
  EXPECT_EQ(merged(layers, "a/s"), "a/s d0\na/s/x w1!\na/s/y f1=2\n");
  EXPECT_EQ(merged(layers, "a/f"), "a/f f0=1\n");
  EXPECT_EQ(merged(layers, "b"), "b f0=1\n");
  EXPECT_EQ(merged(layers, "a/s2"), "a/s2 f0=1\n") << "its first name is outside";
  EXPECT_EQ(merged(layers, ""), merged(layers));
  for (const char* absent : {"z", "a/z", "b/x", "a/s/z", "q/r/s", "0"}) EXPECT_EQ(merged(layers, absent), "") << absent;
  // Hidden by what happened to a directory above.
  Layers hidden = layers;
  hidden.push_back({gone("a")});
  EXPECT_EQ(merged(hidden, "a/s"), "");
  hidden.push_back({dir("a"), file("a/f", "5")});
  EXPECT_EQ(merged(hidden, "a/s"), "");
  EXPECT_EQ(merged(hidden, "a/f"), "a/f f4=5\n");
}

TEST(LayerMerge, WhatCannotBeIsCorrupt) {
  EXPECT_EQ(merged({{dir(""), file("a/b", "1")}}), " d0\nerror: corrupt");
  EXPECT_EQ(merged({{dir(""), file("a", "1"), file("a/b", "1")}}), " d0\na f0=1\nerror: corrupt");
  EXPECT_EQ(merged({{dir(""), item_of(link_of(EntryKind::symlink, "a", "/")), file("a/b", "1")}}),
            " d0\na l0\nerror: corrupt");
  EXPECT_EQ(merged({{dir(""), opaque("a")}}), " d0\nerror: corrupt");
}

}  // namespace
}  // namespace cairn::layer
