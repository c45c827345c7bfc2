#!/usr/bin/env bash
# --no-wal-switch: refused, and nothing is touched.
. "$(dirname "$0")/common.sh"

sql app.db 'CREATE TABLE t (id INTEGER PRIMARY KEY, v)'
cp app.db before.db
expect 2 replicate app.db --to backup --once --no-wal-switch
cmp app.db before.db
[ -z "$(find backup -name '*.zst' 2>/dev/null)" ]
