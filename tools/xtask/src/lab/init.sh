#!/bin/sh
# First process of the RDMA lab: kernel modules, two switches, and for every node an Ethernet port with a
# soft-RoCE device on it, and a second port on the second switch; then the command, its exit code on the console, its files on the second port.
#
# Soft RoCE of today's kernels sends and receives in the first network namespace only. So the ports of all
# nodes live there, the switch in a namespace of its own, and routing rules make a packet for another node
# leave by its sender's port instead of taking the short way through the machine. What shall be out of band
# (a test program's own TCP connection) goes to 127.0.0.1. busybox's shell prefers its own `ip`, `tc` and
# `taskset`: call /usr/bin/ip and /usr/bin/tc by path.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root
/bin/busybox mkdir -p /sbin /usr/sbin /bin /usr/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /dev/shm /dev/pts /run/netns /results
mount -t tmpfs shm /dev/shm
chmod 1777 /tmp
ulimit -l unlimited
ulimit -c 0

finish() {
    sync
    stty -F /dev/ttyS1 raw 2>/dev/null
    tar -C /results -cf - . >/dev/ttyS1 2>/dev/null
    echo "RDMA-LAB-EXIT $1"
    poweroff -f
    sleep 10
}

# Does a step of the lab's own set-up.
must() {
    "$@" || { echo "rdma-lab: failed: $*"; finish 125; }
}

nodes=$(sed -n 's/.*lab_nodes=\([0-9]*\).*/\1/p' /proc/cmdline)
for module in $(cat /modules/order); do
    must insmod "/modules/$module"
done
# Device nodes as udev would make them.
mkdir -p /dev/infiniband
cm=$(cat /sys/class/misc/rdma_cm/dev)
[ -e /dev/infiniband/rdma_cm ] || mknod /dev/infiniband/rdma_cm c "${cm%:*}" "${cm#*:}"

ip=/usr/bin/ip
must $ip link set lo up
for key in net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
    net.ipv4.conf.all.accept_local=1 net.ipv4.conf.default.accept_local=1 \
    net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.default.arp_ignore=1 \
    net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.default.arp_announce=2 \
    net.core.rmem_max=16777216 net.core.wmem_max=16777216; do
    must sysctl -q -w $key
done
must $ip netns add switch
for bridge in br0 br1; do
    must $ip -n switch link add $bridge mtu 4500 type bridge mcast_snooping 0
    must $ip -n switch link set $bridge up
done

# Makes a port: its name, the other end of its cable, the bridge there, the net, the node and the routing table.
port() {
    must $ip link add "$1" mtu 4500 type veth peer name "$2" mtu 4500 netns switch
    must $ip -n switch link set "$2" master "$3" up
    must $ip addr add "10.$4.0.$5/24" dev "$1"
    must $ip -6 addr add "fd$4::$5/64" dev "$1" nodad
    must $ip link set "$1" up
    must $ip rule add pref 10 iif "$1" lookup local
    must $ip rule add pref 20 from "10.$4.0.$5" lookup "$6"
    must $ip route add "10.$4.0.0/24" dev "$1" src "10.$4.0.$5" table "$6"
    must $ip route add 224.0.0.0/4 dev "$1" table "$6"
    # With the port down nothing may leave by another node's.
    must $ip route add unreachable default metric 1000 table "$6"
    must $ip -6 rule add pref 10 iif "$1" lookup local
    must $ip -6 rule add pref 20 from "fd$4::$5" lookup "$6"
    must $ip -6 route add "fd$4::/64" dev "$1" src "fd$4::$5" table "$6"
    must $ip -6 route add ff00::/8 dev "$1" table "$6"
    must $ip -6 route add unreachable default metric 1000 table "$6"
}

i=0
while [ $i -lt "$nodes" ]; do
    a=$((i + 1))
    port v$i p$i br0 77 $a $((100 + i))
    port u$i q$i br1 78 $a $((200 + i))
    must rdma link add rxe$i type rxe netdev v$i
    i=$a
done
for family in -4 -6; do
    must $ip $family rule add pref 30000 lookup local
    must $ip $family rule del pref 0 lookup local
done
for device in /sys/class/infiniband_verbs/uverbs*; do
    name=${device##*/}
    number=$(cat "$device/dev")
    [ -e "/dev/infiniband/$name" ] || mknod "/dev/infiniband/$name" c "${number%:*}" "${number#*:}"
done

export LAB_NODES=$nodes
cd /root || finish 125
sh /lab/command
finish $?
