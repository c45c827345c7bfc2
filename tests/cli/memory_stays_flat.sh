#!/usr/bin/env bash
# Neither a database of more than 64 MiB nor one such transaction makes the process larger than that, nor its restore.
. "$(dirname "$0")/common.sh"

! grep -qE '__(asan|tsan)_init' "$CAIRN" || skip 'a sanitizer needs memory of its own'
peak_mib() { awk '/^VmHWM/ {print int($2 / 1024)}' "/proc/$cairn_pid/status"; }
stays_below_64() { [ "$1" -lt 64 ] || fail "$2: $1 MiB resident"; }
add_96_mib() {  # of what no compression makes smaller, in one transaction
  sql app.db "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 96)
              INSERT INTO t (v) SELECT randomblob(1048576) FROM n"
}

make_db app.db
add_96_mib
start_replicate app.db --to backup --interval 20ms
wait_until is_following backup
stays_below_64 "$(peak_mib)" 'the first snapshot'
add_96_mib
has_large_segment() { [ -n "$(find backup/wal -name "*.wal.zst" -size +90M 2>/dev/null)" ]; }
wait_until has_large_segment
stays_below_64 "$(peak_mib)" 'one transaction'
stop_replicate
stays_below_64 "$(python3 - "$CAIRN" restore backup -o restored.db <<'END'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
END
)" 'the restore'
state_of app.db state.db
cmp restored.db state.db
