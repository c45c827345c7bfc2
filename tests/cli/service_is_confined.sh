#!/usr/bin/env bash
# systemd takes the unit of the package, and by its own word confines the service as far as its work allows.
. "$(dirname "$0")/common.sh"
command -v systemd-analyze >/dev/null || skip 'systemd-analyze (package systemd) is not here'

sed "s|@CMAKE_INSTALL_FULL_BINDIR@|$(dirname "$CAIRN")|; /^Documentation/d" "$scripts/../../packaging/cairn.service" \
  >cairn.service
systemd-analyze verify --man=no --recursive-errors=no ./cairn.service >"$out" 2>&1 ||
  fail 'systemd does not take the unit'
[ ! -s "$out" ] || fail 'systemd has something to say of the unit'

systemd-analyze security --offline=true --json=short ./cairn.service >judged.json 2>"$err" ||
  skip "this systemd-analyze looks at no unit that is a file: $(tail -n 1 "$err")"
python3 - judged.json <<'END' || fail 'the service may do what it has to do without'
import json, sys

judged = {one["json_field"]: one["set"] for one in json.load(open(sys.argv[1]))}
# What it has to do without: of files it needs much (any owner's databases, layers with all their attributes).
wanted = """NoNewPrivileges MemoryDenyWriteExecute LockPersonality RestrictRealtime UMask SystemCallArchitectures
  ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables
  RestrictAddressFamilies_AF_PACKET RestrictAddressFamilies_OTHER
  RestrictNamespaces_user RestrictNamespaces_mnt RestrictNamespaces_net RestrictNamespaces_pid
  SystemCallFilter_mount SystemCallFilter_module SystemCallFilter_raw_io SystemCallFilter_reboot SystemCallFilter_debug
  CapabilityBoundingSet_CAP_NET_ADMIN CapabilityBoundingSet_CAP_SYS_MODULE CapabilityBoundingSet_CAP_SYS_PTRACE
  CapabilityBoundingSet_CAP_SYS_RAWIO CapabilityBoundingSet_CAP_SYS_TIME CapabilityBoundingSet_CAP_SYS_BOOT
  CapabilityBoundingSet_CAP_SET_UID_GID_PCAP CapabilityBoundingSet_CAP_KILL"""
open_to_it = [name for name in wanted.split() if judged.get(name) is not True]
if open_to_it:
    sys.exit("the service is not kept from: " + ", ".join(open_to_it))
END
