//! RC01xx: the configuration.

codes! {
    /// The configuration file cannot be read.
    ///
    /// Causes:
    /// - the path is wrong, or the file is not there yet
    /// - it belongs to somebody else and you may not read it
    /// - it is not UTF-8, or far too long for a configuration
    ///
    /// Mend:
    /// - name the right file: `router-ctl run --config FILE`
    /// - `router-ctl config --help` shows an example to begin with
    CONFIG_UNREADABLE = "RC0101";
    /// Users other than its owner and root may write the configuration file.
    ///
    /// Who may write it decides where root's router sends packets, so it is
    /// refused.
    ///
    /// Causes:
    /// - its mode lets the group or others write
    /// - it belongs to another user than who called sudo, and root is to run by it
    /// - its folder is anybody's to write (and not sticky): another file may be
    ///   put in its place
    ///
    /// Mend:
    /// - take that right away: chmod go-w FILE, chown root FILE, or chmod o-w FOLDER
    CONFIG_UNTRUSTED = "RC0102";
    /// The configuration file is not TOML.
    ///
    /// Causes:
    /// - a value without quotes: `name = mac10` for `name = "mac10"`
    /// - a missing bracket: a network begins with `[[network]]`, two of each
    /// - the same key twice in one section
    ///
    /// Mend:
    /// - mend the line that the error shows; `router-ctl config check FILE`
    ///   says whether the rest is right
    CONFIG_SYNTAX = "RC0103";
    /// There is no such key, or no such section.
    ///
    /// Nothing is ignored silently: a misspelt key would be a setting that does
    /// not work.
    ///
    /// Causes:
    /// - a misspelt key
    /// - a key of another section: `vlan` belongs to `[[network]]`
    /// - a key of a newer version
    ///
    /// Mend:
    /// - the help line names the key that is meant; `router-ctl config --help`
    ///   shows all of them
    UNKNOWN_KEY = "RC0104";
    /// The value is of another type than the key wants.
    ///
    /// Causes:
    /// - a number in quotes, as in `vlan = "100"`
    /// - a string where a list is wanted, or the other way round
    ///
    /// Mend:
    /// - the error says which type it wants
    WRONG_TYPE = "RC0105";
    /// A key that must be there is missing.
    ///
    /// Causes:
    /// - a `[[trunk]]` without `interface`, a `[[network]]` without `name`
    /// - a route without `to`, or without `via` and `network`
    ///
    /// Mend:
    /// - add the key that the error names
    MISSING_KEY = "RC0106";
    /// The gateway cannot be a gateway's address: not a host of its subnet, or
    /// not an address that may be routed.
    ///
    /// Causes:
    /// - the network's own address (172.16.10.0/24) or its broadcast address
    ///   (172.16.10.255/24)
    /// - a loopback, multicast or link-local address
    /// - the prefix length is missing or wrong
    ///
    /// Mend:
    /// - give the address that the containers use as their gateway, with the
    ///   prefix length of their subnet: `gateway = ["172.16.10.1/24"]`
    GATEWAY_INVALID = "RC0107";
    /// The value is not among those that the key accepts, or out of range.
    ///
    /// Causes:
    /// - a VLAN that is not 1 to 4094
    /// - a misspelt word, as in `xdp = "natve"`
    ///
    /// Mend:
    /// - the error says what the key accepts
    BAD_VALUE = "RC0108";
    /// The name has characters that it may not have, or too many.
    ///
    /// Causes:
    /// - an interface name of more than 15 characters: the kernel's limit. A
    ///   sub-interface is called TRUNK.VLAN where the file does not say
    ///   otherwise
    /// - a space, slash or colon in a name
    ///
    /// Mend:
    /// - give the sub-interface a shorter name: `interface = "lan100"`
    BAD_NAME = "RC0109";
    /// The same name, VLAN, interface, address or route occurs twice.
    ///
    /// Causes:
    /// - a section that was copied and not changed in all places
    ///
    /// Mend:
    /// - the error shows both places; change or remove one
    DUPLICATE = "RC0110";
    /// There is no trunk, or no network: nothing to do.
    ///
    /// Causes:
    /// - an empty or half-written file
    /// - `router-ctl run --trunk ...` without `--network`
    ///
    /// Mend:
    /// - a configuration needs one `[[trunk]]` and one `[[network]]` at least;
    ///   `router-ctl config --help` shows one
    NOTHING_TO_ROUTE = "RC0111";
    /// The network's trunk is not configured, or it is not said which one.
    ///
    /// Causes:
    /// - a misspelt `trunk = "..."`
    /// - several trunks, and a network that does not say which one carries it
    ///
    /// Mend:
    /// - add `trunk = "INTERFACE"` to the network, with the name of a `[[trunk]]`
    TRUNK_UNKNOWN = "RC0112";
    /// The subnets of two networks overlap.
    ///
    /// The kernel would send the packets of both to one of them.
    ///
    /// Causes:
    /// - a prefix length that is too short, as /16 for /24
    /// - the same subnet behind two VLANs
    ///
    /// Mend:
    /// - the error shows both gateways; change one subnet, or its length
    OVERLAP = "RC0113";
    /// The next hop is not a host of any network.
    ///
    /// Causes:
    /// - a typing mistake in `via`
    /// - the next hop is in a subnet that only the uplink knows, and the route
    ///   does not name the uplink
    /// - it is one of this router's own gateways
    /// - it is link-local (fe80::...), which is on every network, and none is named
    ///
    /// Mend:
    /// - correct `via`, or say by which network it is reached:
    ///   `network = "wan"`, or `dev wan` in words
    NEXT_HOP_INVALID = "RC0114";
    /// The network is not configured.
    ///
    /// Causes:
    /// - a misspelt name in a route
    /// - the network was removed, the route to it was not
    ///
    /// Mend:
    /// - use the name of a `[[network]]`; `router-ctl networks` lists those of
    ///   the running daemon
    NETWORK_UNKNOWN = "RC0115";
    /// IPv4 and IPv6 are mixed in one route.
    ///
    /// Causes:
    /// - an IPv6 destination with an IPv4 next hop or source address, or the
    ///   other way round
    /// - `default` together with -4 or -6 that does not fit the next hop
    ///
    /// Mend:
    /// - write one route for each family
    FAMILY_MISMATCH = "RC0116";
    /// More trunks or networks than the program's maps hold.
    ///
    /// Causes:
    /// - a generated configuration
    ///
    /// Mend:
    /// - split it over several instances, each with trunks of its own:
    ///   `router-ctl run --instance NAME --config FILE`
    TOO_MANY = "RC0117";
    /// The key is planned and not built yet.
    ///
    /// Causes:
    /// - `[nat]`, `[[policy]]` or a `policy_default` other than "accept"
    ///
    /// Mend:
    /// - remove the section; where the kernel's own rules must apply to what is
    ///   forwarded, set `xdp = "off"` on the trunk: then the kernel forwards
    NOT_YET = "RC0118";
    /// Not an address, or not an address with a prefix length.
    ///
    /// Causes:
    /// - a typing mistake, or a name in place of an address
    /// - `10.9.0.1/16` as a destination: bits are set behind the prefix
    ///
    /// Mend:
    /// - addresses are 172.16.10.1 or fd00:10::1, networks 10.9.0.0/16 or
    ///   fd00:10::/64; the help line names the network that is meant
    BAD_ADDRESS = "RC0119";
    /// The daemon has no configuration file: there is nothing to apply, to compare
    /// or to write to.
    ///
    /// Causes:
    /// - it was started with --trunk and --network in place of --config
    ///
    /// Mend:
    /// - `router-ctl config show` prints a file that says the same: start the
    ///   daemon with that, `router-ctl run --config FILE`
    CONFIG_WITHOUT_FILE = "RC0120";
    /// The configuration could not be put into force, and the one before is in
    /// force again.
    ///
    /// The cause is why; other networks have lost nothing.
    ///
    /// Causes:
    /// - the kernel refuses a device, an address, a route or the XDP program
    ///
    /// Mend:
    /// - mend what the cause names, and `router-ctl config apply` again
    APPLY_FAILED = "RC0121";
    /// The configuration could not be put into force, and the one before it not
    /// entirely put back.
    ///
    /// Causes:
    /// - something that was removed on the way cannot be made again: a device
    ///   that has gone meanwhile, or an address that another one has
    ///
    /// Mend:
    /// - `router-ctl status` names what is missing; mend it, and
    ///   `router-ctl config apply` again
    APPLY_HALF_UNDONE = "RC0122";
    /// There is nothing to confirm.
    ///
    /// Causes:
    /// - the time is up, and the configuration before came back
    /// - the last apply was without --confirm, or is confirmed already
    ///
    /// Mend:
    /// - `router-ctl status` says what is in force; `router-ctl config apply`
    ///   puts the file into force again
    NOTHING_TO_CONFIRM = "RC0123";
    /// There is no configuration to go back to.
    ///
    /// Causes:
    /// - nothing was applied since the daemon was set up, or after `down`
    ///
    /// Mend:
    /// - change the file, and `router-ctl config apply`
    NO_PREVIOUS = "RC0124";
    // RC0125 was NO_ROOM: the maps grow.
    /// The configuration file could not be written.
    ///
    /// Causes:
    /// - the disk is full or read-only, or the file was changed meanwhile
    ///
    /// Mend:
    /// - make room, or make the change in the file by hand and
    ///   `router-ctl config apply`
    CONFIG_UNWRITABLE = "RC0126";
}
