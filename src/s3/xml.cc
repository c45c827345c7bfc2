#include "s3/xml.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <pugixml.hpp>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "s3/uri.h"
#include "store/key.h"

namespace cairn::s3 {

namespace {

// What the longest honest answers hold: a page of keys, an upload id.
constexpr std::size_t kMaxItems = 100'000, kMaxMarkerBytes = 64 << 10;

Error corrupt(std::string_view what) {
  return Error(ErrorKind::corrupt, fmt::format("the store's answer cannot be understood: {}", what));
}

std::string_view local_name(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  return name.substr(name.find(':') == std::string_view::npos ? 0 : name.find(':') + 1);
}

// By local name, since some servers write a prefix before every one.
pugi::xml_node child(const pugi::xml_node& node, std::string_view name) {
  for (const pugi::xml_node& one : node.children()) {
    if (local_name(one) == name) return one;
  }
  return {};
}

std::string_view text_of(const pugi::xml_node& node, std::string_view name) {
  return child(node, name).child_value();
}

class Document {
 public:
  // Nothing external is followed, no entity is expanded but XML's own five.
  explicit Document(ByteView bytes)
      : good_(document_.load_buffer(bytes.data(), bytes.size(), pugi::parse_default | pugi::parse_ws_pcdata_single)) {
  }

  // The outermost element if it has that name; else an empty one.
  pugi::xml_node root(std::string_view name) const {
    const pugi::xml_node root = document_.document_element();
    return good_ && local_name(root) == name ? root : pugi::xml_node();
  }

 private:
  pugi::xml_document document_;
  bool good_;
};

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// With encoding-type=url a space may be a '+'; a real one is %2B then.
std::optional<std::string> name_in(const pugi::xml_node& root, std::string_view text) {
  const std::string_view encoding = text_of(root, "EncodingType");
  if (encoding.empty()) return std::string(text);
  if (encoding != "url") return std::nullopt;
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  return percent_decode(spaced);
}

// 0 where the store says none. What cannot be read is no time of long ago.
std::optional<std::int64_t> time_of(std::string_view text) {
  if (text.empty()) return 0;
  const auto time = parse_time(text);
  return time && *time > 0 ? std::optional(*time) : std::nullopt;
}

// What is neither is no end of a list.
Result<bool> is_truncated(const pugi::xml_node& root) {
  const std::string_view text = text_of(root, "IsTruncated");
  if (text == "true") return true;
  if (text == "false" || text.empty()) return false;
  return corrupt("a list says neither that it goes on nor that it ends");
}

Result<ObjectInfo> object_of(const pugi::xml_node& root, const pugi::xml_node& node) {
  const auto key = name_in(root, text_of(node, "Key"));
  const auto size = number_of(text_of(node, "Size"));
  const auto time = time_of(text_of(node, "LastModified"));
  if (!key || key->empty() || !size || !time) return corrupt("an object in a list has no key, size or time");
  return ObjectInfo{*key, *size, without_quotes(text_of(node, "ETag")), *time};
}

Result<PartInfo> part_of(const pugi::xml_node& node) {
  const auto number = number_of(text_of(node, "PartNumber"));
  const auto size = number_of(text_of(node, "Size"));
  if (!number || *number < 1 || *number > kMaxPartNumber || !size)
    return corrupt("a part in a list has no number or size");
  return PartInfo{static_cast<int>(*number), without_quotes(text_of(node, "ETag")), *size};
}

Result<UploadInfo> upload_of(const pugi::xml_node& root, const pugi::xml_node& node) {
  const auto key = name_in(root, text_of(node, "Key"));
  const std::string_view id = text_of(node, "UploadId");
  const auto time = time_of(text_of(node, "Initiated"));
  if (!key || key->empty() || id.empty() || !time) return corrupt("an upload in a list has no key, id or time");
  return UploadInfo{*key, std::string(id), *time};
}

// All elements of one name in a list, made by `make`.
template <class T, class Make>
Result<void> collect(const pugi::xml_node& root, std::string_view name, std::vector<T>& into, const Make& make) {
  for (const pugi::xml_node& node : root.children()) {
    if (local_name(node) != name) continue;
    if (into.size() == kMaxItems) return corrupt("a page of a list has no end");
    CAIRN_ASSIGN(T item, make(node));
    into.push_back(std::move(item));
  }
  return {};
}

Result<std::string> marker(const pugi::xml_node& root, std::string_view name) {
  const auto text = name_in(root, text_of(root, name));
  if (!text || text->size() > kMaxMarkerBytes) return corrupt("a list has a bad marker of where it goes on");
  return *text;
}

Result<std::string> etag_in(ByteView document, std::string_view root_name) {
  const Document parsed(document);
  std::string etag = without_quotes(text_of(parsed.root(root_name), "ETag"));
  if (etag.empty()) return corrupt(fmt::format("{} without an ETag", root_name));
  return etag;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace

std::optional<ErrorDocument> parse_error(ByteView document) {
  const Document parsed(document);
  const pugi::xml_node root = parsed.root("Error");
  if (!root) return std::nullopt;
  ErrorDocument error;
  error.code = text_of(root, "Code");
  error.message = text_of(root, "Message");
  error.region = text_of(root, "Region");
  error.request_id = text_of(root, "RequestId");
  return error;
}

Result<ObjectsPage> parse_objects(ByteView document) {
  const Document parsed(document);
  const pugi::xml_node root = parsed.root("ListBucketResult");
  if (!root) return corrupt("it is no list of objects");
  ObjectsPage page;
  CAIRN_TRY(collect(root, "Contents", page.objects, [&](const auto& node) { return object_of(root, node); }));
  CAIRN_ASSIGN(page.truncated, is_truncated(root));
  page.next_token = text_of(root, "NextContinuationToken");
  if (page.next_token.size() > kMaxMarkerBytes) return corrupt("a list has a bad marker of where it goes on");
  return page;
}

Result<PartsPage> parse_parts(ByteView document) {
  const Document parsed(document);
  const pugi::xml_node root = parsed.root("ListPartsResult");
  if (!root) return corrupt("it is no list of parts");
  PartsPage page;
  CAIRN_TRY(collect(root, "Part", page.parts, [](const auto& node) { return part_of(node); }));
  CAIRN_ASSIGN(page.truncated, is_truncated(root));
  CAIRN_ASSIGN(page.next_marker, marker(root, "NextPartNumberMarker"));
  return page;
}

Result<UploadsPage> parse_uploads(ByteView document) {
  const Document parsed(document);
  const pugi::xml_node root = parsed.root("ListMultipartUploadsResult");
  if (!root) return corrupt("it is no list of uploads");
  UploadsPage page;
  CAIRN_TRY(collect(root, "Upload", page.uploads, [&](const auto& node) { return upload_of(root, node); }));
  CAIRN_ASSIGN(page.truncated, is_truncated(root));
  CAIRN_ASSIGN(page.next_key, marker(root, "NextKeyMarker"));
  page.next_id = text_of(root, "NextUploadIdMarker");
  return page;
}

Result<std::vector<NotDeleted>> parse_not_deleted(ByteView document) {
  const Document parsed(document);
  const pugi::xml_node root = parsed.root("DeleteResult");
  if (!root) return corrupt("it is no result of a deletion");
  std::vector<NotDeleted> all;
  CAIRN_TRY(collect(root, "Error", all, [&](const pugi::xml_node& node) -> Result<NotDeleted> {
    NotDeleted one{std::string(text_of(node, "Key")), {}};
    one.error.code = text_of(node, "Code");
    one.error.message = text_of(node, "Message");
    if (one.key.empty() || one.error.code.empty()) return corrupt("an error of a deletion has no key or no code");
    return one;
  }));
  return all;
}

Result<std::string> parse_upload_id(ByteView document) {
  const Document parsed(document);
  const std::string_view id = text_of(parsed.root("InitiateMultipartUploadResult"), "UploadId");
  if (id.empty() || id.size() > kMaxMarkerBytes) return corrupt("a new upload has no id");
  return std::string(id);
}

Result<std::string> parse_etag_of_copy(ByteView document) { return etag_in(document, "CopyPartResult"); }

Result<std::string> parse_etag_of_object(ByteView document) {
  return etag_in(document, "CompleteMultipartUploadResult");
}

std::string complete_document(std::span<const PartInfo> parts) {
  std::string text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (const PartInfo& part : parts) {
    text += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>&quot;{}&quot;</ETag></Part>", part.number,
                        escaped(part.etag));
  }
  return text + "</CompleteMultipartUpload>";
}

std::string delete_document(std::span<const std::string> keys) {
  std::string text = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>";
  for (const std::string& key : keys) text += fmt::format("<Object><Key>{}</Key></Object>", escaped(key));
  return text + "</Delete>";
}

std::string bucket_document(std::string_view region) {
  return fmt::format(
      "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
      "<LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
      escaped(region));
}

std::string without_quotes(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  static constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  // "Wed, 21 Oct 2015 07:28:00 GMT": fixed columns after the day of the week.
  const std::size_t comma = text.find(", ");
  if (comma == std::string_view::npos) return std::nullopt;
  text.remove_prefix(comma + 2);
  if (text.size() != 24 || !text.ends_with(" GMT")) return std::nullopt;
  const auto month = std::find(kMonths.begin(), kMonths.end(), text.substr(3, 3));
  if (month == kMonths.end()) return std::nullopt;
  const auto time = parse_time(fmt::format("{}-{:02}-{}T{}Z", text.substr(7, 4), month - kMonths.begin() + 1,
                                           text.substr(0, 2), text.substr(12, 8)));
  return time ? std::optional(*time) : std::nullopt;
}

}  // namespace cairn::s3
