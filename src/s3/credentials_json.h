// The documents that hold keys: of a credential_process, a container endpoint, the instance metadata.
#pragma once

#include <string>
#include <string_view>

#include "cairn/error.h"
#include "s3/credentials.h"

namespace cairn::s3 {

enum class KeysOf { process, endpoint };  // they name the session token "SessionToken" and "Token"

// corrupt: it is no such document, or one that says that something went wrong. Never quotes the document.
Result<Credentials> parse_credentials_json(std::string_view text, KeysOf from, std::string source);

// "code: message" of a document that tells an error; empty: it does not.
std::string error_in_json(std::string_view text);

}  // namespace cairn::s3
