#!/usr/bin/env bash
# On object storage, while a replicator publishes and a second compactor merges: nothing is lost. Without the right to
# delete everything is merged, and it says what was left.
. "$(dirname "$0")/common.sh"

start_twin
url=$(s3 app.db)
make_db app.db
start_replicate app.db --to "$url" --interval 10ms
published() { "$CAIRN" list "$url" --json | python3 -c '
import json, sys
sys.exit(json.load(sys.stdin)["replicas"][0]["newest_sequence"] < int(sys.argv[1]))' "$1"; }
wait_until "$CAIRN" restore "$url" --dry-run
grow() {  # grow <number of publishes>: at least
  local from n
  from=$(newest_sequence "$url")
  for ((n = 1; n <= $1; n++)); do
    add_rows app.db 2
    wait_until published $((from + n))
  done
}
compact() { "$CAIRN" compact "$url" --fan 4 --catalogue "$dir/catalogue.$1" "${@:2}"; }
grow 6
for round in 1 2; do  # without a grace only one of them may remove
  compact a --grace 0 >out.a 2>err.a &
  first=$!
  pids+=("$first")
  expect 0 compact b --keep-sources --strategy logarithmic
  grow 3
  wait $first
  expect 0 "$CAIRN" verify "$url"
done
stop_replicate
restores_to_state_of "$url" app.db
for n in $(seq 0 "$(newest_sequence "$url")"); do
  expect 0 "$CAIRN" restore "$url" -o old.db --overwrite --sequence "$n"
done

control POST 'denied?operations=writes'
expect 0 compact c --dry-run
expect 6 compact c --grace 0
control POST 'denied'
expect 0 compact c --grace 0
expect 0 "$CAIRN" verify "$url"
restores_to_state_of "$url" app.db
no_secrets
