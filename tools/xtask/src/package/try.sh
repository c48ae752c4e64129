# try.sh DIR SUITE MIRROR PROGRAM: in a mount namespace of its own, tries the packages in DIR/offered in a clean Debian.
dir=$1 suite=$2 mirror=$3 program=$4
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

if [ ! -e "$dir/clean.made" ]; then
	rm -rf "$dir/clean"
	eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
	export http_proxy https_proxy
	mkdir -p "$dir/cache"
	# What apt needs, and init-system-helpers, which any Debian with services has.
	debootstrap --variant=minbase --cache-dir="$(realpath "$dir/cache")" --include=init-system-helpers \
		"$suite" "$dir/clean" "$mirror" > "$dir/debootstrap.log"
	cp "$dir/sources.list" "$dir/clean/etc/apt/sources.list"
	cp "$dir/apt.conf" "$dir/clean/etc/apt/apt.conf.d/90host"
	cp -L /etc/resolv.conf /etc/hosts "$dir/clean/etc/"
	# Nothing may start that is installed here, and nothing need survive a power cut.
	printf '#!/bin/sh\nexit 101\n' > "$dir/clean/usr/sbin/policy-rc.d"
	chmod 755 "$dir/clean/usr/sbin/policy-rc.d"
	echo force-unsafe-io > "$dir/clean/etc/dpkg/dpkg.cfg.d/fast"
	chroot "$dir/clean" apt-get -qq update
	touch "$dir/clean.made"
fi

mkdir -p "$dir/layer" "$dir/archives/partial"
for scenario in alone below-pacemaker over-corosync; do
	echo "-- $scenario"
	mount -t tmpfs -o size=3g layer "$dir/layer"
	mkdir "$dir/layer/upper" "$dir/layer/work" "$dir/layer/root"
	root=$dir/layer/root
	mount -t overlay -o "lowerdir=$dir/clean,upperdir=$dir/layer/upper,workdir=$dir/layer/work" overlay "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	mount --bind "$dir/archives" "$root/var/cache/apt/archives"
	mkdir "$root/offered"
	mount --bind "$dir/offered" "$root/offered"
	cp "$dir/inside.sh" "$root/inside.sh"
	case $scenario in
	alone)
		chroot "$root" sh -eu /inside.sh installed
		# A program is built with what the development package brings, by this machine's compiler.
		lib=$(cd "$root" && echo usr/lib/*/libcpg.so) && lib=$root/${lib%/*}
		PKG_CONFIG_LIBDIR=$lib/pkgconfig pkg-config --exists --print-errors \
			libcpg libquorum libvotequorum libcmap libcfg libsam libcorosync_common corosync
		cc -Wall -Werror -I"$root/usr/include" -o "$root/program" "$program" -L"$lib" -Wl,-rpath-link,"$lib" \
			-lcpg -lquorum -lcorosync_common
		chroot "$root" sh -eu /inside.sh used
		chroot "$root" sh -eu /inside.sh upgraded
		chroot "$root" sh -eu /inside.sh removed
		;;
	*) chroot "$root" sh -eu /inside.sh "$scenario" ;;
	esac
	umount -l "$root/var/cache/apt/archives" "$root/offered" "$root/dev" "$root/proc"
	umount -l "$root"
	umount -l "$dir/layer"
done
