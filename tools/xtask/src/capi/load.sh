# load.sh DIR LOAD CAPI NODES SECONDS ENGINE BYTES...: in a network and mount namespace of its own, runs the program LOAD
# on every node of a cluster of ENGINE (corosync, or the path of synchrotrond), each node in a namespace of its own, for
# messages of each size. Both engines run the same corosync.conf; CAPI has our libraries.
dir=$1 load=$2 capi=$3 nodes=$4 seconds=$5 engine=$6
shift 6

fail() {
	echo "load: $*" >&2
	exit 1
}

# On a node: its own /run, /dev/shm and state, so that both engines are where programs look for them.
# on NODE COMMAND...
on() {
	holder=$(cat "$dir/holder.$1")
	shift
	nsenter --target "$holder" --net --mount -- "$@"
}

pids=
trap 'kill -9 $pids 2> /dev/null || true' EXIT
ip link add bridge type bridge mcast_snooping 0
ip link set bridge up
list=
for node in $(seq "$nodes"); do
	# Somebody who holds the namespaces.
	rm -f "$dir/holder.$node"
	unshare --net --mount --propagation private sh -eu -c '
		ip link set lo up
		for place in /dev/shm /run /var/lib/corosync /var/lib/synchrotron; do
			mkdir -p $place && mount -t tmpfs -o size=1g node $place
		done
		mkdir /run/synchrotron
		echo $$ > "$0.new" && mv "$0.new" "$0"
		exec sleep infinity' "$dir/holder.$node" &
	pids="$pids $!"
	until test -e "$dir/holder.$node"; do sleep 0.02; done
	ip link add "node$node" type veth peer name eth0 netns "$(cat "$dir/holder.$node")"
	ip link set "node$node" master bridge up
	on "$node" ip addr add "10.77.0.$node/24" dev eth0
	on "$node" ip link set eth0 up
	list="$list node {
    nodeid: $node
    name: n$node
    ring0_addr: 10.77.0.$node
  }
 "
done
head -c 256 /dev/urandom > "$dir/authkey"
chmod 400 "$dir/authkey"
cat > "$dir/corosync.conf" <<END
totem {
  version: 2
  cluster_name: load
  transport: knet
  crypto_cipher: aes256
  crypto_hash: sha256
  keyfile: $dir/authkey
}
system {
  sched_rr: no
  priority: -10
  move_to_root_cgroup: no
  allow_knet_handle_fallback: yes
}
resources {
  watchdog_device: off
}
quorum {
  provider: corosync_votequorum
}
logging {
  to_stderr: no
  to_syslog: no
}
nodelist {
 $list}
END
for node in $(seq "$nodes"); do
	case $engine in
	corosync) on "$node" corosync -f -c "$dir/corosync.conf" > "$dir/engine.$node" 2>&1 & ;;
	*) on "$node" "$engine" --corosync-conf "$dir/corosync.conf" > "$dir/engine.$node" 2>&1 & ;;
	esac
	pids="$pids $!"
done
case $engine in corosync) libraries= ;; *) libraries=$capi ;; esac
for bytes in "$@"; do
	# A program that finds no engine yet says so and is started again.
	running=
	for node in $(seq "$nodes"); do
		(
			tries=0
			until on "$node" env LD_LIBRARY_PATH="$libraries" "$load" "$nodes" "$bytes" "$seconds" \
				> "$dir/out.$node" 2> "$dir/err.$node"; do
				tries=$((tries + 1))
				grep -q 'no group' "$dir/err.$node" && test $tries -lt 100 || exit 1
				sleep 0.2
			done
		) &
		running="$running $!"
	done
	for one in $running; do
		wait "$one" || fail "$(cat "$dir"/err.* "$dir"/engine.*)"
	done
	for node in $(seq "$nodes"); do
		echo "$(basename "$engine") $bytes bytes, $(cat "$dir/out.$node")"
	done
done
