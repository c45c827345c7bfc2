#!/usr/bin/env bash
# With [http] the daemon tells how it is doing: lag while the store is away, 0 when all is published, what was asked of
# the store. It stands garbage, and a reload moves and closes the port.
. "$(dirname "$0")/http_common.sh"

start_twin
make_db app.db
write_config() {  # write_config <[http] section>
  printf '[defaults]\nstate_dir = "%s/state"\ninterval = "50ms"\nprices = "write=1"\n%s\n' "$dir" "$1" >cairn.toml
  printf '[[database]]\npath = "%s/app.db"\nto = "%s"\n' "$dir" "$(s3 app.db)" >>cairn.toml
}
write_config $'[http]\nlisten = "127.0.0.1:0"'
start_configured
wait_for_http
wait_until ready
[ "$(fetch healthz)" = alive ]
fetch '' >page.html
grep -q '<title>Cairn</title>' page.html
settled() { [ "$(metric 'cairn_max_lag_seconds')" = 0 ]; }
wait_until settled

# As a commit is published it is counted; the store was asked for it, and that has a price.
add_rows app.db 5
published() { [ "$(metric cairn_published_segments_total)" -ge "$1" ]; }
wait_until published 1
wait_until settled
# The size of the WAL is looked at once a second, and the time line is told of a publish behind it.
tells_of_it() {
  fetch status.json >status.json
  python3 - "$dir/app.db" <<'END'
import json, sys
status = json.load(open("status.json"))
one = status["databases"][0]
assert one["database"] == sys.argv[1] and one["state"] == "following" and one["phase"] == "following", one
assert one["lag_ms"] == 0 and one["lag_commits"] == 0 and one["wal_bytes"] > 0 and one["published_sequence"] >= 1, one
assert one["requests"]["write"] > 0 and abs(one["cost_usd"] - one["requests"]["write"] / 1000) < 1e-9, one
slots = one["restore_points"]["slots"]
assert sum(slot[1] for slot in slots) == one["published_segments"] and sum(slot[2] for slot in slots) == 1, slots
assert status["sums"]["stores"][0]["requests"]["write"] == one["requests"]["write"], status
assert status["not_ready"] == [] and status["layers"] == [], status
END
}
wait_until tells_of_it
# Asking costs no request.
before=$(metric 'cairn_store_requests_total{store="s3://bucket?endpoint='"$endpoint"'",kind="read"}')
for path in '' metrics status.json healthz readyz; do fetch "$path" >"$out"; done
[ "$(metric 'cairn_store_requests_total{store="s3://bucket?endpoint='"$endpoint"'",kind="read"}')" = "$before" ]

# The store goes away: the age of what it does not have.
stop_twin
add_rows app.db 5
lags() { ! settled && [ "$(metric cairn_lag_commits)" -ge 1 ]; }
wait_until lags
in_trouble() { [ "$(metric 'cairn_databases{state="in_trouble"}')" = 1 ]; }
wait_until in_trouble
fetch status.json | grep -q '"what":"store"'
ready  # it is followed all the same

# Strangers' names, and garbage.
! fetch status.json 'Host: evil.example' >"$out" || fail 'answered to a name of a stranger'
grep -q 'not known by that name' "$out"
python3 - "$url" <<'END'
import os, socket, sys
host, port = sys.argv[1].removeprefix("http://").split(":")
held = []
for i in range(300):
    sock = socket.create_connection((host, int(port)), timeout=60)
    try:
        sock.sendall([b"", os.urandom(3000), b"GET / HTTP/1.1\r\nHost: x", b"A" * 50000, b"\r\n" * 100][i % 5])
    except OSError:
        pass  # hung up on
    held.append(sock)
END
[ "$(fetch healthz)" = alive ]

# A reload: another port, none, and a port that is taken.
old=$url
write_config $'[http]\nlisten = "[::1]:0"'
[ -e /proc/net/if_inet6 ] && grep -q '^0*1 ' /proc/net/if_inet6 || write_config $'[http]\nlisten = "127.0.0.2:0"'
kill -HUP "$cairn_pid"
moved() { [ "$(told_url)" != "$old" ] && told; }
wait_until moved
url=$(told_url)
wait_until ready
(url=$old && ! fetch healthz >"$out" 2>&1) || fail 'the old port still answers'
taken=${url##*:}
write_config ''
kill -HUP "$cairn_pid"
closed() { ! fetch healthz; }
wait_until closed
python3 -c "
import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $taken)); s.listen(); open('bound', 'w').write('1'); time.sleep(600)" &
pids+=($!)
wait_until test -s bound
write_config "$(printf '[http]\nlisten = "127.0.0.1:%s"' "$taken")"
kill -HUP "$cairn_pid"
wait_until grep -q "cannot listen on 127.0.0.1:$taken" "$log"
kill -0 "$cairn_pid"
[ "$(grep -c 'cannot listen' "$log")" = 1 ]
no_secrets
