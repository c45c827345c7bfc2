#!/usr/bin/env bash
# What docs/operations.md promises to programs.
. "$(dirname "$0")/common.sh"

make_db app.db
expect 0 replicate app.db --to backup --once --json
check() { python3 -c "
import json, sys
j = json.loads(open('$out').read())
$1" || fail "JSON is not what it should be: $(cat "$out")"; }
check 'assert j["settled"] is True and j["published_sequence"] == 0 and j["has_snapshot"] is True
assert j["phase"] == "following" and j["store_trouble"] is None and j["store"] is None and j["database"] == "app.db"'
add_rows app.db 3
expect 0 replicate app.db --to backup --once --json
check 'assert j["published_sequence"] == 1 and j["spool_segments"] == 0'
expect 0 "$CAIRN" history backup --json
check 'p = j["restore_points"]
assert [x["sequence"] for x in p] == [0, 1] and p[0]["snapshot"] and not p[1]["snapshot"]
assert p[1]["time"].endswith("Z") and p[1]["page_size"] == 4096 and len(p[1]["database_hash"]) == 16'
expect 0 "$CAIRN" list . --json
check 'assert [(r["path"], r["newest_sequence"], r["snapshot_count"], r["segment_count"]) for r in j["replicas"]] == [("backup", 1, 1, 1)]'
expect 0 "$CAIRN" verify backup --json
check 'assert j["ok"] is True and j["problems"] == [] and j["objects"] == 2'
expect 0 "$CAIRN" restore backup --dry-run --json
check 'assert [o["snapshot"] for o in j["objects"]] == [True, False] and j["restore_point"]["sequence"] == 1'
expect 0 "$CAIRN" restore backup -o restored.db --json
check 'import os
assert j["size_bytes"] == os.path.getsize("restored.db") and j["output"] == "restored.db"'
expect 0 "$CAIRN" version --json
check 'assert j["version"] and j["sqlite"] and j["format"] == 1'
expect 3 "$CAIRN" history nowhere --json
check 'assert j["error"]["kind"] == "not_found" and j["error"]["message"]'
expect 0 snapshot app.db --to backup --json
check 'assert j["snapshots_published"] == 1'
