# The ring over UDP through netem; then, where Corosync was taken along, it and ours in turn through the same loss.
# Results in /results. Namespaces that a benchmark makes get their weather as soon as they are there.
export LD_LIBRARY_PATH=/lab PATH=$PATH:/lab

bring() {
    while sleep 0.2; do
        for switch in $(/usr/bin/ip netns list 2>/dev/null | sed -n 's/^\(syn[^ ]*-sw\).*/\1/p'); do
            for host in 0 1 2 3 4 5 6 7; do
                /usr/bin/ip -n "${switch%sw}$host" link set eth0 gso_max_segs 1 2>/dev/null || break
                [ -z "$1" ] || /usr/bin/ip netns exec "$switch" /usr/bin/tc qdisc add dev p$host root netem \
                    limit 10000 $1 2>/dev/null
            done
        done
    done
}

/lab/synchrotron-weather --daemon --program /lab/synchrotrond --nodes "$RING_NODES" --seconds 4 >/results/weather
code=$?
cat /results/weather
mkdir -p /var/lib/corosync /etc/corosync /var/log/corosync
ln -s /run /var/run
[ -e /lab/corosync ] && for percent in 0 0.1 1 5 10; do
    loss="loss $percent%"
    [ $percent = 0 ] && loss=
    bring "$loss" &
    watcher=$!
    timeout 75 /lab/synchrotron bench compare --json --flood-only --pairs 1 --nodes "$RING_NODES" --senders all \
        --seconds 3 --patience 0 --transport knet >/results/corosync.$percent 2>/tmp/said ||
        { echo "beside Corosync at $percent %: ended with $?"; tail -c 1500 /tmp/said | tee /results/corosync.$percent.failed; }
    kill $watcher
    echo "loss $percent %:" $(grep -o '"engine":"[a-z]*\|"messages_per_second":[0-9.]*\|"order_identical":[a-z]*' \
        /results/corosync.$percent)
    for space in $(/usr/bin/ip netns list | cut -d' ' -f1 | grep ^syn); do /usr/bin/ip netns del "$space"; done
    for program in corosync synchrotron; do killall -9 $program 2>/dev/null; done
done
exit $code
