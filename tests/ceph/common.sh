# What the scripts beside this one share: those of tests/cli, with a Ceph cluster for object storage.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../cli/common.sh"

cluster() { "$here/cluster" "$@"; }
reason=$(cluster ready) || skip "$reason"

tidy_more() { cluster down "$dir/ceph"; }

start_cluster() {  # start_cluster [object daemons [gateways]]: nothing of the user's own keys and settings is seen
  local name
  for name in $(compgen -e AWS_) http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY; do unset "$name"; done
  export HOME=$dir AWS_EC2_METADATA_DISABLED=true
  cluster up "$dir/ceph" "$@" >environment
  . ./environment
  read -r -a endpoints <<<"$CEPH_ENDPOINTS"
}
s3() { echo "s3://cairn-test/$1?endpoint=${endpoints[${2:-0}]}&create_bucket=true"; }  # s3 <prefix> [gateway]
