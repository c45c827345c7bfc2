#!/usr/bin/env bash
# Killed while the first snapshot is being read and sent, again and again: the replica becomes whole all the same.
. "$(dirname "$0")/common.sh"

make_db app.db
sql app.db "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
            INSERT INTO t (v) SELECT randomblob(1000000) FROM n; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
has_begun() { compgen -G 'backup/.cairn-uploads/*/claim-*' >/dev/null; }  # the first of its parts is being written
is_there() { compgen -G 'backup/snapshots/*.sqlite.zst' >/dev/null; }
in_the_middle=0
for ((round = 0; round < 100 && in_the_middle < 3; round++)); do
  ! is_there || rm -rf backup state  # the kill came too late: from the start
  start_replicate app.db --to backup
  until has_begun || is_there; do
    kill -0 "$cairn_pid" || fail 'it ended by itself'
    sleep 0.002
  done
  sleep 0.0$((RANDOM % 5))
  kill_replicate
  if has_begun && ! is_there; then in_the_middle=$((in_the_middle + 1)); fi
done
[ $in_the_middle -ge 1 ] || fail 'no kill fell between the beginning and the end of a snapshot'
once app.db --to backup
restores_to_state_of backup app.db
expect 0 "$CAIRN" verify backup
! has_begun || fail 'an upload was left'
