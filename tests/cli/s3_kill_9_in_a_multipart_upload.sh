#!/usr/bin/env bash
# Killed in the middle of a multipart upload: the next start sends only the parts that were not acknowledged, and leaves
# no upload behind. One part is in between: the store has it, but whoever sent it died before being told.
. "$(dirname "$0")/common.sh"

start_twin
start_gate "$endpoint" 3
through_gate=$(endpoint=$gate s3 app.db)
make_db app.db
sql app.db "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
            INSERT INTO t (v) SELECT randomblob(1000000) FROM n; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
control POST 'fail?operation=upload_part&fault=reset_after&count=1&skip=2'
start_replicate app.db --to "$through_gate"
three_came() { [ "$(requests upload_part)" = 3 ] && [ "$(requests fault.reset_after)" = 1 ] && have_acknowledged 2; }
wait_until three_came
kill_replicate
acknowledged >before
[ "$(wc -l <before)" = 2 ]
[ -n "$(control GET 'uploads?bucket=bucket')" ] || fail 'it was not killed in the middle of its upload'
cp gate.passed before.passed

: >gate.passed
open_gate
once app.db --to "$through_gate"
again=$(sort gate.passed | comm -12 - before | xargs)
[ -z "$again" ] || fail "sent again although acknowledged: $again"
sort -n before gate.passed >all
[ "$(wc -l <all)" -ge 5 ] || fail "too few parts: $(xargs <all)"
seq "$(wc -l <all)" | cmp - all || fail "not each part once: $(xargs <all)"
# Of all that were sent, only the one that was not acknowledged was sent twice.
cat before.passed gate.passed | sort | uniq -d >twice
[ "$(wc -l <twice)" = 1 ] || fail "sent twice: $(xargs <twice)"
left=$(control GET 'uploads?bucket=bucket')
[ -z "$left" ] || fail "an upload was left: $left"
! grep -rqs '"number"' state || fail 'the journal of the upload is still there'
restores_to_state_of "$(s3 app.db)" app.db
expect 0 "$CAIRN" verify "$(s3 app.db)" --deep
no_secrets
