#include "twin/state.h"

namespace cairn::twin {

void State::apply(const Change& change) {
  ++writes;
  Bucket& bucket = buckets[change.bucket];
  switch (change.kind) {
    case Change::Kind::make_bucket: break;
    case Change::Kind::put_object:
      bucket.objects[change.key] = {change.body, change.etag, change.time_ms, writes, change.attributes,
                                    change.checksum};
      break;
    case Change::Kind::remove_object: bucket.objects.erase(change.key); break;
    case Change::Kind::begin_upload:
      bucket.uploads[change.upload_id] = {change.key, change.time_ms, change.attributes, change.algorithm,
                                          change.type, {}};
      break;
    case Change::Kind::put_part:
      bucket.uploads[change.upload_id].parts[change.number] = {change.body, change.etag, change.time_ms,
                                                               change.checksum};
      break;
    case Change::Kind::finish_upload: {
      Upload upload = std::move(bucket.uploads[change.upload_id]);
      bucket.uploads.erase(change.upload_id);
      StoredObject object{{}, change.etag, change.time_ms, writes, std::move(upload.attributes), change.checksum};
      for (const int number : change.numbers) object.body.append(upload.parts[number].body);
      bucket.objects[upload.key] = std::move(object);
      bucket.finished[change.upload_id] = {upload.key, change.etag};
      break;
    }
    case Change::Kind::drop_upload:
      bucket.uploads.erase(change.upload_id);
      bucket.finished.erase(change.upload_id);
      break;
  }
}

}  // namespace cairn::twin
