//! IPsec policies (`ip xfrm policy`) that may drop or encrypt what is forwarded:
//! what XDP forwards does not pass them.
//!
//! Layout: include/uapi/linux/xfrm.h. Numbers are in the byte order of the host.

use std::fs;

use rtnetlink::sys::{
    AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_XFRM,
};

use super::{Error, asking, raw};

/// `XFRM_MSG_NEWPOLICY`, `XFRM_MSG_GETPOLICY`, `XFRM_MSG_GETDEFAULT`.
const NEW_POLICY: u16 = 0x13;
const GET_POLICY: u16 = 0x15;
const GET_DEFAULT: u16 = 0x28;
/// `XFRMNLGRP_POLICY`.
const GROUP: u32 = 4;

/// Offsets in `struct xfrm_userpolicy_info`, and its length.
const FAMILY: usize = 40;
const DIRECTION: usize = 160;
const ACTION: usize = 161;
const LENGTH: usize = 168;
/// `XFRMA_TMPL`, `XFRMA_IF_ID`.
const TEMPLATES: u16 = 5;
const INTERFACE: u16 = 31;
/// `XFRM_POLICY_OUT`, `XFRM_POLICY_FWD`: those that what is forwarded passes.
const OUT: u8 = 1;
const FORWARD: u8 = 2;
/// `XFRM_POLICY_ALLOW`.
const ALLOW: u8 = 0;
/// `XFRM_USERPOLICY_BLOCK`, in `struct xfrm_userpolicy_default`: in, forward, out.
const BLOCK: u8 = 1;

/// The address families whose forwarded packets a policy may be about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transforms {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Transforms {
    /// Every packet, for all that is known.
    pub const ALL: Self = Self { v4: true, v6: true };
}

/// Looks at the policies when something about them has changed.
#[derive(Default)]
pub struct Policies {
    /// Hears of changes; `None`: not yet.
    changes: Option<TokioSocket>,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").finish_non_exhaustive()
    }
}

impl Policies {
    /// Waits for an announcement; [`look`](Self::look) then. For ever, where it has
    /// not been looked yet, or this kernel has no policies. Can be cancelled.
    ///
    /// # Errors
    /// If the socket breaks.
    pub async fn changed(&mut self) -> Result<(), Error> {
        let Some(socket) = &mut self.changes else {
            return std::future::pending().await;
        };
        let mut datagram = Vec::with_capacity(1 << 16);
        match socket.recv_from(&mut datagram).await {
            Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => {
                self.changes = None;
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    /// What the policies are about. Does not wait.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn look(&mut self) -> Result<Transforms, Error> {
        if self.changes.is_none() {
            // Asking would load the module.
            if !is_loaded() {
                return Ok(Transforms::default());
            }
            let mut socket = TokioSocket::new(NETLINK_XFRM)?;
            let groups = SocketAddr::new(0, 1 << (GROUP - 1));
            socket.socket_mut().bind(&groups)?;
            self.changes = Some(socket);
        }
        let found = read_all();
        if found.is_err() {
            // What was announced is not known: the next time begins anew.
            self.changes = None;
        }
        found
    }

    /// Whether [`changed`](Self::changed) will tell of changes.
    #[must_use]
    pub const fn hears(&self) -> bool {
        self.changes.is_some()
    }
}

/// Whether the kernel's end of such sockets is there, and so whether there may be
/// policies: it is listed as a socket of that protocol.
fn is_loaded() -> bool {
    let listed = fs::read_to_string("/proc/self/net/netlink").unwrap_or_default();
    lists(&listed, NETLINK_XFRM)
}

fn lists(netlink: &str, protocol: isize) -> bool {
    let protocol = protocol.to_string();
    let mut sockets = netlink.lines();
    sockets.any(|socket| socket.split_whitespace().nth(1) == Some(&protocol))
}

fn read_all() -> Result<Transforms, Error> {
    let mut found = Transforms::default();
    let dump = asking::request(GET_POLICY, asking::DUMP, &[0; 4]);
    asking::ask(NETLINK_XFRM, &dump, |message| {
        if message.kind == NEW_POLICY {
            add(&mut found, message.payload());
        }
    })?;
    let mut blocks = false;
    let default = asking::request(GET_DEFAULT, asking::REQUEST, &[0; 4]);
    let asked = asking::ask(NETLINK_XFRM, &default, |message| {
        blocks |= message.kind == GET_DEFAULT && blocks_by_default(message.payload());
    });
    match asked {
        // Before 5.15 there is no such thing.
        Err(error) if error.errno() == Some(libc::EINVAL) => {}
        other => other?,
    }
    Ok(if blocks { Transforms::ALL } else { found })
}

fn blocks_by_default(payload: &[u8]) -> bool {
    matches!(payload, [_, forward, out, ..] if [*forward, *out].contains(&BLOCK))
}

/// Adds what a policy is about: nothing, where it lets pass what it finds as it is.
/// Whom it is about is not looked at: a policy of the host's own traffic counts.
fn add(found: &mut Transforms, payload: &[u8]) {
    let (Some(info), Some(attributes)) = (payload.get(..LENGTH), payload.get(LENGTH..)) else {
        return;
    };
    let (mut templates, mut of_interface) = (false, false);
    for (kind, value) in raw::attributes(attributes) {
        match kind {
            TEMPLATES => templates = !value.is_empty(),
            // For what goes by an xfrm interface: that has no XDP.
            INTERFACE => of_interface = value.iter().any(|byte| *byte != 0),
            _ => {}
        }
    }
    let passes = info[ACTION] == ALLOW && !templates;
    if ![OUT, FORWARD].contains(&info[DIRECTION]) || of_interface || passes {
        return;
    }
    match i32::from(u16::from_ne_bytes([info[FAMILY], info[FAMILY + 1]])) {
        libc::AF_INET => found.v4 = true,
        libc::AF_INET6 => found.v6 = true,
        // It matches both.
        _ => *found = Transforms::ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Transforms = Transforms {
        v4: true,
        v6: false,
    };
    const V6: Transforms = Transforms {
        v4: false,
        v6: true,
    };
    const NONE: Transforms = Transforms {
        v4: false,
        v6: false,
    };

    fn policy(family: i32, direction: u8, action: u8, attributes: &[(u16, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        let family = u16::try_from(family).unwrap().to_ne_bytes();
        bytes[FAMILY..FAMILY + 2].copy_from_slice(&family);
        bytes[DIRECTION] = direction;
        bytes[ACTION] = action;
        for (kind, value) in attributes {
            bytes.extend(8_u16.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
        }
        bytes
    }

    fn about(payload: &[u8]) -> Transforms {
        let mut found = Transforms::default();
        add(&mut found, payload);
        found
    }

    #[test]
    fn policies_that_what_is_forwarded_passes() {
        const IN: u8 = 0;
        const DROP: u8 = 1;
        const OF_A_SOCKET: u8 = 4;
        let (v4, v6) = (libc::AF_INET, libc::AF_INET6);
        assert_eq!(about(&policy(v4, FORWARD, DROP, &[])), V4);
        assert_eq!(about(&policy(v6, OUT, ALLOW, &[(TEMPLATES, 1)])), V6);
        assert_eq!(about(&policy(0, OUT, DROP, &[])), Transforms::ALL);
        assert_eq!(about(&policy(v4, OUT, DROP, &[(INTERFACE, 0)])), V4);
        for other in [
            policy(v4, IN, DROP, &[]),
            policy(v4, OF_A_SOCKET, DROP, &[]),
            policy(v4, FORWARD, ALLOW, &[]),
            policy(v6, OUT, ALLOW, &[(TEMPLATES, 1), (INTERFACE, 7)]),
        ] {
            assert_eq!(about(&other), NONE, "{other:?}");
        }
        let whole = policy(v4, FORWARD, DROP, &[]);
        for length in 0..whole.len() {
            assert_eq!(about(&whole[..length]), NONE, "{length}");
        }
    }

    #[test]
    fn defaults_that_block() {
        for (payload, blocks) in [
            (&[2, 2, 2][..], false),
            (&[1, 2, 2], false),
            (&[2, 1, 2], true),
            (&[2, 2, 1], true),
            (&[1], false),
        ] {
            assert_eq!(blocks_by_default(payload), blocks, "{payload:?}");
        }
    }

    #[test]
    fn the_kernels_end_is_listed() {
        let listed = "sk               Eth Pid        Groups\n\
                      00000000bd4b42a8 0   0          00000000\n\
                      0000000034f2b2d1 6   0          00000000\n";
        assert!(lists(listed, 6));
        assert!(!lists(listed, 12));
    }
}
