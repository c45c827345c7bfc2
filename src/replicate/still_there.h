// Whether a replica still lies where it lay.
#pragma once

#include <string>
#include <string_view>

#include "cairn/store.h"
#include "replicate/claim.h"
#include "replicate/local_state.h"
#include "replicate/shared.h"
#include "restore/unlisted.h"
#include "segment/format.h"

namespace cairn::replicate {

enum class FirstSnapshot { published, under_way };

// As it is known here: it is in the store, or on its way.
FirstSnapshot first_snapshot(const Shared& shared);

// A folder may go from under us while we replicate: it is unmounted, moved away, or another one is mounted over it.
// What is put into the place that is left can never be restored, and leaves a hole when the right one is back; what is
// put into another replica ends that one's history. So where looking costs nothing, what was published last has to be
// there before more is put: a segment goes into the folder of the one that was put just before it, or not at all
// (Store::put_new_beside); for everything else the claim of this lineage, and an object that holds that state, are
// looked for here. What was meant to be published next may be there already. With no segment published yet it is the
// claim, and a snapshot once one is published: a start that found the place that is left empty has put a claim there,
// too. retry_later: it is not there. conflict: another writer has gone on with it.
Result<void> expect_still_there(const Shared& shared);

// What was put, and is not counted yet.
struct JustPut {
  const std::string& key;
  std::string_view etag;  // as the put gave it; "": it lay there already
};

// The folder may go while something is being put, too: then that came into the place that is left, or what was in the
// right one when it began is away by now. It counts once it lies beside what was published before it. False: the
// replica is there, and it is not in it. retry_later: the replica is away, and what was put is removed where it is. Any
// error of a look: nothing is removed, since others may rest on it by now, as a prune does on a newer snapshot.
Result<bool> lies_beside(const Shared& shared, const JustPut& put);

// A claim that a person has removed, which is a summary to them, is made anew for whoever begins to publish: where
// looking is free, and all that was published can be restored from what is there. True: there is one.
Result<bool> renew_claim(Store& store, std::string_view replica, const LocalRecord& record, const Claim& claim);

// Whether the history ends with what `writer` has published: `published`, or the one after it, whose put may have been
// applied without an answer. conflict: another writer has gone on with it.
Result<void> expect_nobody_else(Store& store, std::string_view replica, Sequence published, const Id128& writer);

// Where looking is a request, nothing is asked before each put, and a bucket may be emptied under a running
// replicator. Who finds the claim gone asks here whether the state of `published` can still be restored, by the names
// of what is there, and those that `known` gives and a late listing lacks. conflict: it cannot, and what is put from
// now on is of no use.
Result<void> expect_restorable(Store& store, std::string_view replica, Sequence published,
                               const restore::Known& known, FirstSnapshot first);

}  // namespace cairn::replicate
