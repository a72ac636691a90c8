#!/usr/bin/env bash
# Instructions per decision of meshguard, by number of rules: a count that repeats on a busy
# machine. Needs valgrind. The decisions are those of the table, allowed calls in turn.
#
#   bash benches/engines/instructions.sh             the counts
#   bash benches/engines/instructions.sh 1000        and where they are spent at 1,000 rules
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
few=2560 many=25600 # whole turns of the sample

cargo build -q --release --bin ours
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# The instructions of a whole run.
count() {
    valgrind --tool=callgrind --callgrind-out-file="$out/$1-$2" "$target/release/ours" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

for rules in ${1:-10 100 1000 10000}; do
    # What loading costs is in both.
    echo "$rules rules: $((($(count "$rules" $many) - $(count "$rules" $few)) / (many - few))) instructions"
done
if [ "$#" -gt 0 ]; then
    callgrind_annotate --threshold=95 "$out/$1-$many" | sed -n '/Ir/,$p'
fi
