#!/usr/bin/env bash
# More databases than there are threads that capture lie on a mount that stops answering: what is committed in another
# one is published all the same, status says which ones wait, and a stop takes no longer than it may. When the mount
# answers again they go on.
. "$(dirname "$0")/hanging_common.sh"
hung=$(($(nproc --all) + 1))
[ $hung -ge 3 ] || hung=3
[ $hung -le 20 ] || hung=20

printf '[defaults]\nstop_timeout = "2s"\nstate_dir = "%s/state"\ninterval = "10ms"\nto = "%s/store"\n' "$dir" "$dir" \
  >cairn.toml
names=(well.db)
for ((i = 1; i <= hung; i++)); do names+=("mount/dead$i.db"); done
for name in "${names[@]}"; do
  make_db "$name"
  printf '[[database]]\npath = "%s/%s"\n' "$dir" "$name" >>cairn.toml
done
start_configured
for name in "${names[@]}"; do wait_until "$CAIRN" sync "$name" --wait; done

# Whoever asks of one before anybody has noticed keeps nobody else waiting.
kill -STOP "$fuse_pid"
"$CAIRN" sync mount/dead1.db --wait --timeout 60s >/dev/null 2>&1 &
sync_pid=$!
pids+=("$sync_pid")
is_connected() { ls -l "/proc/$sync_pid/fd" | grep -q socket; }
wait_until is_connected
sleep 0.2
expect 0 timeout 20 "$CAIRN" status
expect 0 timeout 20 "$CAIRN" sync well.db --wait
waiting() { cat /proc/"$cairn_pid"/task/*/wchan 2>/dev/null | grep -o request_wait_answer | wc -l; }
all_hang() { [ "$(waiting)" -ge $hung ]; }
[ -r /proc/self/wchan ] || skip 'this kernel does not say where a thread waits'
wait_until all_hang
add_rows well.db 10
expect 0 "$CAIRN" sync well.db --wait
restores_to_state_of store/well.db well.db
told() {
  "$CAIRN" status --json | python3 -c '
import json, sys
all = {one["database"].rsplit("/", 1)[1]: one["database_trouble"] for one in json.load(sys.stdin)["databases"]}
well = all.pop("well.db")
sys.exit(well is not None or not all or any(not one or "has waited for" not in one["message"] for one in all.values()))'
}
wait_until told
[ "$(grep -c 'mount/dead.*has waited for' "$log")" = $hung ]

# It answers again.
kill -CONT "$fuse_pid"
add_rows mount/dead1.db 10
expect 0 "$CAIRN" sync mount/dead1.db --wait
wait_until grep -q 'it waits for its disk no more' "$log"
restores_to_state_of store/dead1.db mount/dead1.db

kill -STOP "$fuse_pid"
wait_until all_hang
add_rows well.db 10
status=0
kill -TERM "$cairn_pid"
wait_until grep -q 'is not answered by its store or disk, and let go of' "$log"
grep -q 'well.db: stopped, published up to' "$log"
restores_to_state_of store/well.db well.db
kill -CONT "$fuse_pid"  # the kernel lets go of a process when its last call has come back
status=0
wait "$cairn_pid" || status=$?
[ $status = 6 ]
