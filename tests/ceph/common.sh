# What the scripts beside this one share: those of tests/cli, with a Ceph cluster for object storage; or, by hand, with
# another engine that is started in the same way (see tests/engines/run): CAIRN_TEST_ENGINE is the program that does it,
# CAIRN_TEST_S3_OPTIONS what its URLs need more.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../cli/common.sh"

cluster() { "${CAIRN_TEST_ENGINE:-$here/cluster}" "$@"; }
reason=$(cluster ready) || skip "$reason"

tidy_more() { cluster down "$dir/ceph"; }

start_cluster() {  # start_cluster [object daemons [gateways]]: nothing of the user's own keys and settings is seen
  local name
  for name in $(compgen -e AWS_ || true) http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY; do unset "$name"; done
  export HOME=$dir AWS_EC2_METADATA_DISABLED=true
  cluster up "$dir/ceph" "$@" >environment || { [ $? = 77 ] && skip "this engine has one of everything"; exit 1; }
  . ./environment
  read -r -a endpoints <<<"$S3_ENDPOINTS"
}
s3() {  # s3 <prefix> [gateway]
  echo "s3://cairn-test/$1?endpoint=${endpoints[${2:-0}]}&create_bucket=true${CAIRN_TEST_S3_OPTIONS:-}"
}

# The second gateway is a gate before the first: it lets so many parts of uploads through and holds the others until it is
# opened, so that a replicator is in the middle of an upload when it is killed, however fast or slow the machine.
start_gate() {  # start_gate <parts>: the numbers of those that went through are in gate.passed
  python3 "$here/gate.py" "${endpoints[0]}" "$1" "$dir/gate.port" "$dir/gate.open" >>gate.passed &
  pids+=($!)
  wait_until test -s gate.port
  endpoints[1]=http://127.0.0.1:$(cat gate.port)
}
open_gate() { : >gate.open; }
acknowledged() { grep -rhos '"number":[0-9]*' state | grep -o '[0-9]*' | sort; }  # the parts, as the journal has them
have_acknowledged() { [ "$(acknowledged | wc -l)" = "$1" ]; }
kill_replicate() {
  kill -9 "$cairn_pid"
  wait "$cairn_pid" 2>/dev/null || true
}
