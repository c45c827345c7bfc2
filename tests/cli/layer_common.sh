# What the scripts about layers share, beside common.sh. What is compared is what other tools say of two directories.
. "$(dirname "$0")/common.sh"
export LC_ALL=C

needs() {  # needs <tool>...: from scripts/install-deps test
  for tool in "$@"; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
}
needs_root() { [ "$(id -u)" = 0 ] || skip 'only root can make devices, other owners and trusted attributes'; }

layer() { "$CAIRN" layer "$@"; }
sync_to() {  # sync_to <store> <directory> [option]...: as the container "web", with state of this test's own
  layer sync "$2" --to "$1" --name web --state-dir "$dir/state" "${@:3}"
}
restore_to() { layer restore "$1" --name web -o "$2" --state-dir "$dir/other-state" "${@:3}"; }
json_of() { python3 -c "import json; j = json.load(open('$out')); print(($1))"; }

# Everything that find, stat, getfattr and sha256sum say of a tree: a file of text. Names that share an inode are groups.
describe() (
  cd "$1"
  find . -type d -printf '%p d %m %U %G %T@\n' -o -type l -printf '%p l %U %G %T@ %l\n' \
    -o -type f -printf '%p f %m %U %G %s %T@\n' -o -printf '%p %y %m %U %G %T@\n' | sort
  find . \( -type b -o -type c \) -exec stat -c '%n %t:%T' {} + | sort
  find . -print0 | sort -z | xargs -0 -r getfattr -h -d -m - -e hex --absolute-names 2>/dev/null
  find . -type f -print0 | sort -z | xargs -0 -r sha256sum
  find . ! -type d ! -type c -links +1 -printf '%i %p\0' | sort -z |
    python3 -c '
import collections, os, sys
groups = collections.defaultdict(list)
for entry in filter(None, sys.stdin.buffer.read().split(b"\0")):
    inode, name = entry.split(b" ", 1)
    groups[inode].append(name)
for names in sorted(groups.values()): sys.stdout.buffer.write(b"one inode: " + b" ".join(names) + b"\n")'
)
same_tree() {  # same_tree <directory> <directory>
  describe "$1" >first.tree
  describe "$2" >second.tree
  [ -s first.tree ] || fail "nothing is known of $1"
  diff -a first.tree second.tree >tree.diff || { head -n 20 tree.diff >&2; fail "$1 and $2 differ"; }
}

# One of everything that a directory can hold, as root.
make_tree() (
  mkdir -p "$1"
  cd "$1"
  mkdir -p etc/conf.d empty var/tmp 'a b' x/y/z
  chmod 1777 var/tmp
  chmod 2755 etc/conf.d
  echo 'key = value' >etc/conf.d/app
  echo secret >etc/secret
  chmod 600 etc/secret
  chown 1234:5678 etc/secret
  printf '\177ELF' >x/su
  chown 0:7 x/su
  chmod 6755 x/su
  : >x/nothing
  head -c 300000 /dev/urandom >x/noise
  python3 -c 'print("a line that is there many times\n" * 200000)' >x/y/lines
  head -c 5000000 /dev/urandom >x/y/big
  ln x/noise x/y/z/same
  ln x/noise 'a b/same'
  ln -s ../etc/secret x/link
  ln -s /etc/passwd x/absolute
  ln -s nowhere x/dangling
  ln -s . x/loop
  ln x/link x/same-link
  mkfifo x/pipe
  mknod x/null c 1 3
  mknod x/disk b 7 200
  chown 3:4 x/disk
  truncate -s 3M x/holes
  printf data | dd of=x/holes bs=1 seek=1500000 conv=notrunc status=none
  printf x >"$(printf 'x/not \377\376 UTF-8')"
  printf x >"$(printf 'x/two\nlines')"
  printf x >x/-dash
  printf x >'x/däta ≠'
  printf x >"x/$(printf 'n%.0s' {1..255})"
  setfattr -n user.text -v words x/nothing
  setfattr -n user.empty x/nothing
  setfattr -n user.bytes -v 0x00ff0a3d25 x/nothing
  setfattr -n 'user.odd=name%' -v 1 x/nothing
  setfattr -n trusted.mine -v 1 etc
  setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 x/noise
  setfattr -h -n trusted.link -v 1 x/link
  # An access control list, and a default one: user 99 may read.
  setfacl -m u:99:r x/nothing
  setfacl -d -m g:98:rwx etc/conf.d
  touch -d '2001-02-03 04:05:06.123456789' etc/conf.d/app
  touch -d '1950-01-01 00:00:00.5' x/nothing
  touch -d '2255-01-01' x/su
  touch -h -d '2002-01-01 00:00:00.000000001' x/dangling
  touch -d '2003-01-01 00:00:00.999999999' empty x
)
