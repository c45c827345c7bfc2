#!/usr/bin/env bash
# The disk that is full is this machine's: it is told as that, and what was there stays.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can make a small file system'
mkdir disk
tidy_more() { umount "$dir/disk" 2>/dev/null || true; }
mount -t tmpfs -o size=300k tmpfs disk 2>/dev/null || skip 'mounting is not allowed here'
make_db app.db
add_rows app.db 20000  # the snapshot is larger than what is fetched at once
once app.db --to backup
echo precious >disk/app.db
expect 1 "$CAIRN" restore backup -o disk/app.db --overwrite
says 'the disk is full'
[ "$(cat disk/app.db)" = precious ]
[ "$(ls -A disk)" = app.db ]  # and no temporary file is left
mount -o remount,size=20m disk
expect 0 "$CAIRN" restore backup -o disk/app.db --overwrite
state_of app.db state.db
cmp disk/app.db state.db
