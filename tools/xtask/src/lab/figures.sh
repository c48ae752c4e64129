# Our transport beside perftest, then a ring's ledger, in one boot. Results in /results; out-of-band talk over loopback.
perf() {
    name=$1
    shift
    timeout 40 "$@" -d rxe1 -x 1 -F >/tmp/server 2>&1 &
    server=$!
    sleep 1
    timeout 30 "$@" -d rxe0 -x 1 -F 127.0.0.1 >"/results/$name" 2>&1 || { cat "/results/$name" /tmp/server; exit 1; }
    cat "/results/$name"
    wait $server
}
/lab/pace 1 &
server=$!
timeout 60 /lab/pace 0 >/results/pace || exit 1
wait $server
cat /results/pace
perf latency ib_send_lat -s 128 -n 4000
perf datagrams ib_send_bw -c UD -s 4096 -D 3 -f 1
perf connection ib_send_bw -c RC -s 4096 -D 3 -f 1
perf bursts ib_send_bw -c RC -s 65536 -D 3 -f 1
for idle in park adaptive; do
    /lab/synchrotron-ledger --daemon --program /lab/synchrotrond --nodes "$RING_NODES" --idle $idle \
        --seconds 3 >/results/ledger.$idle || exit 1
done
