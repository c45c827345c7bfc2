#!/usr/bin/env bash
# The replicator is killed in the middle of a first snapshot of many parts; the next one goes on: it sends no part that was
# acknowledged, and leaves nothing over.
. "$(dirname "$0")/common.sh"

start_cluster
start_gate_before 2
make_db app.db
sql app.db "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80)
            INSERT INTO t (v) SELECT randomblob(1000000) FROM n; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
start_replicate app.db --to "$(s3 app 1)"
wait_until have_acknowledged 2
kill_replicate
[ -n "$(uploads)" ] || fail 'it was not killed in the middle of its upload'
acknowledged >before
: >gate.passed
open_gate
once app.db --to "$(s3 app 1)"
[ -s gate.passed ] || fail 'nothing was left to send'
[ -z "$(sort gate.passed | comm -12 - before)" ] || fail "sent again: $(sort gate.passed | comm -12 - before | xargs)"
restores_to_state_of "$(s3 app)" app.db
! grep -rqs '"number"' state || fail 'the journal of the upload is still there'
no_upload_is_left
expect 0 "$CAIRN" verify "$(s3 app)" --deep
