#!/usr/bin/env bash
# Forty databases that sleep in one daemon have as many descriptors and threads as two.
. "$(dirname "$0")/common.sh"

mkdir in
make_db first.db
for i in 1 2; do cp first.db in/$i.db; done
cat >cairn.toml <<END
[defaults]
state_dir = "$dir/state"
sleep_after = "1ms"
[[database]]
directory = "$dir/in"
to = "$dir/backup"
END
all_sleep() {  # all_sleep <how many>
  "$CAIRN" status --json >"$out" 2>"$err" && python3 -c '
import json, sys
databases = json.load(open(sys.argv[1]))["databases"]
sys.exit(len(databases) != int(sys.argv[2]) or not all(one["asleep"] for one in databases))' "$out" "$1"
}
descriptors() { ls "/proc/$cairn_pid/fd" | wc -l; }
threads() { ls "/proc/$cairn_pid/task" | wc -l; }
are() { [ "$(descriptors) $(threads)" = "$1" ]; }

start_configured
wait_until all_sleep 2
# Who has just asked at the control socket is hung up on a moment later.
least() { for ((i = 0; i < 20; i++)); do descriptors; sleep 0.01; done | sort -n | head -n 1; }
with_two="$(least) $(threads)"
for ((i = 3; i <= 40; i++)); do cp first.db in/$i.db; done
wait_until all_sleep 40
wait_until are "$with_two"
stop_replicate
