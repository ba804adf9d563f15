#!/bin/sh
# Becomes systemd, as the first process of namespaces of its own, which the
# caller has made: a small machine around a router's network namespace. Nothing
# of the real machine's services is in it, and nothing outside of it changes.
#
#   $1  the program that is to be /usr/local/bin/router-ctl
#   $2  the directory of the unit and of the group
set -eu

# The program first: what is mounted below may hide where it is.
mount -t tmpfs tmpfs /usr/local/bin
: > /usr/local/bin/router-ctl
mount --bind "$1" /usr/local/bin/router-ctl

# Network devices, pins and groups of processes: its own.
umount -R /sys
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf

# A machine on its first day, of Debian's files only what programs need.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/etc /run/lock
for file in alternatives group gshadow ld.so.cache ld.so.conf ld.so.conf.d nsswitch.conf os-release passwd shadow; do
    [ ! -e "/etc/$file" ] || cp -a "/etc/$file" /run/etc/
done
mkdir -p /run/etc/systemd/system /run/etc/sysusers.d
cp "$2"/router-ctl@.service /run/etc/systemd/system/
cp "$2"/router-ctl.sysusers.conf /run/etc/sysusers.d/router-ctl.conf
cat > /run/etc/systemd/system/machine.target <<UNIT
[Unit]
Description=A machine of the tests
DefaultDependencies=no
AllowIsolate=yes
Requires=systemd-journald.service
UNIT
mount --bind /run/etc /etc

# Of Debian's units those without which there are no services: what else they
# would pull in is not this machine's, and takes minutes under emulation.
mkdir /run/units
for unit in basic local-fs multi-user network-pre paths shutdown slices sockets swap sysinit timers; do
    cp "/lib/systemd/system/$unit.target" /run/units/
done
cp /lib/systemd/system/systemd-journald.service /lib/systemd/system/systemd-journald*.socket /run/units/
mount --bind /run/units /lib/systemd/system
mount -t tmpfs tmpfs /lib/systemd/system-generators
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /var/log
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mount -t tmpfs -o mode=1777 tmpfs /tmp

# As README.md says.
systemd-sysusers router-ctl.conf

exec env -i container=router-tests PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=machine.target --log-target=journal --show-status=no
