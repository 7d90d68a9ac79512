# Sourced by the scripts here: where the project is, and how a script says what is wrong.
# shellcheck shell=bash

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cometbft_version=0.38.25
cargo_deny_version=0.20.2
maturin_version=1.16.0
mypy_version=2.4.1

# One line that says what is wrong and what to do.
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# need COMMAND WHAT-TO-DO: stops where COMMAND is missing.
need() {
    command -v "$1" >/dev/null 2>&1 || die "'$1' is missing: $2"
}

# is_count TEXT: whether it is a whole number from 1 to 65535.
is_count() {
    case $1 in '' | *[!0-9]* | 0* | ??????*) return 1 ;; esac
    [ "$1" -le 65535 ]
}

need_rust() {
    need cargo "install Rust by https://rustup.rs, then run this again"
}

# Adds what rust-toolchain.toml names and the installed toolchain lacks; without rustup the toolchain must have it.
complete_rust() {
    need_rust
    command -v rustup >/dev/null 2>&1 || return 0
    local toolchain
    toolchain=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$project/rust-toolchain.toml")
    rustup run "$toolchain" rustc --version >/dev/null 2>&1 || rustup toolchain install "$toolchain" --profile minimal ||
        die "the Rust toolchain $toolchain could not be installed: run 'rustup toolchain install $toolchain'"
    rustup --quiet component add --toolchain "$toolchain" clippy rustfmt ||
        die "clippy and rustfmt could not be installed: run 'rustup component add clippy rustfmt'"
    rustup --quiet target add --toolchain "$toolchain" wasm32-unknown-unknown ||
        die "the wasm32 target could not be installed: run 'rustup target add wasm32-unknown-unknown'"
}

test_binaries=${CARGO_TARGET_DIR:-$project/target}/debug

# Commands and tests in one go, so that nothing is compiled twice with different features.
build_for_tests() {
    (cd "$project" && cargo build --locked --workspace --bins --tests --features white-city-tests/e2e)
}
