#include "replicate/upload_journal.h"

#include <string_view>

#include "base/bytes.h"
#include "nlohmann/json.hpp"
#include "replicate/checked_line.h"

namespace cairn::replicate {
namespace {

using Json = nlohmann::json;
constexpr std::uint64_t kMaxBytes = 16ull << 20;  // 10,000 parts take some 2 MiB

// The JSON object of the next line, if it is whole; `text` moves on behind it.
std::optional<Json> take_line(std::string_view& text) {
  const auto json = take_checked_line(text);
  if (!json) return {};
  Json object = Json::parse(*json, nullptr, false);
  return object.is_object() ? std::optional(std::move(object)) : std::nullopt;
}

Json describe(const JournaledUpload& upload) {
  return {{"key", upload.key},
          {"upload_id", upload.upload_id},
          {"sequence", upload.sequence.value},
          {"time_ms", upload.time_ms},
          {"part_bytes", upload.part_bytes}};
}

Json describe(const JournaledPart& part) {
  Json json = {{"number", part.info.number}, {"etag", part.info.etag}, {"size", part.info.size_bytes}};
  if (part.source_key.empty()) {
    json["hash"] = part.hash;
  } else {
    json["source"] = {{"key", part.source_key}, {"etag", part.source_etag}, {"offset", part.source_offset}};
  }
  return json;
}

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// The checksum says that these are our own words: a field that is missing is a mistake of ours, and gives its default.
JournaledUpload upload_of(const Json& json) {
  JournaledUpload upload;
  upload.key = json.value("key", "");
  upload.upload_id = json.value("upload_id", "");
  upload.sequence = Sequence(json.value("sequence", std::uint64_t{0}));
  upload.time_ms = json.value("time_ms", std::int64_t{0});
  upload.part_bytes = json.value("part_bytes", std::uint64_t{0});
  return upload;
}

JournaledPart part_of(const Json& json) {
  JournaledPart part;
  part.info.number = json.value("number", 0);
  part.info.etag = json.value("etag", "");
  part.info.size_bytes = json.value("size", std::uint64_t{0});
  part.hash = json.value("hash", std::uint64_t{0});
  const Json source = json.value("source", Json::object());
  part.source_key = source.value("key", "");
  part.source_etag = source.value("etag", "");
  part.source_offset = source.value("offset", std::uint64_t{0});
  return part;
}

}  // namespace

Result<std::optional<JournaledUpload>> UploadJournal::read() const {
  auto info = files_.info(path_);
  if (!info && info.error().kind() == ErrorKind::not_found) return std::optional<JournaledUpload>();
  if (!info) return info.error();
  if (info->size_bytes > kMaxBytes) return std::optional<JournaledUpload>();
  CAIRN_ASSIGN(const Bytes bytes, read_file(files_, path_));
  std::string_view text = as_text(bytes);
  const auto first = take_line(text);
  if (!first) return std::optional<JournaledUpload>();
  JournaledUpload upload = upload_of(*first);
  while (const auto line = take_line(text)) {
    JournaledPart part = part_of(*line);
    upload.parts[part.info.number] = std::move(part);
  }
  if (upload.key.empty() || upload.upload_id.empty()) return std::optional<JournaledUpload>();
  return std::optional(std::move(upload));
}

Result<void> UploadJournal::begin(const JournaledUpload& upload) {
  file_.reset();
  CAIRN_ASSIGN(file_, files_.open(path_, OpenMode::write));
  CAIRN_TRY(file_->truncate(0));
  end_ = 0;
  CAIRN_TRY(write_line(text_of(describe(upload))));
  for (const auto& [number, part] : upload.parts) CAIRN_TRY(write_line(text_of(describe(part))));
  CAIRN_TRY(file_->sync());
  return files_.sync_directory(directory_);
}

Result<void> UploadJournal::add(const JournaledPart& part) { return write_line(text_of(describe(part))); }

Result<void> UploadJournal::write_line(const std::string& json) {
  const std::string line = checked_line(json);
  CAIRN_TRY(file_->write_at(end_, as_bytes(line)));
  end_ += line.size();
  return {};
}

Result<void> UploadJournal::end() {
  file_.reset();
  return files_.remove(path_);
}

}  // namespace cairn::replicate
