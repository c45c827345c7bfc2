#!/usr/bin/env bash
# package_test.sh BUILD_DIR SCRATCH_DIR: the package of a build has what running it takes, where Debian looks for it.
set -euo pipefail
build=$1 scratch=$2
fail() { echo "package_test.sh: $*" >&2; exit 1; }
skip() { printf 'package_test.sh: Skipped\n%s\n[  SKIPPED ] house.PackageHasWhatRunningItTakes (0 ms)\n' "$*"; exit 77; }
command -v dpkg-shlibdeps >/dev/null || skip "dpkg-shlibdeps (package dpkg-dev) is not here"

rm -rf "$scratch"
mkdir -p "$scratch"
(cd "$build" && cpack -G DEB -B "$scratch" -D CPACK_COMPONENTS_ALL=command >"$scratch/log" 2>&1) ||
  { cat "$scratch/log" >&2; fail "cpack failed"; }
cd "$scratch"
deb=$(echo cairn_*.deb)
[ -f "$deb" ] || fail "there is no package"
dpkg-deb -x "$deb" root
for path in usr/bin/cairn usr/lib/systemd/system/cairn.service usr/share/man/man1/cairn.1 usr/share/man/man1/cairn-layer-sync.1 \
  usr/share/bash-completion/completions/cairn usr/share/zsh/vendor-completions/_cairn \
  usr/share/fish/vendor_completions.d/cairn.fish usr/share/doc/cairn/examples/cairn.toml \
  usr/share/cairn/prometheus/cairn.rules.yml usr/share/cairn/grafana/cairn.json; do
  [ -s "root/$path" ] || fail "the package lacks $path"
done
root/usr/bin/cairn version >/dev/null
grep -q '^ExecStart=/usr/bin/cairn replicate' root/usr/lib/systemd/system/cairn.service || fail "the unit starts something else"
dpkg-deb -f "$deb" Depends | grep -q libsqlite3-0 || fail "the package does not say what it depends on"
dpkg-deb -e "$deb" control
for script in postinst prerm postrm; do sh -n "control/$script" || fail "$script is no shell script"; done
# Neither made nor removed by the package: somebody's only copy.
! dpkg-deb -c "$deb" | grep -qE ' \./(etc|var)/' || fail "the package owns something in /etc or /var"
! grep -rqE 'rm |/var/lib/cairn' control || fail "a script of the package removes something"
rm -rf "$scratch"
