#!/usr/bin/env bash
# What a store can do, found by trying.
. "$(dirname "$0")/common.sh"

start_twin
expect 0 "$CAIRN" store probe "$(s3 somewhere)"
grep -q 'create-only' "$out"
expect 0 "$CAIRN" store probe "$(s3 somewhere)" --json
python3 -c '
import json, sys
report = json.load(open(sys.argv[1]))
assert report["usable"] and report["store"] == "s3://bucket/somewhere" and report["verdict"], report
outcomes = {f["name"]: f["outcome"] for f in report["findings"]}
assert outcomes["create_only"] == "works", outcomes' "$out"
expect 3 "$CAIRN" list "$(s3 somewhere)"  # nothing is left behind

control POST 'dialect?name=nothing'
status=0
"$CAIRN" store probe "$(s3 somewhere)" >"$out" 2>"$err" || status=$?
[ "$status" = 2 ]
grep -q 'accept_single_writer' "$out"
expect 0 "$CAIRN" store probe "$(s3 somewhere accept_single_writer=true)"

AWS_SECRET_ACCESS_KEY=unsaid.other expect 6 "$CAIRN" store probe "$(s3 somewhere)"
expect 2 "$CAIRN" store probe "$dir"
says 'folder'
expect 0 "$CAIRN" store
grep -q 'AWS_ACCESS_KEY_ID' "$out"
expect 0 "$CAIRN" store --help
no_secrets
