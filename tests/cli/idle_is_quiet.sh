#!/usr/bin/env bash
# A database that nobody touches makes no change in the store, not even of a time stamp.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to backup
wait_until is_following backup
listing() { find backup -type f -printf '%p %s %T@ %C@\n' | sort; }
settled() { local a; a=$(listing); sleep 0.3; [ "$a" = "$(listing)" ]; }
wait_until settled
before=$(listing)
sleep 3  # longer than the slow look
[ "$before" = "$(listing)" ]
stop_replicate
