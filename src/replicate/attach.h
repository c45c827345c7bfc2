// Before anything is added to a replica: where does its history end, and does what this machine has continue it?
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/files.h"
#include "cairn/replicator.h"
#include "replicate/kept.h"
#include "replicate/local_state.h"
#include "replicate/page_hashes.h"
#include "replicate/spool.h"
#include "restore/head.h"

namespace cairn::replicate {

// How capture has to begin.
enum class Start {
  begin,      // nothing is published: a first snapshot, at `sequence`
  go_on,      // local state proves that the database continues the state below
  must_equal, // nothing local proves it: the database must be that state, byte for byte, or a person decides
  adopt,      // a person decided: publish the difference
};

struct Base {
  Start start = Start::begin;
  Id128 lineage;
  Id128 writer;
  Sequence sequence;            // captured so far: published, or in the spool
  std::uint64_t hash = 0;       // of that state
  std::uint32_t page_size = 0;  // 0 with Start::begin
  std::int64_t begun_ms = 0;    // with Start::begin: the time that the claim says, and that names the first snapshot
  Sequence published;           // by presume(): what the store is taken to end with
  bool has_snapshot = false;    // some restore is possible at all
  std::string previous_host;    // with must_equal: who wrote last, for the message
  std::unique_ptr<Spool> spool;
  std::unique_ptr<PageHashes> hashes;  // of that state
};

struct AttachContext {
  Store& store;
  FileSystem& files;
  Random& random;
  LocalState& local;
  const ReplicatorOptions& options;
  Kept& kept;
};

std::string spool_path(const ReplicatorOptions& options);

// What the store says of all this.
struct Finding {
  Start start = Start::begin;
  Id128 lineage;              // zero, with begin: nothing is there, and it has to be claimed
  std::int64_t begun_ms = 0;  // with begin, by a claim that is there
  restore::HeadState head;    // without begin
  bool has_lost_notes = false;  // with go_on: by a power loss; what else is here may be of states that are nowhere
};

// Reads the head of the replica, and judges it by what this machine remembers; changes nothing. conflict: another
// writer owns the history. corrupt: the replica's head is damaged. Store errors as they are: try again later.
Result<Finding> find_out(const AttachContext& context);
// What was put from here, to be asked for by its key: a listing may be late.
restore::Known known_to(const AttachContext& context);

// What to begin with then. Claims the replica if nothing is there.
Result<Base> attach(const AttachContext& context, const Finding& finding, const Time& now);

// While the store cannot be asked: what to begin with if it turns out to hold what this machine remembers. Nothing: it
// does not remember enough.
Result<std::optional<Base>> presume(const AttachContext& context, const Time& now);

// What was presumed, once the store can be asked.
struct Presumption {
  Start start = Start::begin;
  Id128 lineage;
  std::int64_t begun_ms = 0;
  Sequence published;  // what the store is taken to end with
};
// True: it is so, and capture goes on as it began. False: it is otherwise, and nothing has been changed; what was
// captured meanwhile does not follow what the store holds. `spool` is what capture adds to.
Result<bool> confirm(const AttachContext& context, const Finding& finding, const Presumption& presumed, Spool& spool,
                     const Time& now);

}  // namespace cairn::replicate
