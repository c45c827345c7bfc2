// What was written becomes what the store is known to have. A changeset says more than its names: a whiteout, an
// opaque mark, and a file where a directory was take along all that lay below. Names that were planned and left out
// stay, as ones of which nothing is known to be as it was: the next scan finds them vanished, or plans them again.
#include <fmt/format.h>

#include "layer/catalogue_rows.h"
#include "layer/plan.h"

namespace cairn::layer {
namespace {

// The names below a row that its entry has removed from the store's view.
Result<void> remove_hidden(sqlite::LocalDatabase& database, std::int64_t container) {
  CAIRN_ASSIGN(auto hiding, database.prepare(fmt::format(
                                "SELECT plan.key, plan.action FROM layer_scan_plan AS plan "
                                "JOIN layer_scan_written AS written "
                                "  ON written.container = plan.container AND written.key = plan.key "
                                "LEFT JOIN layer_scan_row AS row "
                                "  ON row.container = plan.container AND row.key = plan.key "
                                "WHERE plan.container = ?1 AND written.kind >= 0 AND (plan.action != {} OR "
                                "  (row.kind = {} AND written.kind != {}))",
                                static_cast<int>(PlanAction::put), static_cast<int>(EntryKind::directory),
                                static_cast<int>(EntryKind::directory))));
  CAIRN_ASSIGN(auto one, database.prepare("DELETE FROM layer_scan_row WHERE container = ?1 AND key = ?2"));
  CAIRN_ASSIGN(auto below, database.prepare("DELETE FROM layer_scan_row "
                                            "WHERE container = ?1 AND key >= ?2 AND key < ?3"));
  CAIRN_TRY(hiding.begin(container));
  for (;;) {
    CAIRN_ASSIGN(const bool more, hiding.next());
    if (!more) return {};
    std::string key(as_text(hiding.blob(0)));
    const auto action = static_cast<PlanAction>(hiding.integer(1));
    if (action == PlanAction::opaque) key.pop_back();
    if (action == PlanAction::whiteout) CAIRN_TRY(one.run(container, as_bytes(key)));
    const KeyRange range = keys_below(key);
    CAIRN_TRY(below.run(container, as_bytes(range.begin), as_bytes(range.end)));
  }
}

// Whiteouts that an entry of their directory has taken back.
Result<void> remove_forgotten(sqlite::LocalDatabase& database, std::int64_t container) {
  CAIRN_ASSIGN(auto forgetting,
               database.prepare("SELECT plan.key, plan.forgotten FROM layer_scan_plan AS plan "
                                "JOIN layer_scan_written AS written "
                                "  ON written.container = plan.container AND written.key = plan.key "
                                "WHERE plan.container = ?1 AND written.kind >= 0 AND plan.forgotten IS NOT NULL"));
  CAIRN_ASSIGN(auto one, database.prepare("DELETE FROM layer_scan_row WHERE container = ?1 AND key = ?2"));
  CAIRN_TRY(forgetting.begin(container));
  for (;;) {
    CAIRN_ASSIGN(const bool more, forgetting.next());
    if (!more) return {};
    const std::string directory(as_text(forgetting.blob(0)));
    std::string_view names = as_text(forgetting.blob(1));
    while (!names.empty()) {
      const std::string_view name = names.substr(0, names.find('\0'));
      names.remove_prefix(name.size() + 1);
      std::string key = directory.empty() ? "" : directory + '\0';
      CAIRN_TRY(one.run(container, as_bytes(key.append(name))));
    }
  }
}

// Whatever they look like the next time. Of a hard link the attributes may be the old ones although the file that it
// leads to is another in the store by now.
Result<void> distrust_left_out(sqlite::LocalDatabase& database, std::int64_t container) {
  CAIRN_ASSIGN(auto distrust, database.prepare(fmt::format(
                                  "UPDATE layer_scan_row SET proof = {}, header_hash = 0 "
                                  "WHERE container = ?1 AND key IN (SELECT plan.key FROM layer_scan_plan AS plan "
                                  "LEFT JOIN layer_scan_written AS written "
                                  "  ON written.container = plan.container AND written.key = plan.key "
                                  "WHERE plan.container = ?1 AND plan.action = {} AND coalesce(written.kind, -1) < 0)",
                                  static_cast<int>(Proof::none), static_cast<int>(PlanAction::put))));
  return distrust.run(container);
}

Result<void> remove_unused_blocks(sqlite::LocalDatabase& database, std::int64_t container) {
  CAIRN_ASSIGN(auto unused, database.prepare("SELECT id FROM layer_scan_file WHERE container = ?1 AND id NOT IN "
                                             "(SELECT blocks FROM layer_scan_row WHERE blocks IS NOT NULL)"));
  CAIRN_ASSIGN(auto blocks, database.prepare("DELETE FROM layer_scan_block WHERE file = ?1"));
  CAIRN_ASSIGN(auto file, database.prepare("DELETE FROM layer_scan_file WHERE id = ?1"));
  CAIRN_TRY(unused.begin(container));
  std::vector<std::int64_t> ids;
  for (;;) {
    CAIRN_ASSIGN(const bool more, unused.next());
    if (!more) break;
    ids.push_back(unused.integer(0));
  }
  for (const std::int64_t id : ids) {
    CAIRN_TRY(blocks.run(id));
    CAIRN_TRY(file.run(id));
  }
  return {};
}

Result<void> remove_plan(sqlite::LocalDatabase& database, std::int64_t container) {
  for (const char* table : {"head", "plan", "written"}) {
    CAIRN_ASSIGN(auto rows, database.prepare(fmt::format("DELETE FROM layer_scan_{} WHERE container = ?1", table)));
    CAIRN_TRY(rows.run(container));
  }
  return {};
}

}  // namespace

Result<void> take_over_written(Catalogue& catalogue, SyncKind kind, std::string_view object_key) {
  sqlite::LocalDatabase& database = catalogue.database();
  const std::int64_t container = catalogue.container();
  if (kind == SyncKind::full) {
    CAIRN_ASSIGN(auto all, database.prepare("DELETE FROM layer_scan_row WHERE container = ?1"));
    CAIRN_TRY(all.run(container));
  } else {
    CAIRN_TRY(remove_hidden(database, container));
    CAIRN_TRY(remove_forgotten(database, container));
    CAIRN_TRY(distrust_left_out(database, container));
  }
  CAIRN_ASSIGN(auto take, database.prepare(fmt::format(
                              "INSERT OR REPLACE INTO layer_scan_row(container, {0}) "
                              "SELECT container, {0} FROM layer_scan_written "
                              "WHERE container = ?1 AND kind >= 0 AND kind != {1} AND NOT (kind = {2} AND mark = {3})",
                              kRowColumns, static_cast<int>(EntryKind::opaque), static_cast<int>(EntryKind::whiteout),
                              static_cast<int>(Mark::none))));
  CAIRN_TRY(take.run(container));
  CAIRN_ASSIGN(auto name, database.prepare("UPDATE layer_scan_file SET object = ?2 WHERE container = ?1 AND id IN "
                                           "(SELECT blocks FROM layer_scan_written WHERE container = ?1)"));
  CAIRN_TRY(name.run(container, object_key));
  CAIRN_TRY(remove_plan(database, container));
  return remove_unused_blocks(database, container);
}

Result<void> drop_plan(Catalogue& catalogue) {
  CAIRN_TRY(remove_plan(catalogue.database(), catalogue.container()));
  return remove_unused_blocks(catalogue.database(), catalogue.container());
}

}  // namespace cairn::layer
