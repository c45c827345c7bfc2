#!/usr/bin/env bash
# The alert rules and the dashboard ask for nothing that /metrics does not have, and promtool finds nothing wrong with
# any of it.
. "$(dirname "$0")/http_common.sh"
packaging=$source_dir/packaging

start_twin
make_db app.db
mkdir upper && echo 1 >upper/file
cat >cairn.toml <<END
[defaults]
state_dir = "$dir/state"
prices = "s3"
[http]
listen = "127.0.0.1:0"
[[database]]
path = "$dir/app.db"
to = "$(s3 app.db)"
[[layer]]
name = "web"
directory = "$dir/upper"
to = "$dir/layers"
END
start_configured
wait_for_http
wait_until ready
add_rows app.db 5
published() { [ "$(metric cairn_published_segments_total)" -ge 1 ]; }
wait_until published
fetch metrics >metrics.txt

python3 - "$packaging" <<'END'
import json, re, sys
packaging = sys.argv[1]
families = {line.split()[2] for line in open("metrics.txt") if line.startswith("# TYPE ")}
assert len(families) > 30, families
dashboard = json.load(open(packaging + "/grafana/cairn.json"))
texts = {"dashboard": json.dumps(dashboard), "rules": open(packaging + "/prometheus/cairn.rules.yml").read()}
for where, text in texts.items():
    names = {re.sub("_bucket$", "", name) for name in re.findall(r"\bcairn_[a-z_]+", text)}
    assert len(names) >= 6, names
    assert names <= families, f"{where}: not in /metrics: {names - families}"
    # A value of a label that is never there would make an alert that never comes.
    for label, value in re.findall(r'\b(state|kind|origin)(?:=|: )\\*"([a-z_]+)\\*"', text):
        assert re.search(rf'\b{label}="{value}"', open("metrics.txt").read()), f'{where}: {label}="{value}"'
documented = open(packaging + "/../docs/operations.md").read()
missing = {name for name in families if f"`{name}" not in documented}
assert not missing, f"docs/operations.md does not have: {missing}"
END

promtool=${PROMTOOL:-$(command -v promtool || true)}
[ -n "$promtool" ] || skip 'promtool (Debian: prometheus) is not there; that all names are in /metrics was checked'
"$promtool" check metrics <metrics.txt >"$out" 2>&1 || fail "promtool check metrics: $(cat "$out")"
"$promtool" check rules "$packaging/prometheus/cairn.rules.yml" >"$out" 2>&1 || fail 'promtool check rules'
(cd "$packaging/prometheus" && "$promtool" test rules cairn.rules.test.yml) >"$out" 2>&1 || fail 'promtool test rules'
