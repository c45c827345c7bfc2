#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can make a file system read-only'
make_db app.db
once app.db --to backup
add_rows app.db 5
tidy_more() { umount "$dir/backup" 2>/dev/null || true; }
mount --bind backup backup 2>/dev/null && mount -o remount,ro,bind backup 2>/dev/null ||
  skip 'mounting is not allowed here'
expect 6 replicate app.db --to backup --once --timeout 300ms
says 'read-only'
expect 0 "$CAIRN" restore backup -o restored.db  # reading needs no writing
umount backup
once app.db --to backup
restores_to_state_of backup app.db
