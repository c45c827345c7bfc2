// Who may publish: the local state against the manifest. docs/layers.md, "A sync".
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "cairn/layer.h"
#include "cairn/store.h"
#include "layer/catalogue.h"
#include "layer/manifest.h"
#include "layer/state.h"

namespace cairn::layer {

// How a sync can go on from what the store has.
enum class Standing {
  begins,    // the store has nothing of this container: a new history
  goes_on,   // the catalogue is of the head
  refilled,  // the catalogue was lost: it has been made anew from the head
  unproven,  // the same, but another state has published the head (or a copy of this one, after it was made), and
             // nothing says that this directory continues it
};

KnownHead head_of(const Manifest& manifest);
// Whether the next sync has to be a full one: the increments hold more than the full layer, or are many.
bool is_full_due(const KnownHead& head);

// Sets the container's head to that of the manifest, or to none, and makes the catalogue fit. The state is not told of
// a head to which the catalogue was refilled: that is for the caller, when it is proven (State::put).
// conflict: the store has nothing of a container that was published from here, and nobody says to begin anew (`adopt`).
Result<Standing> stand(Store& store, State& state, Container& container, LayerAdopt adopt, Random& random,
                       const std::function<void(std::string_view)>& on_notice);

Error history_is_gone(const Container& container, const std::string& url);
// What is there is an empty directory, and the one that was synced was not.
Error is_another_directory(const Container& container);
Error not_ours(std::string_view name, std::uint64_t sequence);

}  // namespace cairn::layer
