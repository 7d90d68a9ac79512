# The same commands that CI uses; `just` itself is a convenience.

default:
    @just --list

# Everything that proves the project
test *steps:
    scripts/test {{steps}}

# Everything but what starts clusters
fast:
    scripts/test --fast

# Formatting and lints
lint:
    scripts/test format lints

# Licences, bans and sources by cargo-deny
deny:
    scripts/test deny

# The pure crates for wasm32
wasm:
    scripts/test wasm

# Writes tests/vectors anew; what changes there changes what others must speak
vectors:
    UPDATE_VECTORS=1 cargo test -p white-city-tests --test vectors the_files

# Five strangers sign a file through four nodes
demo *options:
    scripts/demo {{options}}

# The pinned CometBFT into .tools/bin
cometbft:
    scripts/install-cometbft
