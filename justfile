# The usual commands; `just` alone lists them.

default:
    @just --list

# What the CI runs
check:
    ./test

# Everything in one process, with a small shop that reads and writes
dev *args:
    cargo run --release -- dev {{ args }}

# Unit and conformance tests
unit *args:
    ./test unit {{ args }}

# The built binary against real servers
e2e *args:
    ./test e2e {{ args }}

# A Django project with the Python client
django *args:
    ./test django {{ args }}

# Rules, dashboard and runbook, before a real Prometheus
monitoring *args:
    ./test monitoring {{ args }}

# The image and the compose file, without a Docker engine
container *args:
    ./test container {{ args }}

# The main job at length, with everything killed again and again
soak *args:
    ./test soak {{ args }}

# fmt, clippy, deploy, deny
lint:
    ./test lint

fmt:
    cargo fmt --all

# The figures of docs/performance.md
bench:
    cargo build --profile dist -p quash-cli
    cargo bench --profile dist -p quash-benches
