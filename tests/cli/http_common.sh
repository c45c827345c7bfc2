# What the scripts beside this one share that ask the daemon over HTTP.
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/common.sh"

told_url() { sed -n 's|.* \(http://[^ ]*\)/ tells how it is going.*|\1|p' "$log" | tail -n 1; }
wait_for_http() {  # its URL is $url
  wait_until told
  url=$(told_url)
}
told() { [ -n "$(told_url)" ]; }
# Without proxies that a machine may have; an answer that is an error is printed, and fails.
fetch() {  # fetch <path> [header]...
  python3 - "$url/$1" "${@:2}" <<'END'
import sys, urllib.error, urllib.request
headers = dict(header.split(": ", 1) for header in sys.argv[2:])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    sys.stdout.buffer.write(opener.open(urllib.request.Request(sys.argv[1], headers=headers), timeout=60).read())
except urllib.error.HTTPError as error:
    sys.stdout.buffer.write(error.read())
    sys.exit(error.code - 400 if 400 <= error.code < 500 else 103)
END
}
ready() { fetch readyz; }
metric() {  # metric <series>: its value
  fetch metrics | awk -v series="$1 " 'index($0, series) == 1 { print $NF; found = 1 } END { exit !found }'
}
