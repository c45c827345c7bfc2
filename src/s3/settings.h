// Everything about a store that is decided before its first request: from URL, options and environment.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cairn/error.h"
#include "s3/uri.h"

namespace cairn::s3 {

using HeaderFields = std::vector<std::pair<std::string, std::string>>;
using Environment = std::function<std::optional<std::string>(const std::string&)>;

struct Settings {
  enum class Provider { amazon, other };  // who decides the host of a region: Amazon's pattern, or nobody
  enum class Addressing { path, virtual_host };

  Location location;
  Provider provider = Provider::amazon;
  Endpoint endpoint;  // with Amazon: of `region`
  std::string region;
  Addressing addressing = Addressing::path;
  std::string ca_bundle;
  std::optional<int> attempts;  // of each request, the first one included

  HeaderFields every_request;  // requester pays
  HeaderFields new_object;     // storage class, encryption, tags
  HeaderFields object_bytes;   // what reading and writing an object encrypted with the customer's own key needs
  HeaderFields copied_object;  // the same of the source of a copy
};

// `configured_region` is what environment or profile say. invalid: options that contradict each other, or no good.
Result<Settings> make_settings(Location location, const Environment& environment,
                               const std::string& configured_region);

// The endpoint that takes the place of settings.endpoint when the bucket turns out to lie in another region.
Endpoint endpoint_of(const Settings& settings, const std::string& region);

}  // namespace cairn::s3
