// Two tables: layer_scan_plan says what is to be written, layer_scan_written what was. The rows of the second one are
// rows of the catalogue already, so that taking over is mostly one statement. What was left out stands there with a
// kind that no entry has.
#include "layer/plan.h"

#include <fmt/format.h>

#include <set>

#include "layer/catalogue_rows.h"
#include "layer/tree.h"

namespace cairn::layer {
namespace {

constexpr std::int64_t kLeftOut = -1;

std::vector<std::string> split_names(std::string_view joined) {
  std::vector<std::string> names;
  while (!joined.empty()) {
    const std::size_t end = joined.find('\0');
    names.emplace_back(joined.substr(0, end));
    joined.remove_prefix(end + 1);
  }
  return names;
}

// What was left out: mostly nothing. No layer may have a name without its directory, or a link without its target, so
// what hangs on such a name is left out, too, even if it has come back meanwhile.
class LeftOut {
 public:
  void add(const std::string& key) { keys_.insert(key); }
  void remove(const std::string& key) { keys_.erase(key); }
  // By itself, or with what it lies in.
  bool lacks(const std::string& key) const { return keys_.contains(key) || has_above(key); }
  bool has_above(const std::string& key) const {
    if (keys_.empty()) return false;
    for (std::size_t end = key.find('\0'); end != std::string::npos; end = key.find('\0', end + 1)) {
      if (keys_.contains(key.substr(0, end))) return true;
    }
    return !key.empty() && keys_.contains("");
  }

 private:
  std::set<std::string> keys_;
};

// The first column of the first row; 0: there is none, or it is NULL.
Result<std::int64_t> first_integer(sqlite::Statement& statement) {
  CAIRN_ASSIGN(const bool found, statement.next());
  const std::int64_t value = found ? statement.integer(0) : 0;
  statement.reset();
  return value;
}

}  // namespace

struct Plan::State {
  explicit State(Catalogue& of) : catalogue(of), database(of.database()), container(of.container()) {}
  Result<void> prepare();
  Result<std::int64_t> blocks_of(const PlanRow& row);
  Result<void> learn_left_out();

  Catalogue& catalogue;
  sqlite::LocalDatabase& database;
  const std::int64_t container;
  PlanHead head;
  RowWriter written;
  LeftOut left_out_keys;
  sqlite::Statement left_out, drop_below, blocks, make_file, note_file, drop_blocks, add_block, list_blocks;
};

Result<void> Plan::State::prepare() {
  CAIRN_ASSIGN(written, RowWriter::open(catalogue, "layer_scan_written"));
  const auto one = [&](sqlite::Statement& into, const char* sql) -> Result<void> {
    CAIRN_ASSIGN(into, database.prepare(sql));
    return {};
  };
  CAIRN_TRY(one(left_out, "INSERT OR REPLACE INTO layer_scan_written(container, key, kind) VALUES (?1, ?2, ?3)"));
  CAIRN_TRY(one(drop_below, "DELETE FROM layer_scan_written WHERE container = ?1 AND key > ?2 "
                            "AND (key < ?3 OR length(?2) = 0)"));
  CAIRN_TRY(one(blocks, "SELECT blocks FROM layer_scan_written WHERE container = ?1 AND key = ?2"));
  CAIRN_TRY(one(make_file, "INSERT INTO layer_scan_file(container) VALUES (?1) RETURNING id"));
  CAIRN_TRY(one(note_file, "INSERT INTO layer_scan_written(container, key, kind, blocks) VALUES (?1, ?2, ?3, ?4) "
                           "ON CONFLICT(container, key) DO UPDATE SET blocks = ?4"));
  CAIRN_TRY(one(drop_blocks, "DELETE FROM layer_scan_block WHERE file = ?1 AND number >= ?2"));
  CAIRN_TRY(one(add_block, "INSERT INTO layer_scan_block VALUES (?1, ?2, ?3, ?4, ?5, ?6)"));
  return one(list_blocks, "SELECT hash, place, compressed, size FROM layer_scan_block WHERE file = ?1 ORDER BY number");
}

Result<std::int64_t> Plan::State::blocks_of(const PlanRow& row) {
  CAIRN_TRY(blocks.begin(container, as_bytes(row.key)));
  return first_integer(blocks);
}

Result<void> Plan::State::learn_left_out() {
  CAIRN_ASSIGN(auto keys, database.prepare("SELECT key FROM layer_scan_written "
                                           "WHERE container = ?1 AND kind = ?2 AND blocks IS NULL"));
  CAIRN_TRY(keys.begin(container, kLeftOut));
  for (;;) {
    CAIRN_ASSIGN(const bool more, keys.next());
    if (!more) return {};
    left_out_keys.add(std::string(as_text(keys.blob(0))));
  }
}

namespace {

class Rows final : public PlanRows {
 public:
  Rows(sqlite::Statement rows, const LeftOut& left_out) : rows_(std::move(rows)), left_out_(left_out) {}

  Result<std::optional<PlanRow>> next() override {
    for (;;) {
      CAIRN_ASSIGN(const bool found, rows_.next());
      if (!found) return std::optional<PlanRow>();
      PlanRow row = current();
      if (left_out_.has_above(row.key)) continue;
      if (row.kind == EntryKind::hard_link && left_out_.lacks(sort_key(row.link_target))) {
        row.kind = EntryKind::file;
        row.link_target.clear();
      }
      return std::optional(std::move(row));
    }
  }

 private:
  PlanRow current() const {
    PlanRow row;
    row.key = as_text(rows_.blob(0));
    row.action = static_cast<PlanAction>(rows_.integer(1));
    std::string_view key = row.key;
    if (row.action == PlanAction::opaque) key.remove_suffix(1);
    row.path = path_of_sort_key(key);
    row.kind = static_cast<EntryKind>(rows_.integer(2));
    row.mark = static_cast<Mark>(rows_.integer(3));
    row.is_database = (rows_.integer(4) & kDatabase) != 0;
    row.is_below = (rows_.integer(4) & kBelow) != 0;
    row.is_mount_point = (rows_.integer(4) & kMountPoint) != 0;
    row.has_xattr_whiteouts = (rows_.integer(4) & kXattrWhiteouts) != 0;
    row.size_bytes = static_cast<std::uint64_t>(rows_.integer(5));
    row.link_target = as_text(rows_.blob(6));
    row.forgotten = split_names(as_text(rows_.blob(7)));
    return row;
  }

  sqlite::Statement rows_;
  const LeftOut& left_out_;
};

}  // namespace

Plan::Plan(std::unique_ptr<State> state) : state_(std::move(state)) {}
Plan::~Plan() = default;
const PlanHead& Plan::head() const { return state_->head; }

Result<std::unique_ptr<Plan>> Plan::load(Catalogue& catalogue) {
  auto state = std::make_unique<State>(catalogue);
  CAIRN_ASSIGN(auto head, catalogue.database().prepare(
                              "SELECT kind, began_ms, rows, bytes, sockets FROM layer_scan_head WHERE container = ?1"));
  CAIRN_TRY(head.begin(catalogue.container()));
  CAIRN_ASSIGN(const bool found, head.next());
  if (!found) return std::unique_ptr<Plan>();
  state->head.kind = static_cast<SyncKind>(head.integer(0));
  state->head.scan_began_ms = head.integer(1);
  state->head.rows = static_cast<std::uint64_t>(head.integer(2));
  state->head.total_bytes = static_cast<std::uint64_t>(head.integer(3));
  state->head.skipped_sockets = static_cast<std::uint64_t>(head.integer(4));
  CAIRN_TRY(state->prepare());
  CAIRN_TRY(state->learn_left_out());
  return std::unique_ptr<Plan>(new Plan(std::move(state)));
}

Result<std::unique_ptr<PlanRows>> Plan::rows(std::optional<std::string> after) {
  constexpr const char* kColumns =
      "SELECT key, action, kind, mark, traits, size, link, forgotten FROM layer_scan_plan WHERE container = ?1";
  CAIRN_ASSIGN(auto rows, state_->database.prepare(
                              fmt::format("{}{} ORDER BY key", kColumns, after ? " AND key > ?2" : "")));
  if (after) CAIRN_TRY(rows.begin(state_->container, as_bytes(*after)));
  else CAIRN_TRY(rows.begin(state_->container));
  return std::unique_ptr<PlanRows>(
      std::make_unique<Rows>(std::move(rows), state_->left_out_keys));
}

Result<void> Plan::record(const PlanRow& row, const OpenEntry& open, std::uint64_t content_hash, Contents contents) {
  const Entry& entry = open.entry();
  state_->left_out_keys.remove(row.key);
  CatalogueRow written;
  written.key = row.key;
  written.kind = entry.kind;
  written.mark = entry.mark;
  if (entry.kind == EntryKind::hard_link) written.link_target = entry.link_target;
  written.stamp = open.stamp();
  written.wal = open.wal_stamp();
  written.proof = contents == Contents::torn ? Proof::none : proof_of(written.stamp, open.looked_at_ms());
  if (written.wal && proof_of(*written.wal, open.looked_at_ms()) == Proof::racy) written.proof = Proof::racy;
  written.contents = contents;
  written.content_hash = content_hash;
  written.is_shared = open.is_shared();
  written.has_xattr_whiteouts = open.marks().has_xattr_whiteouts;
  written.is_redirected = open.marks().redirect.has_value() && entry.kind == EntryKind::directory;
  CAIRN_ASSIGN(written.header_hash, header_hash_of(entry));
  std::int64_t blocks = 0;
  if (entry.size_bytes >= kBigFileBytes) {
    CAIRN_ASSIGN(blocks, state_->blocks_of(row));
  }
  return state_->written.write(written, blocks);
}

// An attempt that was interrupted may have read what lies below, and more of it than came to be in a part.
Result<void> Plan::record_left_out(const PlanRow& row) {
  state_->left_out_keys.add(row.key);
  const std::string end = row.key + '\1';
  CAIRN_TRY(state_->drop_below.run(state_->container, as_bytes(row.key), as_bytes(end)));
  return state_->left_out.run(state_->container, as_bytes(row.key), kLeftOut);
}

Result<void> Plan::record_blocks(const PlanRow& row, std::uint64_t first, std::span<const Block> blocks) {
  CAIRN_ASSIGN(std::int64_t file, state_->blocks_of(row));
  if (file == 0) {
    CAIRN_TRY(state_->make_file.begin(state_->container));
    CAIRN_ASSIGN(file, first_integer(state_->make_file));
    // Until the file is complete its row counts as left out.
    CAIRN_TRY(state_->note_file.run(state_->container, as_bytes(row.key), kLeftOut, file));
  }
  CAIRN_TRY(state_->drop_blocks.run(file, first));
  for (const Block& block : blocks) {
    CAIRN_TRY(state_->add_block.run(file, first++, block.hash, block.offset, block.compressed_bytes, block.size_bytes));
  }
  return {};
}

Result<std::vector<Block>> Plan::recorded_blocks(const PlanRow& row) {
  CAIRN_ASSIGN(const std::int64_t file, state_->blocks_of(row));
  std::vector<Block> blocks;
  if (file == 0) return blocks;
  sqlite::Statement& list = state_->list_blocks;
  CAIRN_TRY(list.begin(file));
  for (;;) {
    CAIRN_ASSIGN(const bool more, list.next());
    if (!more) return blocks;
    blocks.push_back({static_cast<std::uint64_t>(list.integer(0)), static_cast<std::uint64_t>(list.integer(1)),
                      static_cast<std::uint32_t>(list.integer(2)), static_cast<std::uint32_t>(list.integer(3))});
  }
}

Result<void> Plan::take_over(std::string_view object_key) {
  return state_->database.transaction([&] { return take_over_within(object_key); });
}

Result<void> Plan::take_over_within(std::string_view object_key) {
  return take_over_written(state_->catalogue, state_->head.kind, object_key);
}

Result<void> Plan::drop() {
  return state_->database.transaction([&] { return drop_plan(state_->catalogue); });
}

}  // namespace cairn::layer
