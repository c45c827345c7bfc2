#!/usr/bin/env bash
# No .db, blanks, percent signs, not ASCII, and what looks like a query.
. "$(dirname "$0")/common.sh"

for name in app 'my data' '100%25' 'däta.db' 'what?.db' 'a#b'; do
  make_db "$name"
  once "$name" --to "backup of $name"
  restores_to_state_of "backup of $name" "$name"
done
expect 0 replicate app 'my data' '100%25' 'däta.db' 'what?.db' 'a#b' --to "file://$dir/all" --once
"$CAIRN" list all --json | python3 -c '
import json, sys
assert {r["path"] for r in json.load(sys.stdin)["replicas"]} == {"app", "my data", "100%25", "däta.db", "what?.db", "a#b"}'
restores_to_state_of 'all/what?.db' 'what?.db'
