//! Every error code that users can meet, once.
//!
//! | range | who |
//! |---|---|
//! | RC00xx | the command line |
//! | RC01xx | the configuration |
//! | RC02xx | talking to the daemon: socket, permission, requests |
//! | RC03xx | the kernel's network configuration: netlink, sysctl, offloads |
//! | RC04xx | the XDP program, its maps and pins |
//! | RC05xx | journal and take-down |
//!
//! Invariant: a number keeps its meaning; a retired one is never used again
//! (people search for them).

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)*) => {
        $(
            $(#[doc = $doc])+
            pub const $name: &str = $code;
        )*

        /// Every code, for the tests below.
        #[cfg(test)]
        const ALL: &[&str] = &[$($code),*];
    };
}

codes! {
    // RC00xx: the command line
    /// The command line does not say what to do: unknown or missing words.
    USAGE = "RC0001";
    /// Standard output or standard error could not be written.
    OUTPUT = "RC0002";
    /// The event loop could not be started: out of memory or file descriptors.
    RUNTIME = "RC0003";

    // RC01xx: the configuration
    /// The configuration file cannot be read.
    CONFIG_UNREADABLE = "RC0101";
    /// Users other than its owner may write the configuration file.
    CONFIG_UNTRUSTED = "RC0102";
    /// The configuration file is not TOML.
    CONFIG_SYNTAX = "RC0103";
    /// There is no such key, or no such section.
    UNKNOWN_KEY = "RC0104";
    /// The value is of another type than the key wants.
    WRONG_TYPE = "RC0105";
    /// A key that must be there is missing.
    MISSING_KEY = "RC0106";
    /// The gateway cannot be a gateway's address: not a host of its subnet, or
    /// not an address that may be routed.
    GATEWAY_INVALID = "RC0107";
    /// The value is not among those that the key accepts, or out of range.
    BAD_VALUE = "RC0108";
    /// The name has characters that it may not have, or too many.
    BAD_NAME = "RC0109";
    /// The same name, VLAN, interface, address or route occurs twice.
    DUPLICATE = "RC0110";
    /// There is no trunk, or no network: nothing to do.
    NOTHING_TO_ROUTE = "RC0111";
    /// The network's trunk is not configured, or it is not said which one.
    TRUNK_UNKNOWN = "RC0112";
    /// The subnets of two networks overlap.
    OVERLAP = "RC0113";
    /// The next hop is not a host of any network.
    NEXT_HOP_INVALID = "RC0114";
    /// The network is not configured.
    NETWORK_UNKNOWN = "RC0115";
    /// IPv4 and IPv6 are mixed in one route.
    FAMILY_MISMATCH = "RC0116";
    /// More trunks or networks than the program's maps hold.
    TOO_MANY = "RC0117";
    /// The key is planned and not built yet.
    NOT_YET = "RC0118";
    /// Not an address, or not an address with a prefix length.
    BAD_ADDRESS = "RC0119";

    // RC02xx: talking to the daemon
    /// No daemon of this instance is running.
    NOT_RUNNING = "RC0201";
    /// The user may not talk to the daemon, or may only read.
    NOT_PERMITTED = "RC0202";
    /// A daemon of this instance is running already.
    ALREADY_RUNNING = "RC0203";
    /// The daemon's socket could not be made.
    SOCKET = "RC0204";
    /// The daemon did not answer, or not as it should.
    NO_ANSWER = "RC0205";
    /// The daemon does not understand the request: another version, mostly.
    BAD_REQUEST = "RC0206";
    /// The daemon is up, but something keeps it from forwarding everything.
    DEGRADED = "RC0207";

    // RC03xx: the kernel's network configuration
    /// The kernel's network configuration cannot be read or watched.
    NETLINK = "RC0301";
    /// The trunk does not exist.
    TRUNK_MISSING = "RC0302";
    /// There is a device of the sub-interface's name, but it is another kind
    /// of device, or in use for something else.
    INTERFACE_UNFIT = "RC0303";
    /// The kernel refuses to make or change a device or its addresses.
    INTERFACE_REFUSED = "RC0304";
    /// A sysctl cannot be read or written.
    SYSCTL = "RC0305";
    /// An offload of the NIC cannot be switched as XDP needs it.
    OFFLOAD = "RC0306";
    /// The kernel refuses to change a route.
    ROUTE_REFUSED = "RC0307";
    /// There is such a route already.
    ROUTE_EXISTS = "RC0308";
    /// There is no such route, or it is not `proto router-ctl`.
    ROUTE_MISSING = "RC0309";
    /// The device or network that a route names does not exist.
    DEVICE_UNKNOWN = "RC0310";

    // RC04xx: the XDP program
    /// There is no bpffs, and none can be mounted.
    BPFFS = "RC0401";
    /// The kernel refuses the program or its maps.
    PROGRAM_REFUSED = "RC0402";
    /// The kernel or the driver refuses to attach the program.
    ATTACH_REFUSED = "RC0403";
    /// Another XDP program is attached to the trunk.
    FOREIGN_PROGRAM = "RC0404";
    /// A map cannot be read or written.
    MAP = "RC0405";

    // RC05xx: journal and take-down
    /// The journal cannot be read or written.
    JOURNAL = "RC0501";
    /// Something that was done could not be undone.
    UNDO = "RC0502";
    /// The daemon was ended while it was starting.
    INTERRUPTED = "RC0503";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_distinct_and_well_formed() {
        for (i, code) in ALL.iter().enumerate() {
            let digits = code.strip_prefix("RC").unwrap();
            assert!(
                digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()),
                "{code}"
            );
            assert!(!ALL[i + 1..].contains(code), "{code} twice");
        }
    }
}
