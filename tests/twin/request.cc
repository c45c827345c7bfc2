#include "twin/message.h"

#include <set>

#include <fmt/format.h>

#include "twin/text.h"

namespace cairn::twin {
namespace {

constexpr std::size_t kMaxKeyBytes = 1024;

Response bad_uri(std::string_view why) {
  return error_answer(400, "InvalidURI", fmt::format("Couldn't parse the specified URI: {}.", why));
}

// Characters that must stand percent-encoded in a request line.
bool may_stand_raw(char c) {
  return c > 0x20 && c < 0x7F && std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos;
}

// "bucket.localhost:9000" with the base domain "localhost": "bucket".
std::string bucket_of_host(std::string_view host, std::string_view base_domain) {
  if (!host.starts_with('[')) host = host.substr(0, host.find(':'));
  const std::string ending = fmt::format(".{}", base_domain);
  return host.size() > ending.size() && host.ends_with(ending)
             ? std::string(host.substr(0, host.size() - ending.size()))
             : "";
}

// What is ambiguous is refused: a raw '+' is a space to one reader and a plus to the next.
Refusal read_query(Request& request, std::string_view raw) {
  if (raw.empty()) return std::nullopt;
  if (raw.find('+') != std::string_view::npos) return bad_uri("a raw '+' in the query is a space or a plus");
  std::set<std::string> seen;
  for (const std::string_view item : split(raw, '&')) {
    const std::size_t equals = item.find('=');
    const auto name = percent_decode(item.substr(0, equals));
    const auto value = percent_decode(equals == std::string_view::npos ? "" : item.substr(equals + 1));
    if (!name || !value) return bad_uri("a '%' without two hexadecimal digits");
    if (name->empty()) return bad_uri("an argument without a name");
    if (!seen.insert(*name).second) return bad_uri(fmt::format("the argument '{}' stands twice", *name));
    request.query.emplace_back(*name, *value);
  }
  return std::nullopt;
}

// One line an operation: how it is recognised, and all arguments that it may have.
struct Shape {
  Operation operation;
  std::string_view method;
  enum class On { bucket, object } on;
  std::vector<std::string_view> needs;
  std::vector<std::string_view> may_have;
  const char* needs_header = nullptr;
};

const std::vector<Shape>& shapes() {
  using On = Shape::On;
  static const std::vector<Shape> kShapes{
      {Operation::head_bucket, "HEAD", On::bucket, {}, {}},
      {Operation::create_bucket, "PUT", On::bucket, {}, {}},
      {Operation::get_location, "GET", On::bucket, {"location"}, {}},
      {Operation::list_objects, "GET", On::bucket, {"list-type"},
       {"prefix", "start-after", "continuation-token", "max-keys", "encoding-type", "delimiter", "fetch-owner"}},
      {Operation::list_uploads, "GET", On::bucket, {"uploads"},
       {"prefix", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"}},
      {Operation::delete_objects, "POST", On::bucket, {"delete"}, {}},
      {Operation::copy_part, "PUT", On::object, {"partNumber", "uploadId"}, {}, "x-amz-copy-source"},
      {Operation::upload_part, "PUT", On::object, {"partNumber", "uploadId"}, {}},
      {Operation::put_object, "PUT", On::object, {}, {}},
      {Operation::list_parts, "GET", On::object, {"uploadId"},
       {"part-number-marker", "max-parts", "encoding-type"}},
      {Operation::get_object, "GET", On::object, {}, {}},
      {Operation::head_object, "HEAD", On::object, {}, {}},
      {Operation::abort_upload, "DELETE", On::object, {"uploadId"}, {}},
      {Operation::delete_object, "DELETE", On::object, {}, {}},
      {Operation::create_upload, "POST", On::object, {"uploads"}, {}},
      {Operation::complete_upload, "POST", On::object, {"uploadId"}, {}},
  };
  return kShapes;
}

bool matches(const Shape& shape, const Request& request) {
  if (shape.method != request.method || (shape.on == Shape::On::bucket) != request.key.empty()) return false;
  if (shape.needs_header != nullptr && request.header(shape.needs_header) == nullptr) return false;
  return std::all_of(shape.needs.begin(), shape.needs.end(),
                     [&](std::string_view name) { return request.argument(name) != nullptr; });
}

Refusal classify(Request& request) {
  for (const Shape& shape : shapes()) {
    if (!matches(shape, request)) continue;
    for (const auto& [name, value] : request.query) {
      const auto is_name = [&wanted = name](std::string_view each) { return each == wanted; };
      if (name == "x-id" || std::any_of(shape.needs.begin(), shape.needs.end(), is_name) ||
          std::any_of(shape.may_have.begin(), shape.may_have.end(), is_name)) {
        continue;
      }
      return not_implemented(fmt::format("the argument '{}' of {}", name, name_of(shape.operation)));
    }
    request.operation = shape.operation;
    return std::nullopt;
  }
  return not_implemented(fmt::format("{} {}", request.method, request.target));
}

}  // namespace

Response xml_answer(std::string document) {
  Response response;
  response.body = Rope::of(document);
  response.with("content-type", "application/xml");
  return response;
}

Response error_answer(int status, std::string_view code, std::string_view message,
                      const std::vector<std::pair<std::string, std::string>>& more) {
  Xml xml("Error", Xml::Space::none);
  xml.element("Code", code).element("Message", message);
  for (const auto& [name, value] : more) xml.element(name, value);
  Response response = xml_answer(xml.finish());
  response.status = status;
  response.code = code;
  return response;
}

Response not_implemented(std::string_view what) {
  return error_answer(501, "NotImplemented",
                      fmt::format("A header you provided implies functionality that is not implemented: {}.", what));
}

Refusal understand(Request& request, std::string_view base_domain) {
  const std::string_view target = request.target;
  if (!target.starts_with('/')) return bad_uri("it does not begin with '/'");
  if (!std::all_of(target.begin(), target.end(), may_stand_raw)) return bad_uri("a character that must be encoded");
  const std::size_t mark = target.find('?');
  const auto path = percent_decode(target.substr(0, mark));
  if (!path) return bad_uri("a '%' without two hexadecimal digits");
  if (!is_utf8(*path) || path->find('\0') != std::string::npos) return bad_uri("the key is no UTF-8 text");
  request.path = *path;

  const std::string* const host = request.header("host");
  if (host == nullptr || host->empty()) return error_answer(400, "InvalidRequest", "There is no Host header.");
  std::string_view rest = std::string_view(*path).substr(1);
  request.bucket = bucket_of_host(*host, base_domain);
  if (request.bucket.empty()) {
    const std::size_t slash = rest.find('/');
    request.bucket = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  }
  request.key = rest;
  if (request.key.size() > kMaxKeyBytes) {
    return error_answer(400, "KeyTooLongError", "Your key is too long.",
                        {{"Size", std::to_string(request.key.size())}, {"MaxSizeAllowed", "1024"}});
  }
  if (mark != std::string_view::npos) {
    if (Refusal refusal = read_query(request, target.substr(mark + 1))) return refusal;
  }
  if (request.bucket.empty()) return not_implemented("an operation without a bucket");
  return classify(request);
}

}  // namespace cairn::twin
