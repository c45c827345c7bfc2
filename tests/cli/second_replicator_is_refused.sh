#!/usr/bin/env bash
# With the same state directory, with another one, under another name.
. "$(dirname "$0")/common.sh"

make_db app.db
ln app.db hard-link.db
start_replicate app.db --to backup
wait_until is_following backup
expect 4 replicate app.db --to backup --once
says "process"
expect 4 "$CAIRN" replicate app.db --to backup --once --state-dir elsewhere
expect 4 "$CAIRN" replicate hard-link.db --to backup --once --state-dir elsewhere
expect 0 replicate app.db --to another-backup --once  # another replica is another matter
stop_replicate
restores_to_state_of backup app.db
