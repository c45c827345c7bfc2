#!/usr/bin/env bash
# --no-wal-switch: refused, and nothing is touched.
. "$(dirname "$0")/common.sh"

sql app.db 'CREATE TABLE t (id INTEGER PRIMARY KEY, v)'
cp app.db before.db
expect 2 replicate app.db --to backup --once --no-wal-switch
says 'is in rollback mode (journal_mode=delete) and Cairn may not change it'
says 'run "PRAGMA journal_mode=WAL" on it, or leave out --no-wal-switch'
cmp app.db before.db
for file in app.db-wal app.db-shm app.db-journal; do [ ! -e $file ] || fail "$file was left beside it"; done
[ -z "$(find backup -name '*.zst' 2>/dev/null)" ]
