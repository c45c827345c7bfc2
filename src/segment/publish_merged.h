// Putting a merged object into a replica, so that it may replace its sources. Whoever merges the same makes the same
// bytes under the same key (merge.h), so two who do it at once do it once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "segment/format.h"

namespace cairn::segment {

enum class Outcome {
  put,         // it is new
  there,       // the same bytes were there: somebody made it, or we did and no answer came
  other_form,  // another object of the same states is there: merged of other inputs, or by another version of zstd
};

struct PublishedMerge {
  std::string key;
  Outcome outcome = Outcome::put;
  Footer footer;  // of what lies there now
  std::uint64_t size_bytes = 0;
};

// Creates levels/<level>/<first>-<last> with `object`, whose footer is `footer`, create-only, and reads back from the
// store what lies there. When it returns, that object is durable and whole as far as its footer tells, and leads from
// the state before `footer.first` to the one at `footer.last`. With other_form it may have fewer restore points between
// the two: whoever removes sources looks at what there is, not at what was meant (restore points of the footer here).
//
// conflict: an object of another history, or one that ends in another state, lies there. corrupt: what lies there is
// damaged. Both name the key; nothing is ever overwritten. retry_later: it is still not there after some tries. Errors
// of the store otherwise; whatever happened, the same call again is right.
Result<PublishedMerge> publish_merged(Store& store, std::string_view replica, int level, const Footer& footer,
                                      const Source& object);

}  // namespace cairn::segment
