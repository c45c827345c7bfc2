#!/usr/bin/env bash
# A SQLite database that is written to all the time is stored as one committed state.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
sql tree/app.db 'PRAGMA journal_mode = wal; CREATE TABLE a (n INTEGER); CREATE TABLE b (n INTEGER)' >/dev/null
python3 - <<'END' &
import os, sqlite3
db = sqlite3.connect("tree/app.db", timeout=30)
n = 0
while not os.path.exists("enough"):
    n += 1
    with db:
        db.execute("INSERT INTO a VALUES (?)", (n,))
        db.execute("INSERT INTO b VALUES (?)", (n,))
END
writer=$!
pids+=("$writer")
has_rows() { [ "$(sql -readonly tree/app.db 'SELECT count(*) FROM a')" -gt 50 ]; }
wait_until has_rows
last=0
for round in 1 2 3; do
  expect 0 sync_to store tree
  rm -rf restored
  expect 0 restore_to store restored
  [ "$(ls restored)" = app.db ] || fail "restored: $(ls restored)"
  [ "$(sql restored/app.db 'PRAGMA integrity_check')" = ok ]
  now=$(sql restored/app.db 'SELECT count(*) FROM a')
  [ "$now" = "$(sql restored/app.db 'SELECT count(*) FROM b')" ] && [ "$now" -gt "$last" ]
  last=$now
  further() { [ "$(sql -readonly tree/app.db 'SELECT count(*) FROM a')" -gt $((last + 20)) ]; }
  wait_until further
done
touch enough
wait "$writer"
