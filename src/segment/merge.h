// Merging segments: several neighbouring objects become one. docs/format.md, "Merging", is the specification.
//
//   a bundle     every run of the inputs, in order: each stays a restore point
//   a squashed   one run with the newest version of each page that lived through to its end: one restore point
//
// What comes out follows from the runs of the inputs, the zstd level and nothing else: whoever merges, with however
// much memory and however many threads, and whether the inputs were level-0 segments or merged before, gets the same
// bytes. (Squashing what was bundled is squashing the sources; a bundle keeps squashed inputs as the runs they are.)
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "base/executor.h"
#include "base/files.h"
#include "segment/format.h"
#include "segment/reader.h"
#include "segment/writer.h"

namespace cairn::segment {

struct MergeOptions {
  int level = 3;  // zstd's
  // Pages in memory at once. What comes beside them: the inputs' indexes (12 bytes a frame, in their readers), the
  // output's (10 bytes a frame) and the hashes that are compared (8 bytes a page); 100 bytes a run; some MiB of
  // buffers. When the output of a squash is larger, it is made in as many passes; with a scratch file another quarter
  // as much lies in memory on its way there, and an eighth for what is known of the frames of many passes.
  std::uint64_t memory_bytes = 64ull << 20;
  // Gives a file for pages that a pass comes across and a later one wants: raw, at most 8 times memory_bytes; asked
  // once, and only when there is a second pass. Without it, or once it takes no more (it gives its room back then), a
  // block of an input is read again in each pass that wants a page of it. What it gives back is checked like all else.
  OpenScratch open_scratch;
  // The page hashes of the state before the first run (entry i is page i + 1; the lock-byte page: 0). With them the
  // database hash of every run is checked; without, of those runs whose pages the runs before them tell.
  std::span<const std::uint64_t> hashes_before;
  std::stop_token stop;
};

// Whether `next` may stand behind `before` in a merge. invalid: it is not the next sequence, or not a segment at all.
// conflict: another lineage. unsupported: another page size, which no WAL file can hold beside the first: such a change
// is a boundary that no merged object spans. corrupt: it does not continue the state in which `before` ends.
Result<void> check_neighbours(const ObjectReader& before, const ObjectReader& next);

// One merge, in bounded pieces:
//
//   auto merge = Merge::open(inputs, ObjectKind::bundle, sink, executor);
//   while (!*merge->step()) {}
//
// Nothing of the inputs is believed: open() checks how they join (check_neighbours), that no run lacks a page by which
// the database has grown, and the database hashes; step() checks every page of every input against its hash, those
// too that do not go into the output. The end of the output, without which it is no object, is written only after all
// of that: on an error (`corrupt`, with the key of the input) what the sink got is worthless and must not become
// visible, and only the destructor may be called.
//
// Decompresses and compresses on `executor`; writes to `sink` from the calling thread only. One thread.
class Merge {
 public:
  // The inputs in order: segments, bundles, squashed segments, at least one. They must outlive the merge.
  // `kind`: bundle or squashed.
  static Result<std::unique_ptr<Merge>> open(std::vector<ObjectReader*> inputs, ObjectKind kind, Sink& sink,
                                             Executor& executor, const MergeOptions& options = {});
  virtual ~Merge() = default;

  // At most options.memory_bytes of pages out, and in the blocks that hold them. True: the object is complete, and
  // footer() is its footer.
  virtual Result<bool> step() = 0;
  virtual const Footer& footer() const = 0;

  // Of the runs of all inputs, those whose database hash was computed from their pages.
  virtual std::uint64_t proven_runs() const = 0;
};

// All of it at once.
Result<Footer> merge(std::vector<ObjectReader*> inputs, ObjectKind kind, Sink& sink, Executor& executor,
                     const MergeOptions& options = {});

}  // namespace cairn::segment
