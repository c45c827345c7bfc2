# What the scripts beside this one share. Each shows one behaviour of the command in $CAIRN, in a folder of its own that
# is removed afterwards. Nothing is timed: what has to happen is waited for, with a deadline far beyond any need.
set -Eeuo pipefail
: "${CAIRN:?is the command to test}"

# Debian's own tools: what a version manager puts before python3 takes ten times as long to start.
PATH=/usr/bin:/bin:$PATH
for tool in sqlite3 zstd python3; do
  command -v "$tool" >/dev/null || { echo "tests/cli needs $tool" >&2; exit 1; }
done

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/cairn-cli.XXXXXX")
cd "$dir"
out=$dir/out err=$dir/err log=$dir/log
export CAIRN_CONTROL=$dir/cairn.sock  # nobody else's
pids=()

clean_up() {
  local status=$?
  for pid in "${pids[@]:-}"; do [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ $status -ne 0 ] && [ $status -ne 77 ]; then
    for file in "$out" "$err" "$log"; do
      [ ! -s "$file" ] || { echo "--- $(basename "$file")"; tail -n 20 "$file"; } >&2
    done
  fi
  cd /
  tidy_more
  rm -rf "$dir"
}
tidy_more() { :; }  # a script that mounts something takes it down here
trap clean_up EXIT
trap 'echo "$(basename "$0"):$LINENO: failed: $BASH_COMMAND" >&2' ERR

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

skip() {  # in the words of the test programs, so that ./check lists it with its reason
  echo "$(basename "$0"): Skipped"
  echo "$*"
  echo "[  SKIPPED ] cli.$(basename "$0" .sh) (0 ms)"
  exit 77
}

# Commands of Cairn with local state in this test's own folder.
replicate() { "$CAIRN" replicate --state-dir "$dir/state" "$@"; }
snapshot() { "$CAIRN" snapshot --state-dir "$dir/state" "$@"; }
# Nothing is merged, so that which objects there are does not hang on when ten seconds are full.
once() { replicate --once --timeout 60s --levels none "$@" >"$out" 2>"$err"; }

expect() {  # expect <exit status> <command>...: what it prints is in $out and $err
  local wanted=$1 got=0
  shift
  "$@" >"$out" 2>"$err" || got=$?
  [ "$got" = "$wanted" ] || fail "exit status $got instead of $wanted: $*"
  # A failure is one sentence.
  [ "$wanted" = 0 ] || [ "$(grep -c '^cairn: ' "$err")" = 1 ] || fail "not one sentence on standard error: $*"
  ! grep -qaF unsaid "$out" "$err" || fail "it prints a secret: $*"
}
says() { grep -qF -- "$1" "$err" || fail "standard error does not say '$1'"; }

# SQLite, waiting for locks.
sql() { sqlite3 -batch -cmd '.timeout 30000' "$@"; }
make_db() {  # make_db <file>: in WAL mode, some rows
  sql "$1" "PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, v);
            INSERT INTO t (v) VALUES ('one'), ('two'), ('three')" >/dev/null
}
add_rows() {  # add_rows <file> <count>
  sql "$1" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
            INSERT INTO t (v) SELECT hex(randomblob(200)) FROM n"
}
count() { sql -readonly "$1" 'SELECT count(*) FROM t'; }

# The committed state of a database that nobody writes to, as the bytes of one file.
state_of() {  # state_of <database> <file>
  rm -f "$2" "$2-wal" "$2-shm"
  cp "$1" "$2"
  [ ! -e "$1-wal" ] || cp "$1-wal" "$2-wal"
  sql "$2" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
  rm -f "$2-wal" "$2-shm"
}
restores_to_state_of() {  # restores_to_state_of <replica> <database>: byte for byte
  rm -f restored.db
  expect 0 "$CAIRN" restore "$1" -o restored.db
  state_of "$2" state.db
  cmp restored.db state.db
}
first_object() { find "$1" -name "$2" | sort | head -n 1; }
newest_sequence() { "$CAIRN" history "$1" --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["restore_points"][-1]["sequence"])'; }

wait_until() {  # wait_until <command>...: until it succeeds
  for ((i = 0; i < 1200; i++)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.05
  done
  fail "did not come true: $*"
}
start_replicate() {  # in the background; its process is $cairn_pid
  "$CAIRN" replicate --state-dir "$dir/state" "$@" >>"$log" 2>&1 &
  cairn_pid=$!
  pids+=("$cairn_pid")
}
start_configured() {  # the same with cairn.toml
  "$CAIRN" replicate --config "$dir/cairn.toml" "$@" >>"$log" 2>&1 &
  cairn_pid=$!
  pids+=("$cairn_pid")
}
stop_replicate() {  # stop_replicate [signal]: tidily
  local status=0
  kill "-${1:-TERM}" "$cairn_pid"
  wait "$cairn_pid" || status=$?
  [ $status = 0 ] || fail "cairn replicate ended with status $status"
}
is_following() { grep -q 'following it' "$log" && [ -n "$(find "$1" -name '*.sqlite.zst')" ]; }

# Object storage: the S3 twin, a server on loopback. Nothing of the user's own keys and settings is seen by these tests.
key_id=twin-key-id secret_key='unsaid/SECRET+key=' session_token='unsaid.TOKEN+/='
twins=0
start_twin() {  # start_twin [option]...: its URL is $endpoint
  [ -x "${S3_TWIN:-}" ] || skip 's3_twin, the S3 server of these tests, is not built'
  for name in $(compgen -e AWS_ || true) http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY; do unset "$name"; done
  export HOME=$dir AWS_EC2_METADATA_DISABLED=true AWS_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=$key_id AWS_SECRET_ACCESS_KEY=$secret_key
  local port_file=$dir/port.$((++twins))
  "$S3_TWIN" --port-file "$port_file" --access-key "$key_id" --secret-key "$secret_key" "$@" >"$dir/twin.log" 2>&1 &
  twin_pid=$!
  pids+=("$twin_pid")
  wait_until test -s "$port_file"
  local scheme=http
  case " $* " in *' --tls '*) scheme=https ;; esac
  endpoint=$scheme://127.0.0.1:$(cat "$port_file")
}
stop_twin() { kill "$twin_pid"; wait "$twin_pid" || true; }
s3() { echo "s3://bucket/$1?endpoint=$endpoint${2:+&$2}"; }  # s3 <prefix> [options]: a URL
control() {  # control <method> <request>: of the twin itself, see tests/twin/control.h
  python3 - "$1" "$endpoint/-twin/$2" <<'END'
import sys, urllib.request
print(urllib.request.urlopen(urllib.request.Request(sys.argv[2], method=sys.argv[1])).read().decode(), end="")
END
}
counts() { control GET counts | grep -vE '^(connections|bytes_)'; }  # of which asking makes some too
requests() { counts | awk -v name="$1" '$1 == name { print $2; found = 1 } END { if (!found) print 0 }'; }

# A gate before an S3 server: it lets so many parts of uploads through and holds the others until it is opened, so that a
# replicator is in the middle of an upload when it is killed, however fast or slow the machine.
start_gate() {  # start_gate <endpoint> <parts>: its URL is $gate; numbers of parts that went through are in gate.passed
  python3 "$scripts/gate.py" "$1" "$2" "$dir/gate.port" "$dir/gate.open" >>gate.passed &
  pids+=($!)
  wait_until test -s gate.port
  gate=http://127.0.0.1:$(cat gate.port)
}
open_gate() { : >gate.open; }
acknowledged() { grep -rhos '"number":[0-9]*' state | grep -o '[0-9]*' | sort; }  # the parts, as the journal has them
have_acknowledged() { [ "$(acknowledged | wc -l)" = "$1" ]; }
kill_replicate() {
  kill -9 "$cairn_pid"
  wait "$cairn_pid" 2>/dev/null || true
}

# Whatever was printed, logged or kept: no secret is in it. Each secret of these tests has "unsaid" in it.
no_secrets() {  # no_secrets [file]...: but for these, in which the script itself has put one
  local found
  found=$(grep -rlaFs --exclude-dir=.aws "${@/#/--exclude=}" -e unsaid "$dir" || true)
  [ -z "$found" ] || fail "a secret is in $(xargs -d '\n' -n 1 basename <<<"$found" | xargs)"
}
