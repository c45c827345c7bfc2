// URL to store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

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

TEST(OpenStore, WhatNamesNoStoreIsRefused) {
  EXPECT_EQ(open_store("s3://bucket/prefix").error().kind(), ErrorKind::unsupported);
  EXPECT_THAT(open_store("s3://bucket/prefix").error().message(), HasSubstr("no S3 yet"));
  for (const char* url : {"", "gs://bucket", "http://host/x", "file://host/path", "file://", "file://relative",
                          "file:///a%", "file:///a%zz", "file:///a%00"}) {
    const auto store = open_store(url);
    ASSERT_FALSE(store) << url;
    EXPECT_EQ(store.error().kind(), ErrorKind::invalid) << url;
  }
}

}  // namespace
}  // namespace cairn
