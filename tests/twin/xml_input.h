// XML documents that clients send.
#pragma once

#include <expected>
#include <memory>
#include <string_view>

#include <pugixml.hpp>

#include "twin/message.h"

namespace cairn::twin {

class XmlDocument {
 public:
  explicit XmlDocument(std::unique_ptr<pugi::xml_document> document) : document_(std::move(document)) {}
  pugi::xml_node root() const { return document_->document_element(); }

 private:
  std::unique_ptr<pugi::xml_document> document_;
};

Response malformed_xml();
// The request's body, whose root must be `root`, of S3's name space or of none.
std::expected<XmlDocument, Response> read_xml(const Request& request, std::string_view root);

}  // namespace cairn::twin
