#!/usr/bin/env bash
# Without CAP_SYS_ADMIN, which docker takes from root, the kernel hides overlayfs' marks: a directory that may have some
# is refused, and one that the user vouches for is not. Whoever is no root at all syncs what is theirs as ever.
. "$(dirname "$0")/layer_common.sh"
needs_root
needs setpriv unshare setfattr getfattr
grep -q '^CapEff:.*[2367abef].....$' /proc/self/status ||
  skip 'root has no CAP_SYS_ADMIN here, so it cannot be taken away'

chmod 755 "$dir"
mkdir -p upper/d base/x
echo new >upper/d/file
setfattr -n trusted.overlay.opaque -v y upper/d
as_docker() { setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$@"; }
as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
to() { printf -- '--to\n%s\n--name\nweb\n--state-dir\n%s\n' "$1" "$dir/state-$(basename "$1")"; }  # to <store>
mapfile -t there < <(to "$dir/store")
is_refused() {  # is_refused <command>...
  expect 2 "$@"
  says 'trusted.* attributes: which names are deleted or replaced'
  says '--cap-add SYS_ADMIN'
  says '--accept-hidden-attributes'
}

# Refused, whatever looks at it, and nothing is stored.
for command in sync check watch; do is_refused as_docker "$CAIRN" layer $command upper "${there[@]}"; done
printf '[defaults]\nstate_dir = "%s/state"\n[[layer]]\nname = "web"\ndirectory = "%s/upper"\nto = "%s/store"\n' \
  "$dir" "$dir" "$dir" >cairn.toml
setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$CAIRN" replicate --config cairn.toml >>"$log" 2>&1 &
pids+=($!)
wait_until grep -q 'web.*--accept-hidden-attributes' "$log"
kill -TERM $!
wait $! || [ $? = 2 ] || fail "it ended with another status"
[ ! -e store/containers ]

# With the right the mark is there; a restore without it says so.
expect 0 layer sync upper "${there[@]}"
expect 0 restore_to store restored
same_tree upper restored
getfattr -n trusted.overlay.opaque restored/d >/dev/null 2>&1
expect 1 as_docker "$CAIRN" layer restore store --name web -o other --state-dir other-state
says 'trusted.overlay.opaque of '"'d'"' cannot be restored'
says '--cap-add SYS_ADMIN'
[ ! -e other ]
is_refused as_docker "$CAIRN" layer restore store --name web -o other --state-dir other-state --as merged --lower base

# A directory that no mount wrote to, by the user's word.
mkdir -p plain
echo x >plain/file
mapfile -t elsewhere < <(to "$dir/plain-store")
is_refused as_docker "$CAIRN" layer sync plain "${elsewhere[@]}"
expect 0 as_docker "$CAIRN" layer sync plain "${elsewhere[@]}" --accept-hidden-attributes
expect 0 restore_to plain-store plain-restored
same_tree plain plain-restored

# A user's own, also in a namespace of theirs; root's is refused there as well.
mkdir own own-store own-state
echo x >own/file
chown -R 65534:65534 own own-store own-state
mine() { as_user "$@" "$CAIRN" layer sync own --to own-store --name web --state-dir own-state; }
expect 0 mine
echo y >>own/file
if as_user unshare -Ur true 2>/dev/null; then
  expect 0 mine unshare -Ur
  grep -q 'sync 2' "$out"
  is_refused unshare -Ur "$CAIRN" layer sync upper --to store-2 --name web --state-dir state-2
else
  echo 'no user namespaces here: not tried inside one'
fi

# Without /proc nobody can tell.
if unshare -m true 2>/dev/null; then
  bare() { unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' - "$@"; }
  expect 2 bare "$CAIRN" layer sync upper --to store-3 --name web --state-dir state-3
  says '/proc is not mounted here'
  expect 2 bare "$CAIRN" layer restore store --name web -o other --state-dir state-3
  says '/proc is not mounted here'
  [ ! -e other ]
else
  echo 'no mounts here: not tried without /proc'
fi
