#!/usr/bin/env bash
# The database is gone, the replica is not: a program must not begin an empty one by accident.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
rm -f app.db app.db-wal app.db-shm
expect 4 replicate app.db --to backup --exec 'touch was-started'
says 'cairn restore'
[ ! -e was-started ]
