// Before anything is added to a replica: where does its history end, and does what this machine has continue it?
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/files.h"
#include "cairn/replicator.h"
#include "replicate/local_state.h"
#include "replicate/page_hashes.h"
#include "replicate/spool.h"

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
};

// Reads the head of the replica, claims it if nothing is there, and settles how to go on. conflict: another writer owns
// the history. corrupt: the replica's head is damaged. Store errors as they are: try again later.
Result<Base> attach(const AttachContext& context, const Time& now);

}  // namespace cairn::replicate
