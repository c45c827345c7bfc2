#!/usr/bin/env bash
# A store that cannot be written to keeps no program from running; what could not be published is said at the end.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can make a file system read-only'
make_db app.db
mkdir backup
tidy_more() { umount "$dir/backup" 2>/dev/null || true; }
mount --bind backup backup 2>/dev/null && mount -o remount,ro,bind backup 2>/dev/null ||
  skip 'mounting is not allowed here'
expect 6 replicate app.db --to backup --timeout 300ms --exec "sqlite3 app.db 'INSERT INTO t (v) VALUES (4)'"
[ "$(count app.db)" = 4 ]
says 'started all the same'
says 'read-only'
expect 3 replicate app.db --to backup --timeout 300ms --exec 'exit 3'  # the program's own status comes first
umount backup
once app.db --to backup
restores_to_state_of backup app.db
