#!/usr/bin/env bash
# Databases in rollback mode, with another process that commits, spills and rolls back all the time, and one that is
# killed in the middle: what comes back is a committed state, and nothing of it is rolled back in the directory itself.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
cat >writer.py <<'END'
import os, signal, sqlite3, sys
def open_in(mode):
    db = sqlite3.connect(f"tree/{mode}.db", timeout=60, isolation_level=None)
    db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = 2")
    db.execute("CREATE TABLE IF NOT EXISTS a (n INTEGER, wide BLOB)")
    db.execute("CREATE TABLE IF NOT EXISTS b (n INTEGER, wide BLOB)")
    return db
def write(db, rows, end):  # rows beyond the cache go into the file before they are committed
    db.execute("BEGIN IMMEDIATE")
    for table in "a", "b":
        db.execute(f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT {rows}) "
                   f"INSERT INTO {table} SELECT x, zeroblob(500) FROM c")
    db.execute(end)
all = [open_in(mode) for mode in ("delete", "truncate", "persist")]
generation = 0
while not os.path.exists("enough"):
    generation += 1
    for db in all:
        write(db, 3, "COMMIT")
        write(db, 200, "COMMIT" if generation % 8 == 0 else "ROLLBACK")
    if generation == 3: open("begun", "w").close()
# Killed in the middle.
for db in all: write(db, 300, "SELECT 1")
os.kill(os.getpid(), signal.SIGKILL)
END
python3 writer.py &
writer=$!
pids+=("$writer")
committed() {  # committed <folder>: each is whole, and has as many rows in the one table as in the other
  local mode
  for mode in delete truncate persist; do
    [ "$(sql "$1/$mode.db" 'PRAGMA integrity_check')" = ok ] || fail "$mode: not whole"
    [ "$(sql "$1/$mode.db" 'SELECT count(*) FROM a')" = "$(sql "$1/$mode.db" 'SELECT count(*) FROM b')" ] ||
      fail "$mode: not a committed state"
  done
}
wait_until test -e begun
for round in 1 2; do
  expect 0 sync_to store tree --json
  [ "$(json_of 'j["sync"]["torn_files"]')" = 0 ]
  rm -rf restored
  expect 0 restore_to store restored
  committed restored
done
touch enough
wait "$writer" 2>/dev/null || true

# What it has left is not touched, and not in the layer.
[ -s tree/delete.db-journal ] && [ -s tree/truncate.db-journal ] && [ -s tree/persist.db-journal ]
describe tree >before.tree
expect 0 sync_to store tree --json
[ "$(json_of 'j["sync"]["torn_files"]')" = 0 ]
describe tree >after.tree
cmp before.tree after.tree
rm -rf restored
expect 0 restore_to store restored
[ "$(ls restored | tr '\n' ' ')" = 'delete.db persist.db truncate.db ' ] || fail "restored: $(ls restored)"
committed restored
committed tree  # now SQLite has rolled back
for mode in delete truncate persist; do
  [ "$(sql "tree/$mode.db" .dump | sha256sum)" = "$(sql "restored/$mode.db" .dump | sha256sum)" ] ||
    fail "$mode: not what SQLite makes of it"
done
