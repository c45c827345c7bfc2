#!/usr/bin/env bash
# The upper directory of a real fuse-overlayfs mount, as rootless containers have it: restored and mounted again, the
# container sees what it saw. Owners and modes lie in the files themselves, or in attributes (xattr_permissions).
. "$(dirname "$0")/layer_common.sh"
needs_root
needs getfattr fuse-overlayfs fusermount3
[ -c /dev/fuse ] || skip 'there is no /dev/fuse'
let_go() { fusermount3 -u "$1"; }
tidy_more() { for at in merged again; do fusermount3 -u -z "$dir/$at" 2>/dev/null || true; done; }
mount_over() {  # mount_over <upper> <work> <place> [options]
  fuse-overlayfs -o "lowerdir=base,upperdir=$1,workdir=$2${4:+,$4}" "$3" >"$out" 2>"$err"
}
looks_the_same() {  # after a sync and a restore, which makes owners and modes real ones
  expect 0 sync_to "$store" upper --marks "$marks"
  rm -rf restored again-work
  mkdir -p again again-work
  expect 0 restore_to "$store" restored
  mount_over restored again-work again
  let_go merged  # it shows times of directories from before
  mount_over upper work merged "$options"
  same_tree merged again
  let_go again
}

for options in '' xattr_permissions=2; do
  store=store-${options%=*}
  # With owners in attributes the directory itself shows whose it is.
  marks=auto
  [ -n "$options" ] || marks=fuse-overlayfs
  rm -rf base upper work state
  mkdir -p base/etc base/usr/lib base/var/log upper work merged
  for name in etc/a etc/b etc/c usr/lib/one usr/lib/two var/log/x var/log/y; do
    echo "of the image: $name" >"base/$name"
  done
  mount_over upper work merged "$options" || skip "fuse-overlayfs is not to be had here: $(cat "$err")"
  echo new >merged/etc/new
  echo changed >>merged/etc/a
  rm merged/etc/b
  chmod 4751 merged/etc/new
  mkdir merged/etc/made
  chmod 2770 merged/etc/made
  chown 1234:5678 merged/etc/c merged/etc/new
  chown 11:22 merged/etc/made
  ln merged/etc/new merged/etc/made/same
  ln -s ../new merged/etc/made/link
  mkfifo merged/etc/made/pipe
  setfattr -n user.mine -v words merged/etc/new
  if [ -n "$options" ]; then
    getfattr -d -m override_stat upper/etc/new | grep -q '=' || fail 'the owner is in no attribute'
    [ "$(stat -c %u upper/etc/new)" != 1234 ] || fail 'the owner is in the file itself'
  fi
  looks_the_same
  [ "$(stat -c %u:%g restored/etc/new)" = 1234:5678 ] || fail "restored for $(stat -c %u:%g restored/etc/new)"
  rm -r merged/usr/lib && mkdir merged/usr/lib && echo fresh >merged/usr/lib/three   # opaque
  rm -r merged/var
  looks_the_same
  mkdir merged/var && echo back >merged/var/back    # opaque, where a whiteout was
  echo 'b is back' >merged/etc/b
  chown 7:8 merged/etc/a
  rm merged/etc/made/link
  looks_the_same
  expect 0 layer verify "$store"
  # What the container saw, without any mount.
  rm -rf flat
  expect 0 restore_to "$store" flat --as merged --lower base
  same_tree merged flat
  let_go merged
done
