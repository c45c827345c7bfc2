#include "layer/object.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "layer/object_format.h"
#include "layer/test_layers.h"
#include "store/counting.h"
#include "support/scratch.h"

namespace cairn::layer {
namespace {

using namespace testing;

std::vector<Item> some_items() {
  std::vector<Item> items{item_of(entry_of(EntryKind::directory, "")), item_of(entry_of(EntryKind::directory, "d")),
                          item_of(entry_of(EntryKind::opaque, "d")),
                          item_of(file_of("d/big", 0), noise(5u << 20, 1)),
                          item_of(file_of("d/small", 0), "small"),
                          item_of(link_of(EntryKind::hard_link, "d/z", "d/small")),
                          item_of(file_of("e", 0), noise(700'000, 2)),
                          item_of(file_of("f", 0), noise(700'000, 3))};
  items[4].state = Contents::torn;
  return items;
}

std::vector<Item> many_items(std::size_t count) {
  std::vector<Item> items;
  for (std::size_t i = 0; i < count; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "f%06zu", i);
    items.push_back(item_of(file_of(name, 0), i % 10 == 0 ? std::string() : "contents of " + std::string(name)));
    items.back().entry.mtime_ns = static_cast<std::uint32_t>(i + 1);
  }
  return items;
}

std::unique_ptr<Store> store_with(const Bytes& object) {
  auto store = make_memory_store();
  CAIRN_CHECK(store->put_new("layer", BytesSource(object)));
  return store;
}

std::unique_ptr<LayerReader> open_layer(Store& store) {
  auto reader = LayerReader::open(store, "layer");
  EXPECT_TRUE(reader) << reader.error().message();
  return std::move(*reader);
}

// The contents of an entry, through the frames that hold them.
Bytes contents_of(const LayerReader& reader, const IndexedEntry& indexed) {
  Bytes bytes;
  const std::uint64_t size = indexed.entry.size_bytes;
  if (size == 0) return bytes;
  const std::uint64_t first = reader.frame_at(indexed.data_offset);
  const std::uint64_t last = reader.frame_at(indexed.data_offset + size - 1);
  EXPECT_TRUE(reader.visit_frames(first, last - first + 1, [&](std::uint64_t, ByteView frame) -> Result<void> {
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    return {};
  }));
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(indexed.data_offset -
                                                                         reader.frames()[first].tar_offset));
  bytes.resize(size);
  return bytes;
}

TEST(LayerObject, EveryEntryAndItsContentsComeBack) {
  const auto items = some_items();
  const MadeLayer made = make_layer(items);
  const auto store = store_with(made.object);
  const auto reader = open_layer(*store);
  EXPECT_EQ(reader->digest(), made.digest);
  EXPECT_EQ(reader->tar_size_bytes(), made.tar.size());
  EXPECT_EQ(reader->object_size_bytes(), made.object.size());
  EXPECT_EQ(reader->entry_count(), items.size());
  const auto cursor = reader->entries();
  for (const Item& item : items) {
    const auto indexed = cursor->next();
    ASSERT_TRUE(indexed && *indexed) << item.entry.path;
    EXPECT_EQ((*indexed)->entry, item.entry);
    EXPECT_EQ((*indexed)->contents, item.state);
    EXPECT_EQ(as_text(contents_of(*reader, **indexed)), item.contents);
    EXPECT_EQ((*indexed)->content_hash, item.contents.empty() ? 0 : hash_of(as_bytes(item.contents)));
  }
  EXPECT_EQ(cursor->next().value(), std::nullopt);
}

TEST(LayerObject, FramesAreTheTar) {
  const MadeLayer made = make_layer(some_items());
  const auto store = store_with(made.object);
  const auto reader = open_layer(*store);
  Bytes tar;
  ASSERT_TRUE(reader->visit_frames(0, reader->frames().size(), [&](std::uint64_t, ByteView frame) -> Result<void> {
    tar.insert(tar.end(), frame.begin(), frame.end());
    return {};
  }));
  EXPECT_EQ(tar, made.tar);
}

TEST(LayerObject, ZstdAndTarReadIt) {
  const cairn::testing::Scratch scratch("object");
  const MadeLayer made = make_layer(some_items());
  std::ofstream(scratch / "a.tar.zst", std::ios::binary) << as_text(made.object);
  std::ofstream(scratch / "a.tar", std::ios::binary) << as_text(made.tar);
  const std::string in = "cd " + scratch.path() + " && ";
  EXPECT_EQ(std::system((in + "zstd -q -t a.tar.zst && zstd -q -dc a.tar.zst | cmp - a.tar").c_str()), 0);
  EXPECT_EQ(std::system((in + "tar --zstd -tf a.tar.zst >/dev/null").c_str()), 0);
}

// 20,000 entries have 30 MB of headers: many chunks, of which one is in memory at a time.
TEST(LayerObject, ManyEntriesComeInChunks) {
  const auto items = many_items(20'000);
  const MadeLayer made = make_layer(items);
  const auto store = store_with(made.object);
  CountingStore counting(*store);
  auto reader = LayerReader::open(counting, "layer");
  ASSERT_TRUE(reader);
  EXPECT_EQ(counting.counts().total().calls, 1u) << "one suffix";
  const auto cursor = (*reader)->entries();
  for (const Item& item : items) {
    const auto indexed = cursor->next();
    ASSERT_TRUE(indexed && *indexed) << item.entry.path;
    ASSERT_EQ((*indexed)->entry, item.entry);
  }
  EXPECT_EQ(cursor->next().value(), std::nullopt);
  EXPECT_LE(counting.counts().total().calls, 4u);
}

TEST(LayerObject, SkippingReadsOnlyWhereItLands) {
  const auto items = many_items(20'000);
  const MadeLayer made = make_layer(items);
  const auto store = store_with(made.object);
  const auto reader = open_layer(*store);
  for (const std::size_t at : {0uz, 1uz, 777uz, 12'345uz, items.size() - 1}) {
    const auto cursor = reader->entries();
    ASSERT_TRUE(cursor->skip_to(items[at].entry.path));
    for (std::size_t i = at; i < std::min(at + 3, items.size()); ++i) {
      ASSERT_EQ(cursor->next().value()->entry, items[i].entry) << at;
    }
    if (at + 2000 < items.size()) {
      ASSERT_TRUE(cursor->skip_to(items[at + 2000].entry.path + "a"));
      EXPECT_EQ(cursor->next().value()->entry, items[at + 2001].entry);
    }
    ASSERT_TRUE(cursor->skip_to("z"));
    EXPECT_EQ(cursor->next().value(), std::nullopt);
  }
}

// The same bytes whether it was saved in between or not.
TEST(LayerObject, AnIndexThatWasSavedGoesOn) {
  const auto items = many_items(3'000);
  LayerMaker maker;
  for (std::size_t i = 0; i < items.size(); ++i) {
    maker.add(items[i]);
    if (i % 500 == 0) maker.save_and_restore();
  }
  EXPECT_EQ(maker.finish().object, make_layer(items).object);

  IndexBuilder builder;
  builder.add_frame(5, 10, 7);
  const Bytes saved = builder.save();
  for (std::size_t at = 0; at < saved.size(); ++at) {
    Bytes changed = saved;
    changed[at] ^= std::byte{1};
    EXPECT_EQ(IndexBuilder::restore(changed).error().kind(), ErrorKind::corrupt);
    EXPECT_EQ(IndexBuilder::restore(ByteView(saved).first(at)).error().kind(), ErrorKind::corrupt);
  }
}

TEST(LayerObject, ALayerOfNoEntries) {
  const auto store = store_with(make_layer({}).object);
  const auto reader = open_layer(*store);
  EXPECT_EQ(reader->entry_count(), 0u);
  EXPECT_EQ(reader->entries()->next().value(), std::nullopt);
}

// Everything there is to read of an object; its tar.
Result<Bytes> read_all(const Bytes& object) {
  const auto store = store_with(object);
  CAIRN_ASSIGN(const auto reader, LayerReader::open(*store, "layer"));
  const auto cursor = reader->entries();
  for (;;) {
    CAIRN_ASSIGN(const auto entry, cursor->next());
    if (!entry) break;
  }
  Bytes tar;
  CAIRN_TRY(reader->visit_frames(0, reader->frames().size(), [&](std::uint64_t, ByteView bytes) -> Result<void> {
    tar.insert(tar.end(), bytes.begin(), bytes.end());
    return {};
  }));
  return tar;
}

// zstd itself has bits that mean nothing: one of a data frame is noticed, or the tar is the same all the same.
TEST(LayerObject, EveryFlippedBitIsNoticed) {
  const MadeLayer made =
      make_layer({item_of(entry_of(EntryKind::directory, "")), item_of(file_of("f", 0), "contents")});
  const auto store = store_with(made.object);
  const std::uint64_t data_bytes = open_layer(*store)->frames().front().compressed_bytes;
  ASSERT_TRUE(read_all(made.object));
  for (std::size_t at = 0; at < made.object.size() * 8; ++at) {
    Bytes changed = made.object;
    changed[at / 8] ^= static_cast<std::byte>(1 << (at % 8));
    const auto read = read_all(changed);
    if (read && at / 8 < data_bytes && *read == made.tar) continue;
    ASSERT_FALSE(read) << "bit " << at << " of " << made.object.size() * 8;
    EXPECT_EQ(read.error().kind(), ErrorKind::corrupt) << read.error().message();
    EXPECT_NE(read.error().message().find("layer is damaged"), std::string::npos) << read.error().message();
  }
}

TEST(LayerObject, EveryShorterObjectIsRefused) {
  const MadeLayer made = make_layer(some_items());
  for (std::size_t size = 0; size < made.object.size(); size += size < 100 ? 1 : 50'011) {
    const auto read = read_all(Bytes(made.object.begin(), made.object.begin() + static_cast<std::ptrdiff_t>(size)));
    ASSERT_FALSE(read) << size;
    EXPECT_EQ(read.error().kind(), ErrorKind::corrupt) << read.error().message();
  }
  for (std::size_t cut = 1; cut < 300; ++cut) {
    EXPECT_FALSE(read_all(Bytes(made.object.begin(), made.object.end() - static_cast<std::ptrdiff_t>(cut)))) << cut;
  }
}

// Gives an index's tail other numbers, with right checksums.
Bytes with_tail(const MadeLayer& made, const std::function<void(IndexTail&)>& change, std::uint16_t version = 1) {
  Bytes object = made.object;
  const auto frames = load_le<std::uint32_t>(object.data() + object.size() - 9) - 1;
  std::byte* at = object.data() + object.size() - segment::seek_table_bytes(frames) - kIndexTailBytes;
  IndexTail tail = parse_index_tail(ByteView(at, kIndexTailBytes), object.size()).value();
  change(tail);
  auto bytes = write_index_tail(tail);
  if (version != 1) segment::seal_tail(bytes, version, kLayerMagic);
  std::copy(bytes.begin(), bytes.end(), at);
  return object;
}

TEST(LayerObject, ANewerFormatIsRefusedByName) {
  const auto read = read_all(with_tail(make_layer(some_items()), [](IndexTail&) {}, 2));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind(), ErrorKind::unsupported);
  EXPECT_NE(read.error().message().find("layer was written by a newer Cairn"), std::string::npos)
      << read.error().message();
}

TEST(LayerObject, NumbersThatLieAreRefusedBeforeAnythingIsAllocated) {
  const MadeLayer made = make_layer(some_items());
  constexpr std::uint64_t kHuge = ~0ull;
  const std::vector<std::function<void(IndexTail&)>> lies{
      [](IndexTail& t) { t.tar_bytes += 512; },     [](IndexTail& t) { t.tar_bytes = kHuge; },
      [](IndexTail& t) { t.entries += 1; },         [](IndexTail& t) { t.entries = kHuge; },
      [](IndexTail& t) { t.frames += 1; },          [](IndexTail& t) { t.frames = kHuge / 8; },
      [](IndexTail& t) { t.chunks += 1; },          [](IndexTail& t) { t.chunks = kHuge; },
      [](IndexTail& t) { t.chunks_bytes += 1; },    [](IndexTail& t) { t.chunks_bytes = kHuge; },
      [](IndexTail& t) { t.directory_bytes -= 1; }, [](IndexTail& t) { t.directory_bytes = kHuge; },
      [](IndexTail& t) { t.directory_bytes = 0; },  [](IndexTail& t) { t.frames = 0; }};
  for (std::size_t i = 0; i < lies.size(); ++i) {
    const auto read = read_all(with_tail(made, lies[i]));
    ASSERT_FALSE(read) << i;
    EXPECT_EQ(read.error().kind(), ErrorKind::corrupt) << i;
  }
}

// The index says what the tar does not hold: order, and what comes twice.
TEST(LayerObject, EntriesOutOfOrderAreRefused) {
  const auto refused = [](const std::vector<Item>& items) {
    const auto read = read_all(make_layer(items).object);
    return !read && read.error().kind() == ErrorKind::corrupt;
  };
  const Item a = item_of(file_of("a", 0), "1"), b = item_of(file_of("b", 0), "2");
  const Item directory = item_of(entry_of(EntryKind::directory, "c"));
  const Item opaque = item_of(entry_of(EntryKind::opaque, "c"));
  EXPECT_FALSE(refused({a, b, directory, opaque}));
  EXPECT_TRUE(refused({b, a}));
  EXPECT_TRUE(refused({a, a}));
  EXPECT_TRUE(refused({directory, directory}));
  EXPECT_TRUE(refused({opaque, directory}));
  EXPECT_TRUE(refused({directory, opaque, opaque}));
  EXPECT_TRUE(refused({a, item_of(entry_of(EntryKind::whiteout, "a"))}));
}

}  // namespace
}  // namespace cairn::layer
