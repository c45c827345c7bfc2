#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can become somebody else'
command -v setpriv >/dev/null || skip 'setpriv is not installed'
make_db app.db
chmod 600 app.db
chmod 755 "$dir"
cp "$CAIRN" cairn-command && chmod 755 cairn-command
mkdir -m 777 state-of-nobody
setpriv --reuid=65534 --regid=65534 --clear-groups ./cairn-command version >/dev/null 2>&1 ||
  skip 'the command cannot be run as nobody here'
expect 1 setpriv --reuid=65534 --regid=65534 --clear-groups ./cairn-command replicate app.db --to backup \
  --state-dir state-of-nobody --once
says 'app.db'
