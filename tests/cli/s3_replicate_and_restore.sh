#!/usr/bin/env bash
# Everything that works on a folder works on object storage.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
once app.db --to "$(s3 app.db)"
add_rows app.db 100
once app.db --to "$(s3 app.db)"
restores_to_state_of "$(s3 app.db)" app.db
restores_to_state_of "$(s3 app.db/)" app.db

expect 0 "$CAIRN" history "$(s3 app.db)" --json
python3 -c '
import json, sys
points = json.load(open(sys.argv[1]))["restore_points"]
assert [p["sequence"] for p in points] == [0, 1] and points[0]["snapshot"], points' "$out"
expect 0 "$CAIRN" restore "$(s3 app.db)" -o first.db --sequence 0
[ "$(count first.db)" = 3 ]
expect 0 "$CAIRN" verify "$(s3 app.db)" --deep
expect 0 "$CAIRN" list "$(s3 '')"
grep -q '^app.db ' "$out"
expect 0 snapshot app.db --to "$(s3 app.db)"
expect 0 "$CAIRN" restore "$(s3 app.db)" --dry-run --json
grep -q '"snapshot":true' "$out"
add_rows app.db 10
once app.db --to "$(s3 app.db)"
expect 0 "$CAIRN" restore "$(s3 app.db)" -o first.db --onto
state_of app.db state.db
cmp first.db state.db

expect 3 "$CAIRN" restore "$(s3 nothing)" -o x.db
expect 3 "$CAIRN" history "$(s3 '')"
says 'replicas lie below it: app.db'
no_secrets
