// URL to store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "cairn/layer.h"
#include "cairn/store.h"
#include "store/file_url.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

TEST(OpenStore, PathsAndFileUrlsNameDirectories) {
  EXPECT_EQ((*open_store("/backup/app"))->url(), "file:///backup/app");
  EXPECT_EQ((*open_store("/backup/app///"))->url(), "file:///backup/app");
  EXPECT_EQ((*open_store("file:///backup/app/"))->url(), "file:///backup/app");
  EXPECT_EQ((*open_store("FILE://localhost/backup"))->url(), "file:///backup");
  EXPECT_EQ((*open_store("file:///a%20b%25"))->url(), "file:///a b%25");
  EXPECT_EQ((*open_store("/a%20b"))->url(), "file:///a%2520b");
  EXPECT_EQ((*open_store("relative/x"))->url(), "file://" + std::filesystem::current_path().string() + "/relative/x");
  EXPECT_EQ((*open_store("./x://y"))->url(), "file://" + std::filesystem::current_path().string() + "/x:/y");
  EXPECT_EQ((*open_store("/a//b/./../c"))->url(), "file:///a/b/../c");
  EXPECT_EQ((*open_store("/"))->url(), "file:///");
}

TEST(OpenStore, UrlsAreReadBack) {
  for (const std::string path : {"/a", "/a b", "/100%", "/q?x#y", "/new\nline", "/\xc3\xa9"}) {
    const auto read = path_of_file_url(file_url(path));
    ASSERT_TRUE(read) << path;
    EXPECT_EQ(*read, path);
  }
}

TEST(OpenStore, S3UrlsNameBucketsAndSendNothingYet) {
  const auto store = open_store("s3://bucket/prefix?endpoint=http://127.0.0.1:1&region=eu-central-1");
  ASSERT_TRUE(store) << store.error().message();
  EXPECT_EQ((*store)->url(), "s3://bucket/prefix");
  EXPECT_EQ((*store)->status().service, "127.0.0.1:1");
  S3Options options;
  options.region = "eu-central-1";
  EXPECT_EQ((*open_store("S3://bucket", options))->status().service, "bucket.s3.eu-central-1.amazonaws.com");
  EXPECT_EQ((*open_store("s3://my.bucket", options))->status().service, "s3.eu-central-1.amazonaws.com");
}

TEST(OpenStore, S3OptionsThatMakeNoSenseAreInvalid) {
  for (const char* url : {"s3://", "s3://bucket?endpoint=host", "s3://bucket?region=a/b", "s3://bucket?nonsense=1",
                          "s3://bucket?encryption=rot13", "s3://bucket?kms_key_id=x"}) {
    const auto store = open_store(url);
    ASSERT_FALSE(store) << url;
    EXPECT_EQ(store.error().kind(), ErrorKind::invalid) << url;
  }
  S3Options options;
  options.customer_key = "c2hvcnQ=";
  EXPECT_FALSE(open_store("s3://bucket", options));
  options.customer_key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
  EXPECT_TRUE(open_store("s3://bucket", options));
  EXPECT_TRUE(open_store("s3://bucket?endpoint=http://127.0.0.1:9000", options));
  const auto plain = open_store("s3://bucket?endpoint=http://example.com", options);
  ASSERT_FALSE(plain);
  EXPECT_THAT(plain.error().message(), HasSubstr("https"));
}

TEST(OpenLayerStore, ABucketHasThePrefixOfLayersUnlessAnotherIsNamed) {
  const auto url_of = [](const LayerStorage& storage) {
    const auto store = open_layer_store(storage);
    return store ? (*store)->url() : store.error().message();
  };
  EXPECT_EQ(url_of({.bucket = "bucket"}), "s3://bucket/layers");
  EXPECT_EQ(url_of({.bucket = "bucket", .prefix = ""}), "s3://bucket");
  EXPECT_EQ(url_of({.bucket = "bucket", .prefix = "a b/50%?x"}), "s3://bucket/a b/50%?x");
  EXPECT_EQ(url_of({.url = "s3://bucket/elsewhere"}), "s3://bucket/elsewhere");
  EXPECT_EQ(url_of({.url = "/backup"}), "file:///backup");
}

TEST(OpenLayerStore, RegionAndEndpointAreThoseOfTheStore) {
  S3Options s3;
  s3.endpoint = "http://127.0.0.1:1";
  const auto service_of = [&](const LayerStorage& storage) {
    return (*open_layer_store(storage, s3))->status().service;
  };
  EXPECT_EQ(service_of({.bucket = "bucket", .endpoint = "http://127.0.0.1:2"}), "127.0.0.1:2");
  EXPECT_EQ(service_of({.bucket = "bucket"}), "127.0.0.1:1");
  EXPECT_EQ(service_of({.url = "s3://bucket?endpoint=http://127.0.0.1:3", .endpoint = "http://127.0.0.1:2"}),
            "127.0.0.1:3");
  EXPECT_EQ((*open_layer_store({.bucket = "bucket", .region = "eu-central-1"}))->status().service,
            "bucket.s3.eu-central-1.amazonaws.com");
}

TEST(OpenLayerStore, WhatNamesNoPlaceOrTwoIsInvalid) {
  for (const LayerStorage& storage : {LayerStorage{}, LayerStorage{.url = "/backup", .bucket = "bucket"},
                                      LayerStorage{.bucket = "bucket/prefix"}, LayerStorage{.bucket = "bucket?x=1"},
                                      LayerStorage{.bucket = "bucket", .prefix = "a//b"}}) {
    const auto store = open_layer_store(storage);
    ASSERT_FALSE(store) << storage.bucket;
    EXPECT_EQ(store.error().kind(), ErrorKind::invalid);
  }
}

TEST(OpenStore, WhatNamesNoStoreIsRefused) {
  for (const char* url : {"", "gs://bucket", "http://host/x", "file://host/path", "file://", "file://relative",
                          "file:///a%", "file:///a%zz", "file:///a%00"}) {
    const auto store = open_store(url);
    ASSERT_FALSE(store) << url;
    EXPECT_EQ(store.error().kind(), ErrorKind::invalid) << url;
  }
}

}  // namespace
}  // namespace cairn
