#!/usr/bin/env bash
# Nothing local proves that the database continues the replica: a person decides.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
rm -rf state
once app.db --to backup  # equal: goes on
cp -r backup before
rm -rf state
sql app.db "UPDATE t SET v = 'changed'"
expect 4 replicate app.db --to backup --once
says '--adopt local'
says '--adopt remote'
expect 4 replicate app.db --to backup --once  # and not only the first time
diff -r before/snapshots backup/snapshots
expect 4 snapshot app.db --to backup

expect 0 replicate app.db --to backup --once --adopt local
restores_to_state_of backup app.db
expect 0 "$CAIRN" restore backup -o old.db --sequence 0  # the older state stays restorable
[ "$(sql old.db "SELECT count(*) FROM t WHERE v = 'changed'")" = 0 ]
