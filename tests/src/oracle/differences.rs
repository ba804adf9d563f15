//! What may differ between the arms, and why: the one list. Every other
//! difference is a bug.
//!
//! The leg among equal ECMP legs, of which design.md thinks, is not on the list:
//! the kernel keys its hash by a secret of the machine (`fib_multipath_hash`),
//! which the two namespaces share, and XDP repeats the choice or passes up.

use std::{collections::BTreeMap, fmt};

/// A difference that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Bytes behind the IP packet.
    Padding,
    /// The IP id of a packet that the router made itself.
    RouterId,
    /// What a router writes into an IPv4 timestamp option.
    Timestamp,
    /// An ICMP error that the kernel keeps back when it has sent many to one host.
    ErrorLimit,
    /// Frames of one row came out in another order.
    Order,
    /// Questions that the router asks of its own accord.
    Questions,
}

impl Difference {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Padding,
        Self::RouterId,
        Self::Timestamp,
        Self::ErrorLimit,
        Self::Order,
        Self::Questions,
    ];

    /// Why it is allowed.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Padding => {
                "the kernel trims a frame to its packet; XDP leaves Ethernet's padding, which \
                 every receiver trims: what came in behind it or zeros, in a frame of no more \
                 than 64 bytes and a tag"
            }
            Self::RouterId => "two kernels number their own packets by a secret of their own",
            Self::Timestamp => "the option asks for the time of day, in milliseconds",
            Self::ErrorLimit => {
                "a token a second for each source (ip_rt_error_cost), which no sysctl of a \
                 namespace turns off: the row is played again when there is one"
            }
            Self::Order => {
                "a packet that took the kernel's path, and one that XDP forwarded: of each kind \
                 the order is held"
            }
            Self::Questions => {
                "who asks for a neighbour, and when, is the neighbour tables' matter"
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Padding => "padding behind the packet",
            Self::RouterId => "IP ids of the router's own packets",
            Self::Timestamp => "timestamps",
            Self::ErrorLimit => "errors kept back",
            Self::Order => "order",
            Self::Questions => "the router's own questions",
        })
    }
}

/// Allowed differences that occurred: how often, and where first.
#[derive(Clone, Debug, Default)]
pub struct Differences(BTreeMap<Difference, (usize, String)>);

impl Differences {
    /// Notes one.
    pub fn note(&mut self, difference: Difference, place: &str) {
        let (count, _) = self
            .0
            .entry(difference)
            .or_insert_with(|| (0, place.to_owned()));
        *count += 1;
    }

    /// One line each.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(difference, (count, place))| {
            format!(
                "allowed difference: {difference}, {count} times, first at {place}: {}",
                difference.reason()
            )
        })
    }
}
