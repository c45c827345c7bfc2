// One scan: the walk and the catalogue side by side, a merge of two sorted lists. For scan.cc and what belongs to it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "layer/catalogue_rows.h"
#include "layer/plan_writer.h"
#include "layer/scan.h"
#include "layer/walk.h"

namespace cairn::layer {

class Scanner {
 public:
  Scanner(Tree& tree, Catalogue& catalogue, Clock& clock, const ScanOptions& options);
  Result<ScanResult> run();

 private:
  // What a directory means for the names in it.
  struct Level {
    PlanRow directory;          // to put it (again) when a name in it is to be forgotten
    bool puts_all = false;      // everything in it is written, and what is not there needs no whiteout
    bool looks_at_all = false;  // what its empty files mean has changed
    LookRules rules;
  };
  // A name that is there, and what is being found out about it.
  struct Name {
    const Step& step;
    std::string key = {};
    int directory = -1;         // descriptor
    int layer = 0;
    struct statx status {};
    std::optional<Stamp> wal = {};   // it is a database, and what it holds lies in this file, too
    std::string link_target = {};    // an earlier name of the same file
    bool is_shared = false;
    bool is_kept = false;       // it is a name of the container's
    const CatalogueRow* row = nullptr;  // what the store has of it
  };
  using FileId = std::pair<std::uint64_t, std::uint64_t>;

  bool ends_early() const { return options_.goal == ScanGoal::look && writer_.has_rows(); }
  bool puts_all() const {
    return options_.goal == ScanGoal::full || (!levels_.empty() && levels_.back().puts_all);
  }
  // It lies in a lower directory, or in one that is made of several.
  bool is_merged(const Name& name) const { return name.layer != 0 || walk_.directory().size() > 1; }
  static FileId file_of(const Name& name) { return {device_of(name.status), name.status.stx_ino}; }

  Result<void> step(const Step& now);
  Result<void> name(const Step& now);
  Result<bool> find(Name& name);
  void begin_at(std::uint64_t mount);
  Result<void> known(Name& name);
  void keep(Name& name);
  Result<void> mount_point(Name& name);
  Result<bool> hides_known(const Name& name, const Entry& entry);
  LookRules rules() const { return levels_.empty() ? LookRules{layers_.forms(), false} : levels_.back().rules; }
  Result<void> whiteout(Name& name, Mark mark);
  void note_links(Name& name);
  Result<void> note_database(Name& name);
  Result<void> note_journal(Name& name);
  static void stand_alone(Name& name);
  bool is_unchanged(const Name& name) const;
  Result<void> examine(Name& name);
  Result<void> check_marks(const Name& name, const Look& look) const;
  Result<void> enter(Name& name, const CatalogueRow& now, bool is_put);
  Result<void> put(const Name& name, const Look& look);
  PlanRow plan_row(const Name& name, const Look& look) const;
  Result<bool> has_changed(Name& name, const Look& look);
  Result<bool> has_same_contents(OpenEntry& open, std::uint64_t content_hash);
  Result<void> note_stamp(const Name& name, const Look& look);
  Result<void> complete_links();

  // The catalogue's side.
  Result<void> advance();
  Result<void> pass_rows_before(std::string_view key);
  Result<void> vanished();
  void notice(const std::string& text) const;

  Tree& tree_;
  const Layers& layers_;
  Catalogue& catalogue_;
  Clock& clock_;
  const ScanOptions& options_;
  PlanWriter writer_;
  std::optional<ReadAhead> ahead_;
  Walk walk_;
  ScanResult result_;
  std::int64_t began_ms_ = 0;
  std::uint64_t mount_ = 0;      // of the root
  std::vector<Level> levels_;

  sqlite::Statement rows_;
  CatalogueRow row_;             // the catalogue's next one
  bool has_row_ = false;
  std::string covered_;          // rows whose keys begin so are of a directory that is gone, or not looked into

  std::map<FileId, std::string> first_names_;  // of files with several names
  std::set<std::uint64_t> written_shared_;     // inodes of which a name is planned
  bool has_said_marks_ = false;
};

}  // namespace cairn::layer
