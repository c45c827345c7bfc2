#!/usr/bin/env bash
# While the store cannot be written to, the first signal goes on trying; the second does not.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can make a file system read-only'
make_db app.db
once app.db --to backup
add_rows app.db 5
tidy_more() { umount "$dir/backup" 2>/dev/null || true; }
mount --bind backup backup 2>/dev/null && mount -o remount,ro,bind backup 2>/dev/null ||
  skip 'mounting is not allowed here'
start_replicate app.db --to backup --timeout 10h
wait_until grep -q 'read-only' "$log"
kill -TERM "$cairn_pid"
wait_until grep -q 'another signal' "$log"
kill -TERM "$cairn_pid"
status=0
wait "$cairn_pid" || status=$?
[ $status = 143 ]
umount backup
once app.db --to backup
restores_to_state_of backup app.db
