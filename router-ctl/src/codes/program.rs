//! RC04xx: the XDP program, its maps and pins.

codes! {
    /// There is no bpffs, and none can be mounted.
    ///
    /// Maps and links are pinned there, so that forwarding outlives the daemon.
    ///
    /// Causes:
    /// - a container without /sys/fs/bpf, or one that may not mount
    /// - `ip netns exec` hides it: use nsenter --net=/run/netns/NAME
    ///
    /// Mend:
    /// - mount -t bpf bpf /sys/fs/bpf
    /// - or name another with `router-ctl run --bpffs DIR`
    BPFFS = "RC0401";
    /// The kernel refuses the program or its maps.
    ///
    /// Causes:
    /// - the daemon may not load programs: it needs CAP_BPF and CAP_NET_ADMIN,
    ///   or root; some kernels also forbid it under lockdown
    /// - the kernel is older than 6.1, or built without BPF
    /// - no memory for the maps, or a low limit of locked memory
    ///
    /// Mend:
    /// - run it as root or with its systemd unit; `uname -r` shows the kernel
    /// - the cause is the kernel's own words: they help those who develop it
    PROGRAM_REFUSED = "RC0402";
    /// The kernel or the driver refuses to attach the program.
    ///
    /// router-ctl never falls back to generic XDP silently: it is slow, and
    /// breaks packets where offloads are on.
    ///
    /// Causes:
    /// - the driver has no native XDP
    /// - the MTU is too large for it
    /// - too few queues (virtio), or LRO is on
    /// - the trunk is itself a VLAN, a macvlan or a port of a bond
    ///
    /// Mend:
    /// - the cause is the kernel's own words: mend what it names (ip link set
    ///   NIC mtu N, ethtool -L, ethtool -K NIC lro off)
    /// - or set `xdp = "off"` on the trunk: the kernel forwards alone; or,
    ///   knowing what it costs, `xdp = "generic"`
    ATTACH_REFUSED = "RC0403";
    /// Another XDP program is attached to the trunk.
    ///
    /// Causes:
    /// - another tool uses XDP there: a load balancer, a firewall, a capture
    /// - an instance of router-ctl with another name has this trunk
    ///
    /// Mend:
    /// - see whose it is: bpftool prog show id ID
    /// - end it there, or detach it with the command that `help:` names
    /// - or let the daemon do it: router-ctl run --takeover
    FOREIGN_PROGRAM = "RC0404";
    /// A map cannot be read or written.
    ///
    /// Causes:
    /// - it is full: more networks, or more local addresses, than it holds
    /// - no memory
    /// - another program changed or removed the pins below /sys/fs/bpf
    ///
    /// Mend:
    /// - the daemon tries again by itself; `router-ctl status` says whether it
    ///   came through. If not, restart it: forwarding goes on
    MAP = "RC0405";
    /// Something stands where the daemon pins its maps and links, and is not
    /// its own. It is neither used nor removed.
    ///
    /// A daemon does not start with it; one that runs is degraded: it goes on, and
    /// forwarding would not outlive it.
    ///
    /// Causes:
    /// - another program, or a person, pinned something below
    ///   /sys/fs/bpf/router-ctl
    /// - a folder there belongs to another user, or others may write it: who
    ///   can write there decides where packets go
    ///
    /// Mend:
    /// - look at what the cause names: ls -l, bpftool link show pinned FILE
    /// - if nobody needs it, remove it with rm; a daemon that runs pins its own
    ///   again within a second, another one can be started then
    FOREIGN_PIN = "RC0406";
}
