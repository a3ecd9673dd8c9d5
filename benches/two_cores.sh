#!/usr/bin/env bash
# One job on one core against the same job on two, on a tmpfs, so that no disk is measured.
#
# Needs: taskset (util-linux), two cores that nobody else uses, room for the bucket and what it becomes in
# $TMPFS (default /dev/shm). The bucket is copied, never written to; a second group in it would hide how one
# job scales, so --compact.concurrency is 1.
#
#   benches/two_cores.sh BUCKET_DIR [BINARY] [FLAG OF COMPACT...]
#   RUNS=5 CORES=0,1 benches/two_cores.sh /data/w1 target/release/blockyard --deduplication.replica-label=replica
set -euo pipefail

if [ $# -lt 1 ] || [ ! -d "$1" ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  exit 2
fi
bucket=$(cd "$1" && pwd)
binary=${2:-target/release/blockyard}
shift $(($# < 2 ? $# : 2))
runs=${RUNS:-3} cores=${CORES:-0,1} tmpfs=${TMPFS:-/dev/shm}
[ -x "$binary" ] || { echo "two_cores: skipped, there is no $binary: run \`cargo build --release\`"; exit 0; }
command -v taskset >/dev/null || { echo "two_cores: skipped, taskset is not installed"; exit 0; }
[ "$(stat -f -c %T "$tmpfs")" = tmpfs ] || echo "two_cores: $tmpfs is no tmpfs, the disk below it is measured too" >&2

dir=$(mktemp -d "$tmpfs/two_cores.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cp -r "$bucket" "$dir/input"

# one THREADS CORES FLAG...: a pass over a fresh copy; prints wall, user and system seconds
one() {
  local threads=$1 on=$2
  shift 2
  rm -rf "$dir/bucket" "$dir/data"
  cp -rl "$dir/input" "$dir/bucket"
  printf 'type: FILESYSTEM\nconfig:\n  directory: "%s"\n' "$dir/bucket" >"$dir/bucket.yml"
  local TIMEFORMAT='%R %U %S' status=0
  { time taskset -c "$on" "$binary" compact --compute.threads="$threads" --compact.concurrency=1 --consistency-delay=0s \
    --downsampling.disable --data-dir="$dir/data" --objstore.config-file="$dir/bucket.yml" "$@" >"$dir/log" 2>&1; } 2>"$dir/time" || status=$?
  if [ $status != 0 ]; then
    echo "two_cores: compact ended with $status:" >&2
    tail -n 5 "$dir/log" >&2
    return 1
  fi
  cat "$dir/time"
}

# the digest of all that the last pass added but the names of its blocks, which are new each time
made() {
  (
    cd "$dir/bucket"
    for block in *; do
      [ -e "$dir/input/$block" ] || find "$block" \( -name index -o -path '*/chunks/*' \) -type f -exec sha256sum {} + | sed 's, [^/]*/, ,'
    done | sort | sha256sum
  )
}

for _ in $(seq "$runs"); do
  one 1 "${cores%%,*}" "$@" >>"$dir/one"
  of_one=$(made)
  one 2 "$cores" "$@" >>"$dir/two"
  [ "$(made)" = "$of_one" ] || { echo "two_cores: one and two threads made DIFFERENT blocks"; exit 1; }
done
grep -h 'became' "$dir/log" || { echo "two_cores: nothing was compacted, there is nothing to compare"; exit 1; }

median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
for n in one two; do
  echo "$n" "$(awk '{print $1}' "$dir/$n" | median)" "$(awk '{print $2 + $3}' "$dir/$n" | median)"
done | awk -v runs="$runs" '
  {printf "%s core%s  wall %8.2f s   CPU %8.2f s\n", $1, $1 == "one" ? " " : "s", $2, $3; wall[$1] = $2}
  END {printf "two cores are %.2f times as fast (medians of %d, equal blocks)\n", wall["one"] / wall["two"], runs}'
