# The ring over UDP through netem; where Corosync was taken along, it and ours in turn through the same weather
# instead. Results in /results.
export LD_LIBRARY_PATH=/lab PATH=$PATH:/lab

if [ -e /lab/corosync ]; then
    mkdir -p /var/lib/corosync /etc/corosync /var/log/corosync
    ln -s /run /var/run
    # What fails is in the results, and the one who started us looks there.
    /lab/synchrotron bench suite --rows 22 $SUITE_OPTIONS --patience 0 --out /results/beside 2>&1 | cat
    [ -e /results/beside/report.html ]
else
    /lab/synchrotron-weather --daemon --program /lab/synchrotrond --nodes "$RING_NODES" --seconds 4 >/results/weather
    code=$?
    cat /results/weather
    exit $code
fi
