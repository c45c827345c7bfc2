#include "twin/xml_input.h"

namespace cairn::twin {

Response malformed_xml() {
  return error_answer(400, "MalformedXML",
                      "The XML you provided was not well-formed or did not validate against our published schema");
}

std::expected<XmlDocument, Response> read_xml(const Request& request, std::string_view root) {
  auto document = std::make_unique<pugi::xml_document>();
  const ByteView body = request.body_view();
  // Keys may be, begin or end with spaces: text is taken as it stands.
  const auto result =
      document->load_buffer(body.data(), body.size(), pugi::parse_default | pugi::parse_ws_pcdata_single,
                            pugi::encoding_utf8);
  const pugi::xml_node element = document->document_element();
  const std::string_view space = element.attribute("xmlns").as_string("http://s3.amazonaws.com/doc/2006-03-01/");
  if (!result || element.name() != root || space != "http://s3.amazonaws.com/doc/2006-03-01/") {
    return std::unexpected(malformed_xml());
  }
  return XmlDocument(std::move(document));
}

}  // namespace cairn::twin
