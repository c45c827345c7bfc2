#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
add_rows app.db 5
once app.db --to backup
expect 0 "$CAIRN" restore backup -o target.db --dry-run
[ ! -e target.db ]
grep -q snapshots/ "$out"
grep -q wal/ "$out"
