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

# The second gateway is a gate before the first.
start_gate_before() { start_gate "${endpoints[0]}" "$1"; endpoints[1]=$gate; }
uploads() { python3 "$here/uploads.py" "${endpoints[0]}" cairn-test; }  # those in the bucket that nobody has ended
no_upload_is_left() {
  local left
  left=$(uploads)
  [ -z "$left" ] || fail "an upload was left: $left"
}
