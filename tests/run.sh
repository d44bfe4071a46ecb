#!/usr/bin/env bash
# The one test command: installs the foreign tools that are missing, then proves everything.
#
#   tests/run.sh                 all stages
#   tests/run.sh python node     some of them, in the order given
#   tests/run.sh --list          their names
#
# A tool that cannot be had fails its stage. The one exception is Python 2.7, which Debian no longer has: without it the
# conformance suite is not run, and the run says so.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
source tests/install.sh

STAGES="format lint unit simulation loom build python sessions hostile churn node browser acme conformance fuzz delivery secrets"
NOT_RUN=77
LOGS=.cache/tests
mkdir -p $LOGS
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export TRUNKLINE=${TRUNKLINE:-$TARGET/release/trunkline}

# Stages. Each ends with 0, with NOT_RUN after saying why, or with anything else after showing what failed.

stage_format() {
    cargo fmt --check || return
    each_crate fmt --check
}

stage_lint() {
    cargo clippy --locked --all-targets -- -D warnings || return
    each_crate clippy --locked --all-targets -- -D warnings
}

# The programs of benches/ and the models are crates of their own.
each_crate() {
    local command=$1 manifest
    shift
    for manifest in benches/*/Cargo.toml tests/loom/Cargo.toml; do
        cargo "$command" --manifest-path "$manifest" "$@" || return
    done
}

stage_unit() {
    cargo test --locked --no-fail-fast
}

# What a plain `cargo test` does with a few hundred seeds, with ten thousand: two minutes of one core.
stage_simulation() {
    SIMULATION_SEEDS=10000 cargo test --locked --test all simulation
}

# The protocols between threads as models, every interleaving of them.
stage_loom() {
    cargo test --locked --manifest-path tests/loom/Cargo.toml
}

stage_build() {
    cargo build --locked --release && ls -l "$TRUNKLINE"
}

stage_python() { pytest test_parity.py test_compression.py test_edge.py test_support_desk.py; }
stage_sessions() { install_redis && install_node && pytest test_sessions.py; }
stage_hostile() { pytest test_bad_input.py; }
stage_churn() { pytest -s test_churn.py; }
stage_node() { node_test parity.test.mjs compression.test.mjs; }
stage_browser() { install_chromium && node_test browser.mjs hijacking.mjs; }

stage_acme() { install_pebble && pytest test_acme.py; }

stage_conformance() {
    if ! python27 >/dev/null; then
        echo "not run: no Python 2.7 on this machine"
        return $NOT_RUN
    fi
    has_binary && tests/autobahn/run.sh
}

# Half a minute for each target: enough to find what a change has broken, not what years would find.
stage_fuzz() {
    local target targets status=0
    install_cargo_fuzz || return
    targets=$(cargo +nightly fuzz list) && [ -n "$targets" ] || missing "fuzz/ has no targets" || return
    for target in $targets; do
        echo "-- $target"
        cargo +nightly fuzz run "$target" -- -max_total_time=30 -print_final_stats=1 2>&1 | grep --line-buffered -vE '^#[0-9]+\s' || status=1
    done
    return $status
}

# The benchmark beside Nchan, short: not for its figures, but nothing may be lost, told twice or told late.
stage_delivery() {
    has_binary && install_nchan && QUICK=yes benches/nchan.sh 1
}

# No log of any server that the suites have started holds a credential that they used.
stage_secrets() {
    install_python && (cd tests/clients && ../../.cache/python/bin/python -m pytest test_leaks.py && ../../.cache/python/bin/python leaks.py)
}

has_binary() {
    [ -x "$TRUNKLINE" ] || missing "$TRUNKLINE does not exist; tests/run.sh build makes it"
}

pytest() {
    has_binary && install_python && (cd tests/clients && ../../.cache/python/bin/python -m pytest "$@")
}

node_test() {
    has_binary && install_node && (cd tests/clients && node --test --test-reporter=spec "$@")
}

# Running and counting.

PASSED=0 FAILED=0 SUMMARY=

run_stage() {
    local stage=$1 log=$LOGS/$1.log begun=$SECONDS status verdict
    printf '\n==> %s\n' "$stage"
    "stage_$stage" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    count_cases "$log"
    case $status in
    0) verdict=passed PASSED=$((PASSED + 1)) ;;
    "$NOT_RUN") verdict="not run: $(sed -n 's/^not run: //p' "$log" | tail -n 1)" ;;
    *) verdict=failed FAILED=$((FAILED + 1)) ;;
    esac
    verdict="$stage: $verdict ($((SECONDS - begun)) s)"
    printf '<== %s\n' "$verdict"
    SUMMARY+="$verdict"$'\n'
}

# cargo says `test result: ok. 3 passed; 1 failed`, pytest and the conformance suite `3 passed, 1 failed`, node `ℹ pass 3`.
count_cases() {
    local totals
    totals=$(sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        function number_before(word, line) { return match(line, "[0-9]+ " word) ? substr(line, RSTART) + 0 : 0 }
        /^test result:|^[0-9]+ (passed|failed|errors?)/ {
            passed += number_before("passed", $0); failed += number_before("failed", $0) + number_before("error", $0)
        }
        /^ℹ pass / { passed += $3 }
        /^ℹ (fail|cancelled) / { failed += $3 }
        END { print passed + 0, failed + 0 }')
    PASSED=$((PASSED + ${totals% *}))
    FAILED=$((FAILED + ${totals#* }))
}

if [ "${1:-}" = --list ]; then
    echo "$STAGES"
    exit
fi
for name in "$@"; do
    declare -F "stage_$name" >/dev/null || { echo "no stage is called $name; there are: $STAGES" >&2; exit 2; }
done
[ "$*" = secrets ] || rm -rf $LOGS/evidence
for name in ${*:-$STAGES}; do
    run_stage "$name"
done
printf '\n%s%s passed, %s failed\n' "$SUMMARY" $PASSED $FAILED
[ $FAILED = 0 ]
