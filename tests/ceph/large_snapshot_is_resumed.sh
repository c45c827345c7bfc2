#!/usr/bin/env bash
# The replicator is killed in the middle of a first snapshot of many parts; the next one goes on, and leaves nothing over.
. "$(dirname "$0")/common.sh"

start_cluster
make_db app.db
sql app.db "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80)
            INSERT INTO t (v) SELECT randomblob(1000000) FROM n; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
start_replicate app.db --to "$(s3 app)"
wait_until grep -rqs '"number":2' state
kill -9 "$cairn_pid"
wait "$cairn_pid" 2>/dev/null || true
once app.db --to "$(s3 app)"
restores_to_state_of "$(s3 app)" app.db
! grep -rqs '"number"' state || fail 'the journal of the upload is still there'
expect 0 "$CAIRN" verify "$(s3 app)" --deep
