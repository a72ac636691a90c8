# The checks that a change must pass; the steps are those of .ci/run.
all:
    bash .ci/run

# What the steps need: the wasm target, clippy, rustfmt, the dependencies.
setup:
    bash .ci/run setup

fmt:
    bash .ci/run fmt

clippy:
    bash .ci/run clippy

test:
    bash .ci/run test

doc:
    bash .ci/run doc

wasm:
    bash .ci/run wasm

tree:
    bash .ci/run tree

deny:
    bash .ci/run deny

examples:
    bash .ci/run examples

shop:
    bash .ci/run shop

soak:
    bash .ci/run soak

long:
    bash .ci/run long

bench:
    bash .ci/run bench

fuzz:
    bash .ci/run fuzz
