# Sourced by the benchmarks: starts the servers on core 0 and the load on core 1, stops what it started by pid.
# With two cores this is the only fair split; a server's threads then share one core, as an nginx worker does.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OUT=$ROOT/.cache/bench
TRUNKLINE=${TRUNKLINE:-$ROOT/target/release/trunkline}
NCHAN_MODULE=/usr/lib/nginx/modules/ngx_nchan_module.so
TRUNKLINE_PORT=${TRUNKLINE_PORT:-9100}
NCHAN_PORT=${NCHAN_PORT:-9101}
mkdir -p "$OUT"
ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -Hn)"

TRUNKLINE_PID= NGINX_PID= NCHAN_PID=

stop_servers() {
    local pid
    for pid in $TRUNKLINE_PID $NGINX_PID; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    TRUNKLINE_PID= NGINX_PID= NCHAN_PID=
}
trap stop_servers EXIT

LOAD_TARGET=${LOAD_TARGET:-$ROOT/benches/client/target}

build_load() {
    cargo build --quiet --release --manifest-path "$ROOT/benches/client/Cargo.toml" --target-dir "$LOAD_TARGET"
}

load() {
    taskset -c 1 "$LOAD_TARGET/release/load" "$@"
}

# Waits until something listens on the port, as long as the process lives.
listening() {
    local port=$1 pid=$2 log=$3 tries
    for tries in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "nothing listens on port $port; the end of $log:" >&2
    tail -n 20 "$log" >&2
    return 1
}

start_trunkline() {
    [ -x "$TRUNKLINE" ] || { echo "$TRUNKLINE does not exist: run cargo build --release" >&2; return 1; }
    PORT=$TRUNKLINE_PORT taskset -c 0 "$TRUNKLINE" serve "$ROOT/benches/channels.yaml" >"$OUT/trunkline.log" 2>&1 &
    TRUNKLINE_PID=$!
    listening $TRUNKLINE_PORT "$TRUNKLINE_PID" "$OUT/trunkline.log"
}

# One worker; messages are kept in memory, so many of them that a subscriber never misses one.
start_nchan() {
    [ -x /usr/sbin/nginx ] && [ -e $NCHAN_MODULE ] || { echo "nginx with Nchan is missing: tests/run.sh nchan installs it" >&2; return 1; }
    cat >"$OUT/nginx.conf" <<CONF
load_module $NCHAN_MODULE;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid $OUT/nginx.pid;
error_log $OUT/nginx.log warn;
events { worker_connections 19000; use epoll; multi_accept on; }
http {
  access_log off;
  client_body_temp_path $OUT/nginx-tmp; proxy_temp_path $OUT/nginx-tmp; fastcgi_temp_path $OUT/nginx-tmp;
  uwsgi_temp_path $OUT/nginx-tmp; scgi_temp_path $OUT/nginx-tmp;
  keepalive_timeout 3600;
  tcp_nodelay on;
  nchan_max_reserved_memory 256M;
  nchan_message_buffer_length 1000;
  nchan_message_timeout 1m;
  server {
    listen 127.0.0.1:$NCHAN_PORT backlog=4096;
    location = /sub { nchan_subscriber websocket; nchan_channel_id \$arg_id; nchan_subscriber_first_message newest; }
    location = /pubsub { nchan_pubsub websocket; nchan_channel_id \$arg_id; nchan_subscriber_first_message newest; }
  }
}
CONF
    taskset -c 0 /usr/sbin/nginx -e "$OUT/nginx.log" -c "$OUT/nginx.conf" >>"$OUT/nginx.log" 2>&1 &
    NGINX_PID=$!
    listening $NCHAN_PORT "$NGINX_PID" "$OUT/nginx.log"
    NCHAN_PID=$(awk '{print $1}' "/proc/$NGINX_PID/task/$NGINX_PID/children")
}

# Adds {"server": …, "mode": …} to a result and keeps it.
record() {
    local server=$1 mode=$2 file=$3 line
    line=$(cat)
    echo "{\"server\":\"$server\",\"mode\":\"$mode\",${line#\{}" | tee -a "$file"
}
