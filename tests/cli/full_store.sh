#!/usr/bin/env bash
# ENOSPC is said as such, loses nothing, and passes when there is room.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can make a small file system'
mkdir backup
tidy_more() { umount "$dir/backup" 2>/dev/null || true; }
mount -t tmpfs -o size=300k tmpfs backup 2>/dev/null || skip 'mounting is not allowed here'
make_db app.db
once app.db --to backup
add_rows app.db 4000  # random, so that no compression helps
expect 6 replicate app.db --to backup --once --timeout 300ms
says 'full'
expect 0 "$CAIRN" verify backup
expect 0 "$CAIRN" restore backup -o old.db
mount -o remount,size=20m backup
once app.db --to backup
restores_to_state_of backup app.db
