#!/usr/bin/env bash
# Another user is refused by the control socket's own mode, whatever the folders allow.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can become somebody else'
command -v setpriv >/dev/null || skip 'setpriv is not installed'

connect_as_another() {
  setpriv --reuid=65534 --regid=65534 --clear-groups \
    env PATH=/usr/bin:/bin python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' \
    "$dir/cairn.sock" 2>"$err"
}

make_db a.db
cat >cairn.toml <<END
[defaults]
to = "$dir/backup"
state_dir = "$dir/state"
[[database]]
path = "$dir/a.db"
END
start_configured
wait_until "$CAIRN" status
chmod 755 "$dir"
! connect_as_another
grep -q 'PermissionError' "$err"
chmod 666 cairn.sock  # so it was the mode
connect_as_another
