#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
add_rows app.db 2000
once app.db --to backup
expect 0 "$CAIRN" restore backup -o copy.db
sql app.db "UPDATE t SET v = 'x' WHERE id = 1000"
once app.db --to backup
expect 0 "$CAIRN" restore backup -o copy.db --onto --json
state_of app.db state.db
cmp copy.db state.db
python3 -c '
import json, sys
result = json.load(open(sys.argv[1]))
assert result["reused_pages"] > result["restore_point"]["page_count"] / 2, result' "$out"
