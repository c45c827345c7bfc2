#!/usr/bin/env bash
# A store that is away when replication begins keeps nobody waiting: what is committed meanwhile is captured, commit by
# commit, and published when it is back.
. "$(dirname "$0")/common.sh"

start_twin --directory "$dir/bucket"
export AWS_MAX_ATTEMPTS=2  # a store that is away is to be found away soon
make_db app.db
once app.db --to "$(s3 app.db)"
url=$(s3 app.db)
port=${endpoint##*:}
stop_twin
expect 6 replicate app.db --to "$url" --timeout 100ms --exec "sqlite3 app.db 'INSERT INTO t (v) VALUES (4)'"
says 'started all the same'
[ "$(count app.db)" = 4 ]

start_replicate app.db --to "$url"
wait_until grep -q 'the store does not answer yet; what is committed is captured' "$log"
spooled() { [ "$(find state -name '*.wal.zst' | wc -l)" -ge "$1" ]; }
before=$(find state -name '*.wal.zst' | wc -l)
for more in 1 2 3; do
  add_rows app.db $((more * 2 - 1))
  wait_until spooled $((before + more))
done
add_rows app.db 1
start_twin --directory "$dir/bucket" --port "$port"
is_published() { "$CAIRN" restore "$url" -o now.db --overwrite >/dev/null 2>&1 && [ "$(count now.db)" = 14 ]; }
wait_until is_published
grep -q 'the store is well again' "$log" || grep -q 'attached to' "$log"
stop_replicate
for rows in 5 8 13; do  # 4, then 1, 3 and 5 more: each commit can be restored
  "$CAIRN" history "$url" --json | python3 -c '
import json, sys
print(*[point["sequence"] for point in json.load(sys.stdin)["restore_points"]], sep="\n")' >sequences
  found=no
  while read -r sequence; do
    "$CAIRN" restore "$url" --sequence "$sequence" -o then.db --overwrite >/dev/null
    [ "$(count then.db)" != $rows ] || found=yes
  done <sequences
  [ $found = yes ] || fail "no restore point has $rows rows"
done
restores_to_state_of "$url" app.db
no_secrets
