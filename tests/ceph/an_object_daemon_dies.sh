#!/usr/bin/env bash
# Three object daemons, two gateways: one daemon is killed while databases are replicated through both gateways. Nothing
# that was called published is missing, and every restore is exact, through either.
. "$(dirname "$0")/common.sh"

start_cluster 3 2
for ((k = 0; k < 2; k++)); do
  make_db "app$k.db"
  (while [ ! -e enough ]; do
     echo "INSERT INTO t (v) VALUES (hex(randomblob(300)));"
     sleep 0.005
   done | sqlite3 -batch -cmd '.timeout 30000' "app$k.db") >/dev/null 2>&1 &
  writers+=($!)
  pids+=($!)
  start_replicate "app$k.db" --to "$(s3 "app$k" "$k")" --interval 20ms
  replicators+=("$cairn_pid")
done
wait_until test "$(grep -c 'following it' "$log")" -ge 0
sleep 2
cluster kill "$dir/ceph" osd.1
sleep 3
touch enough
for pid in "${writers[@]}"; do wait "$pid"; done
for cairn_pid in "${replicators[@]}"; do stop_replicate; done
for ((k = 0; k < 2; k++)); do
  restores_to_state_of "$(s3 "app$k" $((1 - k)))" "app$k.db"
  expect 0 "$CAIRN" verify "$(s3 "app$k" "$k")" --deep
done
