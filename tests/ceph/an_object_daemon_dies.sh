#!/usr/bin/env bash
# Three object daemons, two gateways: one daemon is killed while databases are replicated through both gateways. Nothing
# that was called published is missing, and every restore is exact, through either.
. "$(dirname "$0")/common.sh"

start_cluster 3 2
for ((k = 0; k < 2; k++)); do
  make_db "app$k.db"
  sqlite3 -batch -cmd '.timeout 30000' "app$k.db" >/dev/null 2>&1 < <(
    while [ ! -e enough ]; do
      echo "INSERT INTO t (v) VALUES (hex(randomblob(300)));"
      sleep 0.005
    done) &
  writers+=($!)
  pids+=($!)
  start_replicate "app$k.db" --to "$(s3 "app$k" "$k")" --interval 20ms
  replicators+=("$cairn_pid")
done
both_follow() { [ "$(grep -c 'following it' "$log")" -ge 2 ]; }
wait_until both_follow
sleep 1
cluster kill "$dir/ceph" osd.1
sleep 3
touch enough
for pid in "${writers[@]}"; do wait "$pid"; done
for cairn_pid in "${replicators[@]}"; do stop_replicate; done
for ((k = 0; k < 2; k++)); do
  restores_to_state_of "$(s3 "app$k" $((1 - k)))" "app$k.db"
  expect 0 "$CAIRN" verify "$(s3 "app$k" "$k")" --deep
done
