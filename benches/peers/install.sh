# Sourced by benches/peers.sh: brings in the servers to compare with, each at the version that stands here or in its lock file.
# nginx and Nchan are Debian's (12: nginx 1.22.1, Nchan 1.3.6). Everything else lands in .cache/ and node_modules/.

SOCKUDO_VERSION=5.2.0
PEERS=$ROOT/benches/peers
source "$ROOT/tests/install.sh"

bring_in() {
    case $1 in
    floor*) cargo build --quiet --locked --release --manifest-path "$ROOT/benches/floor/Cargo.toml" --target-dir "$ROOT/benches/floor/target" ;;
    candidate-*)
        cargo build --quiet --locked --release --manifest-path "$ROOT/benches/candidates/Cargo.toml" --target-dir "$ROOT/benches/candidates/target" ;;
    nchan) (cd "$ROOT" && install_nchan) ;;
    socketio | ws) install_npm ;;
    fastapi) install_fastapi ;;
    sockudo) install_npm && install_sockudo ;;
    esac
}

install_npm() {
    cmp -s "$PEERS/package-lock.json" "$PEERS/node_modules/.installed" && return
    command -v npm >/dev/null || { echo "there is no npm" >&2; return 1; }
    # bufferutil is native and comes built: no script has to run for it.
    npm ci --prefix "$PEERS" --omit-lockfile-registry-resolved --no-fund --no-audit --ignore-scripts --silent &&
        cp "$PEERS/package-lock.json" "$PEERS/node_modules/.installed"
}

install_fastapi() {
    local venv=$ROOT/.cache/peers/fastapi wanted=$PEERS/fastapi/requirements.txt
    same_requirements "$venv" "$wanted" && return
    rm -rf "$venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet -r "$wanted" && cp "$wanted" "$venv/requirements.txt"
}

# No feature but `local`: a single process with everything in memory. It compiles some 400 crates for a quarter of an hour; one of them
# needs protoc and its files.
install_sockudo() {
    local root=$ROOT/.cache/peers/sockudo
    [ -x "$root/bin/sockudo" ] && [ "$("$root/bin/sockudo" --version)" = "sockudo $SOCKUDO_VERSION" ] && return
    [ -e /usr/include/google/protobuf/timestamp.proto ] && command -v protoc >/dev/null ||
        (cd "$ROOT" && install_debian protobuf-compiler libprotobuf-dev) || return
    cargo install --quiet --locked --root "$root" --target-dir "$root/target" \
        --no-default-features --features local --version $SOCKUDO_VERSION sockudo
}
