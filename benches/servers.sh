# Sourced by the benchmarks: starts trunkline and nginx with Nchan, stops what was started by pid.
#
# The server has core 0, the load core 1: with two cores the only fair split. A server's threads then share one core, as an nginx
# worker does. SERVER_CORES and LOAD_CORES say otherwise, NGINX_WORKERS how many workers there are.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OUT=$ROOT/.cache/bench
TRUNKLINE=${TRUNKLINE:-$(realpath -m "${CARGO_TARGET_DIR:-$ROOT/target}")/release/trunkline}
NCHAN_MODULE=/usr/lib/nginx/modules/ngx_nchan_module.so
SERVER_CORES=${SERVER_CORES:-0} LOAD_CORES=${LOAD_CORES:-1}
TRUNKLINE_PORT=9100
NCHAN_PORT=9101
mkdir -p "$OUT"
ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -Hn)"

SERVER_PID= STARTED=

# None of them has anything to put in order, and some would take their time for it. nginx's workers would outlive their master, and
# keep the port until the kernel has closed what they had open.
stop_servers() {
    local pid pids=
    for pid in $STARTED; do pids+=" $(cat "/proc/$pid/task/$pid/children" 2>/dev/null) $pid"; done
    for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
    for pid in $STARTED; do wait "$pid" 2>/dev/null; done
    for pid in $pids; do
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    done
    SERVER_PID= STARTED=
}
trap stop_servers EXIT

# PORT COMMAND…: the server reads PORT where it is not told otherwise. Returns when it listens; its process is SERVER_PID.
start_server() {
    local port=$1 log=$OUT/$1.log
    shift
    ! answers "$port" || { echo "something listens on port $port already" >&2; return 1; }
    NODE_ENV=production PORT=$port taskset -c "$SERVER_CORES" "$@" >"$log" 2>&1 &
    SERVER_PID=$!
    STARTED+=" $SERVER_PID"
    listening "$port" "$SERVER_PID" "$log"
}

answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Waits until something listens on the port, as long as the process lives.
listening() {
    local port=$1 pid=$2 log=$3
    for _ in $(seq 400); do
        answers "$port" && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "nothing listens on port $port; the end of $log:" >&2
    tail -n 20 "$log" >&2
    return 1
}

start_trunkline() {
    [ -x "$TRUNKLINE" ] || { echo "$TRUNKLINE does not exist: run cargo build --release" >&2; return 1; }
    start_server $TRUNKLINE_PORT "$TRUNKLINE" serve "$ROOT/benches/channels.yaml"
}

# Messages are kept in memory, so many of them that a subscriber never misses one.
start_nchan() {
    cat >"$OUT/nginx.conf" <<CONF
load_module $NCHAN_MODULE;
daemon off;
worker_processes ${NGINX_WORKERS:-1};
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
    location = /pubsub { nchan_pubsub websocket; nchan_channel_id \$arg_id; nchan_subscriber_first_message newest; }
  }
}
CONF
    start_server $NCHAN_PORT /usr/sbin/nginx -e "$OUT/nginx.log" -c "$OUT/nginx.conf"
}
