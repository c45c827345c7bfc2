#!/usr/bin/env bash
# What docs/operations.md promises to programs that work with layers.
. "$(dirname "$0")/layer_common.sh"

check() { python3 -c "
import json
j = json.loads(open('$out').read())
$1" || fail "JSON is not what it should be: $(cat "$out")"; }
mkdir tree
echo x >tree/file
expect 0 sync_to store tree --json
check 's = j["sync"]
assert j["container"] == "web" and j["directory"] == "tree" and j["store_url"].startswith("file://")
assert j["published"] is True and j["sent_bytes"] > 0 and j["store"] is None
assert s["sequence"] == 1 and s["full"] is True and len(s["digest"]) == 64 and s["entries"] == 2
assert s["time"].endswith("Z") and s["time_ms"] > 0 and s["torn_files"] == 0 and s["skipped_sockets"] == 0
assert s["size_bytes"] % 512 == 0 and 0 < s["compressed_size_bytes"] < s["size_bytes"]'
expect 0 sync_to store tree --json
check 'assert j["published"] is False and j["sync"] is None and j["sent_bytes"] == 0'
echo y >tree/file
expect 0 layer check tree --to store --name web --state-dir state --json
check 'assert j == {"container": "web", "directory": "tree", "changed": True}'
expect 0 layer list store --json
check 'c = j["containers"]
assert [(x["name"], x["syncs"], x["newest_sequence"]) for x in c] == [("web", 1, 1)] and c[0]["newest_time"].endswith("Z")
assert len(c[0]["lineage"]) == 32 and c[0]["compressed_size_bytes"] > 0'
expect 0 layer history store --name web --json
check 'assert j["container"] == "web" and [s["sequence"] for s in j["syncs"]] == [1]'
expect 0 layer verify store --json
check 'c = j["containers"][0]
assert j["ok"] is True and c["ok"] is True and c["name"] == "web" and c["layers"] == 1 and c["entries"] == 2
assert c["problems"] == [] and c["notes"] == []'
expect 0 layer prune store --dry-run --json
check 'assert j["dry_run"] is True and j["removed"] == [] and j["kept_objects"] == 2 and j["dropped_syncs"] == 0
assert j["aborted_uploads"] == 0 and j["removed_bytes"] == 0 and j["kept_bytes"] > 0'
expect 0 restore_to store restored --json
check 'assert j["output"] == "restored" and j["form"] == "upper" and j["layers"] == 1 and j["entries"] == 2
assert j["sync"]["sequence"] == 1 and j["requests"] > 0 and j["fetched_bytes"] > 0 and j["size_bytes"] > 0'
expect 3 layer history store --name nobody --json
check 'assert j["error"]["kind"] == "not_found" and "web" in j["error"]["message"]'
