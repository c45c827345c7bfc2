#!/usr/bin/env bash
# Two copies of one database with two state directories: the first to publish owns the history, the other stops.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
cp app.db copy.db
expect 0 "$CAIRN" replicate copy.db --to backup --once --state-dir state-of-copy  # equal so far
add_rows app.db 5
once app.db --to backup
sql copy.db "UPDATE t SET v = 'other'"
expect 4 "$CAIRN" replicate copy.db --to backup --once --state-dir state-of-copy
add_rows app.db 5
once app.db --to backup
restores_to_state_of backup app.db
expect 0 "$CAIRN" verify backup
