// The state directory's database, state.db: which containers there are, where their histories stand, and the journal of
// the sync that is under way, beside the catalogue and the plan of each (catalogue.h, plan.h). One process at a time.
//
// What belongs together is written in one transaction. The one that notes a part is opened long before: all that is
// recorded while the part is being filled goes with it (begin, commit).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "cairn/error.h"
#include "layer/archive.h"
#include "layer/manifest.h"
#include "sqlite/local_database.h"

namespace cairn::layer {

// The sync that the catalogue is of: the newest that this state knows to be published.
struct KnownHead {
  Id128 lineage;
  std::uint64_t sequence = 0;
  std::string digest;
  std::int64_t time_ms = 0;
  // Since the last full layer, for the decision when the next one is due.
  std::uint64_t full_bytes = 0, increment_bytes = 0, increments = 0;
};

struct Container {
  std::int64_t id = 0;
  std::string name, directory;
  std::string store_url;          // that the rest is about
  bool registered = true;         // by a person, and not only restored here
  bool may_copy = true;           // the store takes copied parts of any size, as far as is known
  std::optional<KnownHead> head;  // nothing: not known
};

// How far a sync has come. Each stage can be repeated.
enum class Stage : std::uint8_t {
  archiving,  // parts are made, and sent
  archived,   // all parts are made; the digest is known
  completed,  // the object is whole, under its temporary name
  named,      // under its last one: PendingSync::object_key
  described,  // with its meta
};

struct PendingSync {
  Stage stage = Stage::archiving;
  Id128 lineage;
  std::uint64_t sequence = 0;
  SyncKind kind = SyncKind::full;
  std::int64_t time_ms = 0;
  std::string temporary_key;
  std::string upload_id;          // empty: none is begun (or it is gone)
  std::uint64_t part_bytes = 0;   // of all parts but the last and the copied ones
  bool may_copy = true;           // ranges of older layers
  std::uint64_t skipped_sockets = 0;
  // From archived on; object_key: from named on.
  std::string digest, object_key;
  std::uint64_t size_bytes = 0, compressed_bytes = 0, entries = 0, torn_files = 0;
  std::int64_t created_ms = 0;
  std::string copy_id;            // of the upload that gives the object its last name
};

struct JournaledPart {
  int number = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t hash = 0;          // of its bytes: XXH3
  std::string source_key;          // copied from there; empty: its bytes lie in the spool, until it is acknowledged
  std::uint64_t source_offset = 0;
  std::string etag;                // empty: it is not acknowledged
  bool is_copy() const { return !source_key.empty(); }
  bool is_acknowledged() const { return !etag.empty(); }
};

// What is needed in order to go on behind a part.
struct Checkpoint {
  int part = 0;           // 0: from the beginning
  ArchivePosition position;
  Bytes digest;           // Sha256
  Bytes index;            // IndexBuilder
  bool index_written = false;  // what is left of it is in `carry`
  Bytes carry;            // bytes of the object behind the part, up to the position
};

class State {
 public:
  // invalid: it was written by a newer Cairn. corrupt: it has to be removed, and is found out anew.
  static Result<std::unique_ptr<State>> open(const std::string& path, Random& random);
  // Another connection, for reading beside a sync.
  static Result<std::unique_ptr<State>> open_beside(const std::string& path);

  sqlite::LocalDatabase& database() { return *database_; }
  const Id128& writer() const { return writer_; }
  Result<void> become_another(Random& random);  // with a new writer's id

  Result<void> begin();   // unless one is open
  Result<void> commit();  // if one is open
  void roll_back();       // the same

  Result<std::vector<Container>> containers();
  Result<std::optional<Container>> find(std::string_view name);
  Result<void> put(const Container& container);  // by its name; the id is ours

  Result<std::optional<PendingSync>> pending(std::int64_t container);
  Result<void> put_pending(std::int64_t container, const PendingSync& pending);
  Result<void> drop_pending(std::int64_t container);  // with its parts and checkpoints

  // Keys under which a sync of ours may have left an upload or an object that nothing will ever name.
  Result<std::vector<std::string>> leftovers();
  Result<void> add_leftover(std::string_view key);
  Result<void> drop_leftover(std::string_view key);

  Result<std::vector<JournaledPart>> parts(std::int64_t container);  // ascending
  Result<void> put_part(std::int64_t container, const JournaledPart& part);
  Result<void> acknowledge(std::int64_t container, int part, std::string_view etag);
  Result<void> forget_upload(std::int64_t container);  // no part is acknowledged any more
  // Parts behind `part`, and their checkpoints.
  Result<void> drop_behind(std::int64_t container, int part);

  // The newest one at or before `part`, outside of big files or anywhere; part 0: there is none.
  enum class Where { anywhere, between_files };
  Result<Checkpoint> checkpoint(std::int64_t container, int part, Where where);
  // Others go that nobody will go back to: behind `first_open`, the first part that is not sure to stay, nobody begins.
  Result<void> put_checkpoint(std::int64_t container, const Checkpoint& checkpoint, int first_open);

 private:
  explicit State(std::unique_ptr<sqlite::LocalDatabase> database) : database_(std::move(database)) {}
  Result<void> identify(Random& random);

  std::unique_ptr<sqlite::LocalDatabase> database_;
  Id128 writer_;
  bool in_transaction_ = false;
};

}  // namespace cairn::layer
