#!/usr/bin/env bash
# GNU tar, bsdtar and zstd read a layer as what it is; GNU tar brings back every attribute.
. "$(dirname "$0")/layer_common.sh"
needs_root
needs getfattr setfacl bsdtar

make_tree tree
expect 0 sync_to store tree
object=$(first_object store '*.tar.zst')
zstd -q -t "$object"
[ "$(zstd -qdc "$object" | sha256sum | cut -d ' ' -f 1).tar.zst" = "$(basename "$object")" ]
mkdir by_tar by_bsdtar
tar --zstd -x -p --warning=no-timestamp --numeric-owner --xattrs --xattrs-include='*' -f "$object" -C by_tar 2>"$err"
[ ! -s "$err" ] || fail "GNU tar complains: $(head -n 3 "$err")"
touch -r tree by_tar
same_tree tree by_tar
LC_ALL=C.UTF-8 bsdtar -x -p --numeric-owner -f "$object" -C by_bsdtar 2>"$err"
[ "$(cd by_bsdtar && find . | wc -l)" = "$(cd tree && find . | wc -l)" ]
(cd tree && find . -type f -print0 | sort -z | xargs -0 sha256sum) >wanted
(cd by_bsdtar && sha256sum --quiet -c ../wanted) || fail 'bsdtar has other contents'
