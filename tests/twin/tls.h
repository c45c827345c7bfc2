// A certificate of the twin's own, made when it starts.
#pragma once

#include <cstdint>
#include <string>

namespace cairn::twin {

enum class Tls {
  off,
  good,        // for 127.0.0.1, ::1, localhost and all below it; who trusts certificate_pem() accepts it
  wrong_name,  // for another host
  expired,
};

struct SelfSigned {
  std::string certificate_pem;
  std::string key_pem;
};

SelfSigned make_certificate(Tls kind);

}  // namespace cairn::twin
