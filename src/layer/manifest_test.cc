#include "layer/manifest.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/bytes.h"
#include "store/faulty.h"

namespace cairn::layer {
namespace {

LayerMeta meta_of(char digit) {
  LayerMeta meta;
  meta.digest = std::string(64, digit);
  meta.size_bytes = 1ull << 40;
  meta.compressed_size_bytes = 1234;
  meta.created_at_ms = 1'700'000'000'123;
  meta.file_count = 13;
  meta.object = layer_key(meta.digest);
  return meta;
}

SyncRecord recorded_sync(std::uint64_t sequence, SyncKind kind) {
  return {sequence, 1'700'000'000'000 + static_cast<std::int64_t>(sequence), kind, meta_of('a'), 1, 2};
}

Manifest manifest_named(std::string name) {
  Manifest manifest;
  manifest.name = std::move(name);
  manifest.lineage.bytes[0] = 1;
  manifest.writer.bytes[15] = 2;
  for (const std::uint64_t sequence : {7, 8, 9, 10, 11}) {
    manifest.syncs.push_back(recorded_sync(sequence, sequence % 3 == 1 ? SyncKind::full : SyncKind::increment));
  }
  return manifest;
}

std::string text_of(const Bytes& bytes) { return std::string(as_text(bytes)); }

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(LayerManifest, ComesBack) {
  for (const std::string name : {"web_1", "a b/c", "\"quoted\"\\", "gr\xc3\xbc\xc3\x9f\n"}) {
    const Manifest manifest = manifest_named(name);
    EXPECT_EQ(parse_manifest(write_manifest(manifest)).value(), manifest) << name;
  }
  EXPECT_EQ(parse_meta(write_meta(meta_of('0'))).value(), meta_of('0'));
}

// As docs/format.md has them.
TEST(LayerManifest, GoldenBytes) {
  Manifest manifest = manifest_named("web");
  manifest.syncs.resize(1);
  EXPECT_EQ(text_of(write_manifest(manifest)),
            "{\n  \"format\": 1,\n  \"name\": \"web\",\n  \"lineage\": \"01000000000000000000000000000000\",\n"
            "  \"writer\": \"00000000000000000000000000000002\",\n  \"syncs\": [\n"
            "    {\"sequence\":7,\"time\":\"2023-11-14T22:13:20.007Z\",\"kind\":\"full\",\"digest\":\"" +
                std::string(64, 'a') +
                "\",\"size_bytes\":1099511627776,\"compressed_size_bytes\":1234,"
                "\"created_at\":\"2023-11-14T22:13:20.123Z\",\"file_count\":13,\"object\":\"" +
                std::string(64, 'a') + ".tar.zst\",\"torn_files\":1,\"skipped_sockets\":2}\n  ]\n}\n");
  EXPECT_EQ(text_of(write_meta(meta_of('b'))),
            "{\n  \"format\": 1,\n  \"digest\": \"" + std::string(64, 'b') +
                "\",\n  \"size_bytes\": 1099511627776,\n  \"compressed_size_bytes\": 1234,\n"
                "  \"created_at\": \"2023-11-14T22:13:20.123Z\",\n  \"file_count\": 13,\n  \"object\": \"" +
                std::string(64, 'b') + ".tar.zst\"\n}\n");
}

TEST(LayerManifest, NamesBecomeKeysAndBack) {
  EXPECT_EQ(manifest_key("web_1"), "containers/web_1.json");
  EXPECT_EQ(manifest_key("a/b %"), "containers/a%2Fb%20%25.json");
  // The seed of this project let ("a_b", "c") and ("a", "b_c") share a key.
  EXPECT_NE(manifest_key("a_b/c"), manifest_key("a/b_c"));
  std::string every_byte;
  for (int c = 1; c < 256; ++c) every_byte.push_back(static_cast<char>(c));
  for (const std::string& name : {std::string("web"), every_byte, std::string("."), std::string("%41")}) {
    EXPECT_EQ(name_of_manifest_key(manifest_key(name)), name);
  }
  for (const char* key : {"containers/.json", "containers/a/b.json", "containers/%4.json", "containers/%2f.json",
                          "containers/%41.json", "containers/a b.json", "other/a.json", "containers/a.txt"}) {
    EXPECT_EQ(name_of_manifest_key(key), std::nullopt) << key;
  }
}

TEST(LayerManifest, NamesThatCannotBeKeysAreRefused) {
  for (const std::string& name : {std::string(), std::string("\xff"), std::string(300, 'a'), std::string(90, ' '),
                                 std::string(".cairn-x")}) {
    const auto checked = check_container_name(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().kind(), ErrorKind::invalid);
  }
  EXPECT_TRUE(check_container_name("a/b:\n" + std::string(200, 'c')));
}

TEST(LayerManifest, ANewerFormatIsRefusedByName) {
  for (const std::string& text : {text_of(write_manifest(manifest_named("web"))), text_of(write_meta(meta_of('a')))}) {
    const std::string newer = replaced(text, "\"format\": 1", "\"format\": 3");
    const auto manifest = parse_manifest(as_bytes(newer));
    ASSERT_FALSE(manifest);
    EXPECT_EQ(manifest.error().kind(), ErrorKind::unsupported);
    EXPECT_NE(manifest.error().message().find("newer Cairn"), std::string::npos);
    EXPECT_EQ(parse_meta(as_bytes(newer)).error().kind(), ErrorKind::unsupported);
  }
}

TEST(LayerManifest, WhatIsNotOneIsCorrupt) {
  const std::string good = text_of(write_manifest(manifest_named("web")));
  std::vector<std::string> wrong{"", "[]", "null", "{}", "{\"format\": 1}", good.substr(0, good.size() / 2),
                                 replaced(good, "\"format\": 1", "\"format\": 0"),
                                 replaced(good, "\"format\": 1", "\"format\": \"1\""),
                                 replaced(good, "\"format\": 1", "\"format\": 2"),  // and no older history
                                 replaced(good, "\"name\": \"web\"", "\"name\": 1"),
                                 replaced(good, "\"lineage\": \"01", "\"lineage\": \"0g"),
                                 replaced(good, "\"lineage\": \"01", "\"lineage\": \"00"),
                                 replaced(good, "\"sequence\":8", "\"sequence\":6"),
                                 replaced(good, "\"sequence\":7", "\"sequence\":-7"),
                                 replaced(good, "\"kind\":\"full\"", "\"kind\":\"increment\""),
                                 replaced(good, "\"kind\":\"full\"", "\"kind\":\"other\""),
                                 replaced(good, "\"digest\":\"aa", "\"digest\":\"AA"),
                                 replaced(good, "\"digest\":\"aa", "\"digest\":\"a"),
                                 replaced(good, "\"object\":\"", "\"object\":\"../"),
                                 replaced(good, "\"time\":\"2023", "\"time\":\"x"),
                                 replaced(good, "\"syncs\": [", "\"syncs\": [null,")};
  Manifest empty = manifest_named("web");
  empty.syncs.clear();
  wrong.push_back(text_of(write_manifest(empty)));
  wrong.push_back(std::string(100'000, '['));
  for (const std::string& text : wrong) {
    const auto manifest = parse_manifest(as_bytes(text));
    ASSERT_FALSE(manifest) << text.substr(0, 300);
    EXPECT_EQ(manifest.error().kind(), ErrorKind::corrupt) << manifest.error().message();
  }
  EXPECT_EQ(parse_meta(as_bytes("{\"format\": 1}")).error().kind(), ErrorKind::corrupt);
}

TEST(LayerManifest, AnotherContainersIsNotTaken) {
  const auto store = make_memory_store();
  const Bytes bytes = write_manifest(manifest_named("other"));
  ASSERT_TRUE(store->put_new(manifest_key("web"), BytesSource(bytes)));
  EXPECT_EQ(read_manifest(*store, "web").error().kind(), ErrorKind::corrupt);
  EXPECT_EQ(read_manifest(*store, "absent").error().kind(), ErrorKind::not_found);
}

TEST(LayerManifest, IsCreatedOnceAndSwapped) {
  const auto store = make_memory_store();
  Manifest manifest = manifest_named("web");
  const auto first = publish_manifest(*store, manifest, "");
  ASSERT_TRUE(first);
  manifest.syncs.push_back(recorded_sync(12, SyncKind::increment));
  EXPECT_EQ(publish_manifest(*store, manifest, "").error().kind(), ErrorKind::conflict);
  const auto second = publish_manifest(*store, manifest, *first);
  ASSERT_TRUE(second);
  const auto read = read_manifest(*store, "web");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->manifest, manifest);
  EXPECT_EQ(read->etag, *second);

  Manifest theirs = manifest;
  theirs.writer.bytes[0] = 9;
  EXPECT_EQ(publish_manifest(*store, theirs, *first).error().kind(), ErrorKind::conflict);
  // The same bytes again: a repetition that met its own first try.
  EXPECT_EQ(publish_manifest(*store, manifest, *first).value(), *second);
}

TEST(LayerManifest, AnUnclearOutcomeIsLookedAt) {
  const auto inner = make_memory_store();
  FaultPlan plan;
  SeededRandom random(1);
  const auto store = make_faulty_store(*inner, plan, random);
  const Manifest manifest = manifest_named("web");
  const auto only = [&](FaultRates rates) {
    plan.of(Operation::put_new) = rates;
    plan.of(Operation::put_if) = rates;
  };

  only({.lost = 1000});
  EXPECT_EQ(publish_manifest(*store, manifest, "").error().kind(), ErrorKind::retry_later);
  only({.after = 1000});
  const auto etag = publish_manifest(*store, manifest, "");
  ASSERT_TRUE(etag) << "the answer was lost, not the manifest";
  EXPECT_EQ(*etag, inner->head(manifest_key("web"))->etag);

  Manifest next = manifest;
  next.syncs.push_back(recorded_sync(12, SyncKind::increment));
  only({.lost = 1000});
  EXPECT_EQ(publish_manifest(*store, next, *etag).error().kind(), ErrorKind::retry_later);
  only({.after = 1000});
  EXPECT_TRUE(publish_manifest(*store, next, *etag));
  EXPECT_EQ(read_manifest(*inner, "web")->manifest, next);
}

TEST(LayerManifest, ChainsBeginAtAFullSync) {
  const Manifest manifest = manifest_named("web");
  const auto sequences = [&](std::uint64_t sequence) {
    std::vector<std::uint64_t> result;
    const auto chain = chain_of(manifest, sequence);
    EXPECT_TRUE(chain);
    for (const SyncRecord& sync : chain.value()) result.push_back(sync.sequence);
    return result;
  };
  EXPECT_EQ(sequences(7), (std::vector<std::uint64_t>{7}));
  EXPECT_EQ(sequences(9), (std::vector<std::uint64_t>{7, 8, 9}));
  EXPECT_EQ(sequences(10), (std::vector<std::uint64_t>{10}));
  EXPECT_EQ(sequences(11), (std::vector<std::uint64_t>{10, 11}));
  EXPECT_EQ(chain_of(manifest, 6).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(chain_of(manifest, 12).error().kind(), ErrorKind::not_found);

  Manifest gap = manifest;
  gap.syncs.erase(gap.syncs.begin() + 1);
  EXPECT_EQ(chain_of(gap, 9).error().kind(), ErrorKind::corrupt);
  gap.syncs.erase(gap.syncs.begin());
  EXPECT_EQ(chain_of(gap, 9).error().kind(), ErrorKind::corrupt);
}

}  // namespace
}  // namespace cairn::layer
