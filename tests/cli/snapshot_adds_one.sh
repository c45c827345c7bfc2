#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
add_rows app.db 10
expect 0 snapshot app.db --to backup
[ "$(find backup -name '*.sqlite.zst' | wc -l)" = 2 ]
restores_to_state_of backup app.db
expect 0 "$CAIRN" verify backup
