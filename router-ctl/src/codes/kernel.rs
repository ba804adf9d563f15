//! RC03xx: the kernel's network configuration.

codes! {
    /// The kernel's network configuration cannot be read or watched.
    ///
    /// Causes:
    /// - the daemon may not open a netlink socket: a container or a unit with
    ///   too few rights (AF_NETLINK must be allowed)
    /// - no memory for the tables
    ///
    /// Mend:
    /// - run it as root, or with the systemd unit that comes with it
    /// - the cause is the kernel's own words
    NETLINK = "RC0301";
    /// The trunk does not exist.
    ///
    /// Causes:
    /// - a misspelt `interface` in `[[trunk]]`
    /// - the NIC has another name since a kernel or hardware change
    /// - the daemon started before the NIC was there, or runs in another
    ///   network namespace
    ///
    /// Mend:
    /// - `ip link` lists the interfaces; correct the name and start again
    TRUNK_MISSING = "RC0302";
    /// There is a device of the sub-interface's name, but it is another kind
    /// of device, or in use for something else.
    ///
    /// A sub-interface is an 802.1Q device with the network's VLAN on the
    /// network's trunk, without a master. One that fits is adopted.
    ///
    /// Causes:
    /// - a device of that name has another VLAN or another parent
    /// - it is a port of a bridge, a bond or a VRF
    ///
    /// Mend:
    /// - see what it is: ip -d link show NAME
    /// - name another: `interface = "lan100"` in `[[network]]`; or take it out
    ///   of the bridge: ip link set NAME nomaster
    INTERFACE_UNFIT = "RC0303";
    /// The kernel refuses to make or change a device or its addresses.
    ///
    /// Causes:
    /// - the kernel has no 802.1Q: the module 8021q is missing
    /// - the trunk cannot carry VLANs (a loopback or tunnel device)
    /// - the address belongs to another interface already
    ///
    /// Mend:
    /// - modprobe 8021q
    /// - the cause is the kernel's own words
    INTERFACE_REFUSED = "RC0304";
    /// A sysctl cannot be read or written.
    ///
    /// The daemon switches forwarding on below /proc/sys/net.
    ///
    /// Causes:
    /// - /proc/sys is read-only: a container, or a unit with
    ///   ProtectKernelTunables=yes
    /// - the kernel has no IPv6 (ipv6.disable=1) and the configuration has
    ///   IPv6 gateways
    ///
    /// Mend:
    /// - set it where it can be set, before the daemon starts: sysctl -w
    ///   net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    SYSCTL = "RC0305";
    /// An offload of the NIC cannot be switched as XDP needs it.
    ///
    /// XDP has to see VLAN tags, so rx-vlan-offload must be off on the trunk.
    ///
    /// Causes:
    /// - the driver has the offload fixed: `ethtool -k NIC` says [fixed]
    /// - the device belongs to a virtual function whose host decides
    ///
    /// Mend:
    /// - switch it off on the host, or use another NIC
    /// - without XDP: `xdp = "off"` on the trunk; the kernel forwards alone
    OFFLOAD = "RC0306";
    /// The kernel refuses to change a route, or to say where an address is.
    ///
    /// Causes:
    /// - `Network is unreachable`: no route leads to the next hop or address
    /// - `Nexthop has invalid gateway`: it is not on the link that is named
    /// - `Invalid argument`: `src` is not an address of this router
    ///
    /// Mend:
    /// - `router-ctl routes` and `router-ctl routes get IP` show what the
    ///   kernel knows; the network must be up: `router-ctl networks`
    ROUTE_REFUSED = "RC0307";
    /// There is such a route already.
    ///
    /// Causes:
    /// - `routes add` of a prefix and metric that are there
    /// - a route that a routing daemon or an operator made (another `proto`):
    ///   router-ctl changes only its own
    ///
    /// Mend:
    /// - `router-ctl routes replace ...` changes one of ours
    /// - give this one another metric, or remove the other with `ip route del`
    ROUTE_EXISTS = "RC0308";
    /// There is no such route, or it is not `proto router-ctl`.
    ///
    /// Causes:
    /// - it was removed already, or has another metric or next hop
    /// - somebody else made it: router-ctl removes only its own
    ///
    /// Mend:
    /// - `router-ctl routes` shows PROTO and METRIC; `ip route del` removes
    ///   those of others
    ROUTE_MISSING = "RC0309";
    /// The device or network that a route names does not exist.
    ///
    /// Causes:
    /// - a misspelt `dev`: it is a network's name or an interface
    /// - `from` is an address in none of the networks
    ///
    /// Mend:
    /// - `router-ctl networks` and `ip link` list the names
    DEVICE_UNKNOWN = "RC0310";
    /// The trunk cannot carry VLANs: it is a VLAN, a macvlan or an ipvlan device
    /// itself, or a port of a bridge, a bond or a VRF.
    ///
    /// Causes:
    /// - `interface` of [[trunk]] names a sub-interface instead of its NIC
    /// - the NIC is in use for something else
    ///
    /// Mend:
    /// - name the NIC itself; `ip -d link show` tells what is what
    TRUNK_UNFIT = "RC0312";
}
