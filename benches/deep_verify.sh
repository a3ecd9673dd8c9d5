#!/usr/bin/env bash
# Verify: every check with every sample decoded, against a peer that checks indexes only.
#
# Needs: a Thanos binary as PEER; without one our own times alone are printed. The bucket is only read.
# Three jobs by turns: ours with all checks, ours with the peer's check, the peer.
#
#   benches/deep_verify.sh BUCKET_DIR [BINARY] [PEER]
#   RUNS=5 benches/deep_verify.sh /data/w1 target/release/blockyard ~/bin/thanos
set -euo pipefail

if [ $# -lt 1 ] || [ ! -d "$1" ]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0"
  exit 2
fi
bucket=$(cd "$1" && pwd)
binary=${2:-target/release/blockyard} peer=${3:-}
runs=${RUNS:-3}
[ -x "$binary" ] || { echo "deep_verify: skipped, there is no $binary: run \`cargo build --release\`"; exit 0; }
[ -z "$peer" ] || [ -x "$peer" ] || { echo "deep_verify: there is no peer $peer"; exit 2; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf 'type: FILESYSTEM\nconfig:\n  directory: "%s"\n' "$bucket" >"$dir/bucket.yml"

# one NAME PROGRAM ISSUE: notes wall, user and system seconds in $dir/NAME. 1 is a verdict, not a failure
one() {
  local TIMEFORMAT='%R %U %S' status=0
  { time TMPDIR="$dir" "$2" tools bucket verify --issues="$3" --objstore.config-file="$dir/bucket.yml" >"$dir/$1.log" 2>&1; } 2>>"$dir/$1" || status=$?
  echo "$status" >"$dir/$1.status"
  if [ $status -gt 1 ] || { [ $status = 1 ] && [ "$1" = peer ]; }; then
    echo "deep_verify: $2 ended with $status:" >&2
    tail -n 5 "$dir/$1.log" >&2
    exit 1
  fi
}

names="deep index"
for _ in $(seq "$runs"); do
  one deep "$binary" all
  one index "$binary" index_known_issues
  if [ -n "$peer" ]; then
    one peer "$peer" index_known_issues
    names="deep index peer"
  fi
done
[ "$(cat "$dir/deep.status")" = 0 ] || { echo "verify found something wrong, so that not all was decoded:"; tail -n 5 "$dir/deep.log"; }

median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
mib=$(find "$bucket" -type f -printf '%s\n' | awk '{n += $1} END {print n / 1048576}')
for n in $names; do
  echo "$n" "$(awk '{print $1}' "$dir/$n" | median)" "$(awk '{print $2 + $3}' "$dir/$n" | median)"
done | awk -v runs="$runs" -v mib="$mib" '
  BEGIN {what["deep"] = "ours, all checks"; what["index"] = "ours, index only"; what["peer"] = "peer, index only"; printf "%.1f MiB, medians of %d\n", mib, runs}
  {printf "%-18s wall %8.2f s   CPU %8.2f s\n", what[$1], $2, $3; wall[$1] = $2 > 0 ? $2 : 0.001; cpu[$1] = $3 > 0 ? $3 : 0.001}
  END {
    if ("peer" in wall) {
      printf "index checks: %.1f times less wall, %.1f times less CPU than the peer\n", wall["peer"] / wall["index"], cpu["peer"] / cpu["index"]
      printf "all checks take %.2f of the wall of the peer'"'"'s index checks\n", wall["deep"] / wall["peer"]
    }
  }'
