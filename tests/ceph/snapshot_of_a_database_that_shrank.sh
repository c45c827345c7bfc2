#!/usr/bin/env bash
# The replicator is killed in the middle of a first snapshot, and the database shrinks before it comes back: the upload has
# parts that the new snapshot does not, and Ceph takes no completion that leaves them out. That upload
# is aborted, not left behind.
. "$(dirname "$0")/common.sh"

start_cluster
start_gate_before 5
make_db app.db
sql app.db "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80)
            INSERT INTO t (v) SELECT randomblob(1000000) FROM n; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
start_replicate app.db --to "$(s3 app 1)"
wait_until have_acknowledged 5  # of ten; the new snapshot has three
kill_replicate
[ -n "$(uploads)" ] || fail 'it was not killed in the middle of its upload'
open_gate
sql app.db "DELETE FROM t WHERE id > 20; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
once app.db --to "$(s3 app 1)"
restores_to_state_of "$(s3 app)" app.db
! grep -rqs '"number"' state || fail 'the journal of the upload is still there'
no_upload_is_left
