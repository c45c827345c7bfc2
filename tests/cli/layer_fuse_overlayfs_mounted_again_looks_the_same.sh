#!/usr/bin/env bash
# The upper directory of a real fuse-overlayfs mount, as rootless containers have it: restored and mounted again, the
# container sees what it saw. Owners and modes lie in the files themselves, or in attributes (xattr_permissions), and
# are restored to where they lay, so that whoever can give nothing away can restore them, too.
. "$(dirname "$0")/layer_common.sh"
needs_root
needs getfattr fuse-overlayfs fusermount3
[ -c /dev/fuse ] || skip 'there is no /dev/fuse'
let_go() { fusermount3 -u "$1"; }
tidy_more() { for at in merged again; do fusermount3 -u -z "$dir/$at" 2>/dev/null || true; done; }
mount_over() {  # mount_over <upper> <work> <place> [options]
  fuse-overlayfs -o "lowerdir=base,upperdir=$1,workdir=$2${4:+,$4}" "$3" >"$out" 2>"$err"
}
marks_of() (  # everything that lies in the directory, but for times of marks, and what is bound to the host
  cd "$1"
  find . -printf '%p %y %m %U:%G %l\n' | grep -v '/\.wh\.' | sort
  find . -name '.wh.*' | sort
  getfattr -R -h -d -m - -e hex . | grep -v fuseoverlayfs.origin | grep -v fuseoverlayfs.upper= | grep = | sort
)
same_marks() {
  marks_of "$1" >first.marks
  marks_of "$2" >second.marks
  diff -a first.marks second.marks >&2 || fail "$1 and $2 have other marks"
}
looks_the_same() {  # after a sync and a restore
  expect 0 sync_to "$store" upper --marks "$marks"
  rm -rf restored again-work
  mkdir -p again again-work
  expect 0 restore_to "$store" restored
  mount_over restored again-work again
  let_go merged  # it shows times of directories from before
  mount_over upper work merged "$options"
  same_tree merged again
  let_go again
  same_marks upper restored
  # What is restored shows what it is, so that the next sync needs not be told.
  rm -rf second second-state twice seen
  expect 0 layer sync restored --to second --name web --state-dir second-state
  expect 0 layer restore second --name web -o twice --state-dir second-state/other
  same_marks restored twice
  expect 0 layer restore second --name web -o seen --as merged --state-dir second-state/other
  [ -z "$(find seen -name '.wh.*')" ] || fail "marks are taken for files: $(find seen -name '.wh.*')"
  describe restored | grep -av '/\.wh\.' >first.tree
  describe twice | grep -av '/\.wh\.' >second.tree
  diff -a first.tree second.tree >&2 || fail 'what was restored is restored otherwise'
}

for options in '' xattr_permissions=2; do
  store=store-${options%=*}
  # With owners in attributes the directory itself shows whose it is.
  marks=auto
  [ -n "$options" ] || marks=fuse-overlayfs
  rm -rf base upper work state
  mkdir -p base/etc base/usr/lib base/var/log base/kept upper work merged
  echo gone >base/kept/gone
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
  echo 1 >merged/kept/file
  rm merged/kept/gone
  chown 77:88 merged/kept merged/kept/file
  chmod 6711 merged/kept/file
  if [ -n "$options" ]; then
    getfattr -d -m override_stat upper/etc/new | grep -q '=' || fail 'the owner is in no attribute'
    [ "$(stat -c %u upper/etc/new)" != 1234 ] || fail 'the owner is in the file itself'
  fi
  looks_the_same
  if [ -n "$options" ] && command -v setpriv >/dev/null; then
    # By a user who can change no owner: what a mount shows is the same.
    chmod 755 "$dir"
    chmod -R a+rX "$store"
    mkdir -m 777 unowned
    expect 0 setpriv --reuid 65534 --regid 65534 --clear-groups "$CAIRN" layer restore "$store" --name web \
      -o unowned/kept --state-dir unowned/state --path kept
    rm -rf whole again-work && mkdir whole again-work
    # As the whole of the upper directory has it: by that a mount sees where owners lie.
    getfattr -d -m override_stat upper >owner-of-all
    setfattr --restore=<(sed 's/^# file: upper/# file: whole/' owner-of-all)
    mv unowned/kept whole/
    [ "$(stat -c '%u %a' whole/kept/file)" != "$(stat -c '%u %a' merged/kept/file)" ] || fail 'it has changed an owner'
    mount_over whole again-work again
    same_tree merged/kept again/kept
    let_go again
    rm -rf whole unowned
  fi
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
  if getfattr -d -m override_stat merged/etc/a 2>"$err" | grep -q =; then
    echo 'this fuse-overlayfs shows its own attributes to the container, which a restore without a mount has not'
  else
    same_tree merged flat
  fi
  let_go merged
done
