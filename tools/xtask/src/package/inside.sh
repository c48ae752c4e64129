# inside.sh STEP, in the clean Debian: one step of the trial.
ours="synchrotron synchrotron-corosync synchrotron-corosync-notifyd synchrotron-corosync-libs synchrotron-corosync-dev"
theirs="corosync corosync-vqsim corosync-notifyd libcfg7 libcmap4 libcorosync-common4 libcpg4 libquorum5 libsam4 libvotequorum8"

get() {
	apt-get install -y -qq --no-install-recommends "$@"
}

fail() {
	echo "try: $*" >&2
	exit 1
}

# Every file of the system, but what ends with it and what dpkg, apt and ldconfig write down for themselves.
files() {
	find / -xdev \( -path /proc -o -path /run -o -path /dev -o -path /offered -o -path /tmp -o -path /var/lib/dpkg -o -path /var/lib/apt \
		-o -path /var/cache -o -path /var/log/apt -o -path /var/log/dpkg.log -o -path /etc/ld.so.cache \) -prune \
		-o ! -name '*-' -print | sort
}

# What was installed is there as it was packed, and it is Debian's no more.
look() {
	test -z "$(dpkg -V $ours 2>&1)" || fail "dpkg -V: $(dpkg -V $ours)"
	for package in $theirs; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
		case $status in installed) fail "Debian's $package is installed" ;; esac
	done
	for library in cfg.so.7 cmap.so.4 corosync_common.so.4 cpg.so.4 quorum.so.5 sam.so.4 votequorum.so.8; do
		ldconfig -p | grep -q "lib$library " || fail "the loader does not know lib$library"
	done
}

case $1 in
installed)
	files > /tmp/before
	get /offered/1/*.deb > /dev/null
	look
	getent passwd synchrotron > /dev/null || fail "no user"
	test "$(stat -c %U /var/lib/synchrotron)" = synchrotron
	test "$(stat -c '%U %G %a' /etc/synchrotron)" = "root synchrotron 750"
	test -e /etc/systemd/system/multi-user.target.wants/corosync.service || fail "corosync.service is not enabled"
	test ! -e /etc/systemd/system/multi-user.target.wants/synchrotron.service || fail "synchrotron.service is enabled"
	for tool in blackbox cfgtool cmapctl cpgtool keygen notifyd quorumtool; do
		corosync-$tool -h | grep -q "^usage: corosync-$tool" || fail "corosync-$tool -h"
	done
	corosync-vqsim --help > /dev/null
	test "$(corosync-quorumtool -V)" = "corosync-quorumtool version: 3.1.7"
	synchrotron --version && synchrotrond --version
	;;
used)
	corosync-keygen > /dev/null
	test "$(stat -c '%a %s' /etc/corosync/authkey)" = "400 256"
	cat > /etc/corosync/corosync.conf <<- END
		totem {
		    version: 2
		    cluster_name: trial
		    transport: knet
		    crypto_cipher: aes256
		    crypto_hash: sha256
		}
		nodelist {
		    node {
		        ring0_addr: 127.0.0.1
		        nodeid: 1
		        name: one
		    }
		}
		quorum {
		    provider: corosync_votequorum
		}
	END
	# The engine, by the line of its unit.
	options=$(sed -n 's/^Environment="SYNCHROTRON_OPTIONS=\(.*\)"$/\1/p' /usr/lib/systemd/system/corosync.service)
	grep -q '^ExecStart=/usr/sbin/synchrotrond $SYNCHROTRON_OPTIONS$' /usr/lib/systemd/system/corosync.service
	mkdir -p /run/synchrotron
	synchrotrond $options --check
	synchrotrond $options > /tmp/engine.log 2>&1 &
	engine=$!
	tries=0
	until corosync-quorumtool -s > /tmp/quorum 2>&1; do
		tries=$((tries + 1))
		kill -0 $engine && test $tries -lt 200 || { cat /tmp/engine.log /tmp/quorum; fail "no quorum"; }
		sleep 0.1
	done
	grep -q '^Quorate: *Yes' /tmp/quorum || fail "$(cat /tmp/quorum)"
	test "$(corosync-cmapctl -g totem.cluster_name)" = "totem.cluster_name (str) = trial"
	test "$(/program)" = "heard, quorate 1" || fail "the program that was built here"
	kill $engine
	wait $engine || fail "the engine ended with $?"
	;;
upgraded)
	echo kept > /var/lib/synchrotron/kept
	get /offered/2/*.deb > /dev/null
	look
	case $(dpkg-query -W -f '${Version}' synchrotron-corosync-libs) in *.1) ;; *) fail "not upgraded" ;; esac
	test "$(cat /var/lib/synchrotron/kept)" = kept
	test -e /etc/systemd/system/multi-user.target.wants/corosync.service
	;;
removed)
	apt-get remove -y -qq $ours > /dev/null
	test ! -e /usr/sbin/synchrotrond && test ! -e /usr/sbin/corosync-cfgtool
	test "$(cat /var/lib/synchrotron/kept)" = kept || fail "a removal took state away"
	dpkg -P $ours > /dev/null
	test -f /etc/corosync/corosync.conf && test -f /etc/corosync/authkey || fail "a purge took what the operator made"
	rm -r /etc/corosync /program
	apt-get autoremove -y -qq --purge > /dev/null
	files > /tmp/after
	diff /tmp/before /tmp/after || fail "something is left"
	;;
below-pacemaker)
	get /offered/1/*.deb > /dev/null
	get pacemaker > /tmp/apt.log || { cat /tmp/apt.log; fail "pacemaker cannot be installed on top"; }
	look
	apt-get check -qq
	dpkg-query -W pacemaker
	# Every symbol that its programs ask for is there.
	for program in /usr/sbin/pacemakerd /usr/lib/pacemaker/pacemaker-controld /usr/lib/pacemaker/pacemaker-based; do
		LD_BIND_NOW=1 ldd -r "$program" > /tmp/ldd 2>&1
		if grep -E 'undefined|not found|no version' /tmp/ldd; then fail "$program"; fi
	done
	LD_BIND_NOW=1 pacemakerd --features
	get corosync-qdevice sbd dlm-controld > /tmp/apt.log || { cat /tmp/apt.log; fail "other clients"; }
	look
	# Corosync's own notices, with D-Bus and SNMP, in the place of ours.
	get corosync-notifyd > /tmp/apt.log || { cat /tmp/apt.log; fail "corosync-notifyd"; }
	ours=$(echo "$ours" | sed 's/synchrotron-corosync-notifyd//')
	theirs=$(echo "$theirs" | sed 's/corosync-notifyd//')
	look
	# Its help ends with 1.
	LD_BIND_NOW=1 corosync-notifyd -h 2>&1 | grep -q DBUS || fail "corosync-notifyd -h"
	;;
over-corosync)
	get corosync pacemaker libcpg-dev > /dev/null
	echo "# mine" >> /etc/corosync/corosync.conf
	get /offered/1/*.deb > /tmp/apt.log || { cat /tmp/apt.log; fail "cannot replace Corosync"; }
	look
	test "$(dpkg-query -W -f '${db:Status-Status}' pacemaker)" = installed || fail "pacemaker is gone"
	tail -n 1 /etc/corosync/corosync.conf | grep -qx '# mine' || fail "its configuration is gone"
	test -e /etc/systemd/system/multi-user.target.wants/corosync.service || fail "corosync.service is not enabled"
	test ! -e /etc/systemd/system/corosync.service || fail "corosync.service is masked"
	synchrotrond --corosync-conf /etc/corosync/corosync.conf --check
	# And back.
	get corosync > /tmp/apt.log || { cat /tmp/apt.log; fail "cannot go back to Corosync"; }
	test "$(dpkg-query -W -f '${db:Status-Status}' pacemaker)" = installed || fail "pacemaker is gone"
	test -x /usr/sbin/corosync
	;;
esac
