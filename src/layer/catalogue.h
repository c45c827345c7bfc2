// What the store has of a container, name by name, and what stat said of each name when it was read: with it a scan
// knows without reading anything that nothing has changed. Several containers in one SQLite database.
//
// A catalogue is a cache that may be lost: everything in it but the stamps can be read from the head's chain in the
// store (begin_refill). It moves in two ways only: Plan::take_over, after a sync is published, and stamps of names
// whose contents a scan has found to be the same.
//
// Errors as of LocalDatabase: busy, corrupt, denied, io.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"
#include "layer/entry.h"
#include "layer/object.h"
#include "sqlite/local_database.h"

struct statx;

namespace cairn::layer {

// What stat says of a file, in as far as an equal one proves that it has not been changed.
struct Stamp {
  std::uint64_t inode = 0;
  std::int64_t ctime_ns = 0, mtime_ns = 0;
  std::uint64_t size_bytes = 0;
  bool operator==(const Stamp&) const = default;
};
Stamp stamp_of(const struct ::statx& status);

// Whether an equal stamp proves anything. A file that changed less than two seconds before it was looked at can change
// once more and keep its ctime: clocks of file systems are coarse.
enum class Proof : std::uint8_t {
  none,  // no stamp is known (a catalogue that was refilled), or the file would not stand still: hash it
  racy,  // the ctime was not old enough when it was looked at: hash it
  good,
};
Proof proof_of(const Stamp& stamp, std::int64_t looked_at_ms);

// What a sync wrote of one name: kind, attributes, link target. The places of holes and the forgotten names do not
// count. XXH3 of write_tar_header. invalid: as there.
Result<std::uint64_t> header_hash_of(Entry entry);

// A block of a big file (kBigFileBytes or more) in the object that carries it: one frame, kFrameTarget bytes of the
// file, the last one less.
struct Block {
  std::uint64_t hash = 0;    // FrameInfo::hash
  std::uint64_t offset = 0;  // in the object
  std::uint32_t compressed_bytes = 0;
  std::uint32_t size_bytes = 0;
  bool operator==(const Block&) const = default;
};

struct CatalogueRow {
  std::string key;                   // sort_key(path)
  EntryKind kind = EntryKind::file;  // never opaque: that is a mark of the directory
  Mark mark = Mark::none;            // of a whiteout, of an opaque directory
  std::string link_target;           // of a hard link: a path
  Proof proof = Proof::none;
  Contents contents = Contents::whole;
  Stamp stamp;                       // unless proof is none
  std::optional<Stamp> wal;          // of a database: of the -wal or hot journal that a part of it was read from
  std::uint64_t header_hash = 0, content_hash = 0;
  bool is_shared = false;            // more than one name leads to the file
  bool has_xattr_whiteouts = false;  // of a directory: see OverlayMarks
  bool is_redirected = false;        // of a directory: its contents lie elsewhere in the lower directories, too
};

class Catalogue {
 public:
  // Statements for LocalDatabase::open; they may be run again. All tables begin with "layer_scan_".
  static const char* schema();

  // `database` outlives the catalogue. `container` is any number that the caller keeps for the container.
  Catalogue(sqlite::LocalDatabase& database, std::int64_t container) : database_(database), container_(container) {}

  sqlite::LocalDatabase& database() const { return database_; }
  std::int64_t container() const { return container_; }

  Result<bool> is_empty();
  Result<bool> has_names();  // besides the root
  Result<bool> has_names_below(std::string_view key);  // of a directory
  Result<std::optional<CatalogueRow>> find(std::string_view path);
  // Of the file's newest version in the store. Empty: not a big one, or the catalogue does not know.
  struct Blocks {
    std::string object_key;
    std::vector<Block> blocks;  // from the file's beginning on, without a gap
  };
  Result<Blocks> blocks_of(std::string_view path);

  // Trusted attributes are hidden from who reads the names now, so what is noted of them does not tell that they have
  // none. Whoever sees them calls look_for_hidden() first: unless all rows are known to be of somebody who saw them
  // too, an equal stamp proves nothing once.
  Result<void> note_hidden();
  Result<void> look_for_hidden();

  // Stamps are believed in the boot of the machine that they are of: a power loss may take the times of a file that
  // was written in place and synced without them (fdatasync), and not its bytes. In another boot, or where the kernel
  // does not say which one it is, an equal stamp proves nothing once.
  Result<void> doubt_other_boots();
  Result<bool> is_of_this_boot();  // the scan before

  // Forgets the container: rows, blocks, and the plan. In a transaction of the caller, or by itself.
  Result<void> clear();

 private:
  Result<void> note_all_seen();
  Result<void> note_boot(std::string_view boot);
  Result<void> doubt_all();

  sqlite::LocalDatabase& database_;
  std::int64_t container_;
};

// Fills a catalogue anew, from outside; call it in one transaction (LocalDatabase::transaction), a hard link behind
// its target.
//
// The catalogue was lost: for each entry of the merged chain (directories, files, links, whiteouts as far as an upper
// directory has them: not those with Mark::none, not opaque entries) add() without a stamp. The next scan hashes all
// files and plans only real differences.
//
// After a restore of the head into an upper directory: add() with what statx says of each restored file once it is
// complete. `looked_at_ms`: a moment up to which nobody else can have touched the file (the end of the restore, before
// the rename). Files whose ctime is less than two seconds older are hashed by the next scan.
class CatalogueRefill {
 public:
  static Result<std::unique_ptr<CatalogueRefill>> begin(Catalogue& catalogue);  // forgets all rows
  virtual ~CatalogueRefill() = default;
  // Of `entry`: as the chain has it, holes and forgotten as they are. content_hash: IndexedEntry::content_hash.
  virtual Result<void> add(const Entry& entry, std::uint64_t content_hash, Contents contents) = 0;
  virtual Result<void> add(const Entry& entry, std::uint64_t content_hash, Contents contents, const Stamp& stamp,
                           std::int64_t looked_at_ms) = 0;
  // Of all that was added: nobody else can have touched the files up to this moment.
  virtual Result<void> untouched_until(std::int64_t looked_at_ms) = 0;
  // Where the blocks of a big file lie (from the index of the layer that carries it); may be left out.
  virtual Result<void> add_blocks(std::string_view path, std::string_view object_key,
                                  const std::vector<Block>& blocks) = 0;
};

}  // namespace cairn::layer
