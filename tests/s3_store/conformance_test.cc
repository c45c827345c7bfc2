// The suite that every store passes, on S3: on the twin in its several dialects, and on any endpoint that the
// environment names:
//
//   CAIRN_TEST_S3_URL='s3://cairn-test?endpoint=http://127.0.0.1:7480' AWS_ACCESS_KEY_ID=...
//   AWS_SECRET_ACCESS_KEY=...
//
// Its bucket is for tests alone: EVERYTHING IN IT IS DELETED before each one. So that this hits nobody by mistake,
// its name has to have "test" in it.
#include <cstdlib>

#include "s3/connect.h"
#include "store_conformance_uploads.h"
#include "twin/twin.h"

namespace cairn {
namespace {

StoreUnderTest on_twin(twin::TwinOptions options) {
  auto server = std::make_shared<twin::Twin>(std::move(options));
  if (auto started = server->start(); !started) {
    ADD_FAILURE() << started.error().message();
    return {};
  }
  S3Options s3;
  s3.endpoint = server->url();
  s3.region = "us-east-1";
  const twin::AccessKey key;
  s3.access_key_id = key.id;
  s3.secret_access_key = key.secret;
  auto store = open_store("s3://bucket", s3);
  if (!store) {
    ADD_FAILURE() << store.error().message();
    return {};
  }
  return {server, std::move(*store)};
}

StoreUnderTest aws() { return on_twin({}); }

StoreUnderTest ceph16() {
  twin::TwinOptions options;
  options.dialect = *twin::dialect_named("ceph16");
  return on_twin(std::move(options));
}

std::string outcome_of(const Result<void>& result) { return result ? "ok" : result.error().message(); }

void empty(Store& store) {
  for (;;) {
    const auto page = store.list("");
    ASSERT_TRUE(page) << page.error().message();
    for (const ObjectInfo& object : page->objects) ASSERT_EQ(outcome_of(store.remove(object.key)), "ok");
    if (!page->more) break;
  }
  const auto uploads = store.list_uploads("");
  ASSERT_TRUE(uploads) << uploads.error().message();
  for (const UploadInfo& upload : *uploads)
    ASSERT_EQ(outcome_of(store.abort_upload(upload.key, upload.upload_id)), "ok");
}

StoreUnderTest from_environment() {
  const char* url = std::getenv("CAIRN_TEST_S3_URL");
  if (url == nullptr) return {};
  const std::string_view text(url);
  if (text.substr(0, text.find('?')).find("test") == std::string_view::npos) {
    ADD_FAILURE()
        << "CAIRN_TEST_S3_URL: the bucket's name has no 'test' in it, and everything in it would be deleted";
    return {};
  }
  S3Options options;
  options.create_bucket = true;
  auto store = open_store(url, options);
  if (!store) {
    ADD_FAILURE() << store.error().message();
    return {};
  }
  // Makes the bucket, if need be.
  (void)(*store)->put_new("first", BytesSource({}));
  empty(**store);
  return {nullptr, std::move(*store)};
}

INSTANTIATE_TEST_SUITE_P(S3, StoreConformance,
                         ::testing::Values(StoreFactory{"twin", aws}, StoreFactory{"twin_ceph16", ceph16},
                                           StoreFactory{"CAIRN_TEST_S3_URL", from_environment}),
                         store_factory_name);

}  // namespace
}  // namespace cairn
