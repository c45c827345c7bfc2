#!/usr/bin/env bash
# The lines of docs/operations.md, "Around a program", on a machine that forgets its disk.
. "$(dirname "$0")/common.sh"

start='[ -e data/app.db ] || "$CAIRN" restore backup -o data/app.db || [ $? -eq 3 ] || exit 1
exec "$CAIRN" replicate data/app.db --to backup --state-dir data/state --exec "sh program"'
cat >program <<'SH'
sqlite3 data/app.db "PRAGMA journal_mode = wal; CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)" >/dev/null
sqlite3 data/app.db "INSERT INTO t (v) VALUES ('once more')"
SH
for ((n = 1; n <= 3; n++)); do
  rm -rf data && mkdir data
  bash -c "$start" >"$log" 2>&1
  expect 0 "$CAIRN" restore backup -o restored.db --overwrite
  [ "$(count restored.db)" = $n ]
done
expect 0 "$CAIRN" verify backup --deep
