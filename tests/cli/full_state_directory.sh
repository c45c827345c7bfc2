#!/usr/bin/env bash
# The spool's disk is full: the database is none the worse, and nothing is lost.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can make a small file system'
mkdir state
tidy_more() { umount "$dir/state" 2>/dev/null || true; }
mount -t tmpfs -o size=200k tmpfs state 2>/dev/null || skip 'mounting is not allowed here'
make_db app.db
once app.db --to backup
add_rows app.db 4000
expect 1 replicate app.db --to backup --once --timeout 300ms
says 'full'
[ -z "$(find state -name partial)" ] || fail 'a segment that did not fit still fills the disk'
[ "$(sql app.db 'PRAGMA integrity_check')" = ok ]
# The same when all pages have to be compared, which begins anew, every second, each time that it fails.
sql app.db 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
expect 1 replicate app.db --to backup --once --timeout 3s
says 'full'
[ -z "$(find state -name partial)" ] || fail 'a difference that did not fit still fills the disk'
mount -o remount,size=20m state
once app.db --to backup
restores_to_state_of backup app.db
