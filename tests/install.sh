# Sourced by tests/run.sh and tests/autobahn/run.sh: brings in the foreign tools that the tests are driven with.
# Each function returns at once when its tool is there, and fails with a sentence when it cannot be had.
# Everything that is not a Debian package lands in .cache/ or node_modules/, which git ignores.

missing() {
    echo "cannot run: $*" >&2
    return 1
}

# Runs a noisy installer, showing its output only when it fails.
quietly() {
    local log=.cache/install.log
    mkdir -p .cache
    "$@" >"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        return 1
    }
}

# The packages of nginx and Redis start a service where nothing forbids it: policy-rc.d forbids it for the time of the installation.
install_debian() {
    local policy=/usr/sbin/policy-rc.d own_policy= status=0 root=
    [ "$(id -u)" = 0 ] || root="sudo -n"
    if [ ! -e $policy ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null && $root chmod +x $policy
    fi
    quietly $root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        quietly $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends "$@" || status=1
    [ -z "$own_policy" ] || $root rm $policy
    return $status
}

install_nchan() {
    [ -x /usr/sbin/nginx ] && [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] && return
    install_debian nginx libnginx-mod-nchan || missing "apt-get could not install nginx and libnginx-mod-nchan"
}

install_redis() {
    [ -x /usr/bin/redis-server ] && return
    install_debian redis-server || missing "apt-get could not install redis-server"
}

install_chromium() {
    [ -x /usr/bin/chromium ] && return
    install_debian chromium || missing "apt-get could not install chromium"
}

# A virtual environment with exactly the packages of a requirements file; it is made anew when the file changes.
same_requirements() { cmp -s "$1/requirements.txt" "$2"; }

install_python() {
    local venv=.cache/python wanted=tests/clients/requirements.txt
    same_requirements $venv $wanted && return
    command -v python3 >/dev/null || install_debian python3 || missing "there is no python3" || return
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || missing "python3 is older than 3.11" || return
    python3 -c 'import ensurepip' 2>/dev/null || install_debian python3-venv || missing "python3 has no venv" || return
    rm -rf $venv
    quietly python3 -m venv $venv && quietly $venv/bin/pip install -r $wanted ||
        missing "pip could not install $wanted" || return
    cp $wanted $venv/requirements.txt
}

python27() {
    if command -v pyenv >/dev/null; then
        ls -1 "$(pyenv root)"/versions/2.7*/bin/python2.7 2>/dev/null | tail -n 1 | grep . && return
    fi
    # A pyenv shim stands on PATH also where it leads nowhere: ask whether it runs.
    python2.7 -c '' 2>/dev/null && command -v python2.7
}

# The suite wants Python 2.7, for which only an old virtualenv makes environments.
install_autobahn() {
    local venv=.cache/autobahn wanted=tests/autobahn/requirements.txt python
    same_requirements $venv $wanted && return
    python=$(python27) || missing "no Python 2.7 on this machine" || return
    rm -rf $venv
    quietly .cache/python/bin/pip install 'virtualenv==20.21.1' &&
        quietly .cache/python/bin/virtualenv -p "$python" $venv &&
        quietly $venv/bin/pip install -r $wanted ||
        missing "pip could not install $wanted into a Python 2.7 environment" || return
    cp $wanted $venv/requirements.txt
}

install_node() {
    local folder=tests/clients
    cmp -s $folder/package-lock.json $folder/node_modules/.installed && return
    command -v node >/dev/null && command -v npm >/dev/null || install_debian nodejs npm || missing "there is no Node.js" || return
    quietly npm ci --prefix $folder --omit-lockfile-registry-resolved --no-fund --no-audit --ignore-scripts ||
        missing "npm could not install tests/clients/package-lock.json" || return
    cp $folder/package-lock.json $folder/node_modules/.installed
}

install_cargo_fuzz() {
    cargo +nightly --version >/dev/null 2>&1 || quietly rustup toolchain install nightly --profile minimal ||
        missing "cargo-fuzz needs the nightly toolchain, and rustup could not install it" || return
    cargo fuzz --version >/dev/null 2>&1 && return
    quietly cargo install --locked cargo-fuzz || missing "cargo could not install cargo-fuzz"
}
