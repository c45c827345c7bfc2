// What a sync and a prune say to each other, so that neither waits for the other and nothing that is needed goes.
//
// A prune removes what no manifest names and what is older than its grace. What a sync has just put is young: nothing
// has to be said about it. But a sync that is about to name an object which lies there already (a layer with the same
// digest, or one of its own from before an interruption) may meet a prune that is about to remove it. So both announce
// themselves before they look: the sync puts a *want* and then looks for prunes; the prune puts a *notice* and then
// looks for wants, and for manifests. Whichever comes second sees the other.
//
//   <prefix>tmp/want-<digest>-<token>-<token>   of a sync, until its manifest names the layer: under its digest, or as
//                                               tmp/<first token>.tar.zst, where that is the name that it has
//   <prefix>tmp/prune-<number>                  of a prune, until it has removed everything
//
// What a crash leaves of them is harmless: a want is removed by the next sync from there, or when it is older than the
// grace by a prune; notices older than a day count no longer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "cairn/error.h"
#include "cairn/layer.h"
#include "cairn/store.h"

namespace cairn::layer {

inline constexpr std::string_view kWantPrefix = "tmp/want-";
inline constexpr std::string_view kNoticePrefix = "tmp/prune-";
// One that is older was left by a prune that was killed: who is at work places another one in time, or ends.
inline constexpr std::int64_t kNoticeLasts_ms = 3600 * 1000;

// A key for a want of the layer `digest`, which may lie under its temporary key. Of its own each time.
std::string want_key_of(std::string_view digest, std::string_view temporary_key, Random& random);
// A sync's promise to name that layer soon. After this, whether its object is there is worth asking, and when it is, no
// prune removes it until the want is withdrawn. retry_later: a prune is at work, which may be removing that very layer;
// nothing is promised.
Result<void> want_layer(Store& store, const std::string& want_key);
// Once the manifest names the layer, or the sync gives up.
Result<void> withdraw_want(Store& store, const std::string& want_key);

// prune_layers by a clock of the caller's, for intervals: it goes on while the machine sleeps.
Result<LayerPruneReport> prune(Store& store, std::int64_t now_ms, const LayerPruneOptions& options,
                               const std::function<std::int64_t()>& boot_ms);

}  // namespace cairn::layer
