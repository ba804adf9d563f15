//! Random structured packets through both arms: those of the model
//! (`router_test_support::generator`), whose networks are ours.
//!
//! A run is of rounds. Each round changes both routers by some of the mutations
//! that its packets have of the world (routes, MTUs, sysctls, local addresses,
//! neighbours), as far as an operator could make them, and sends its packets.
//! What differs is made small, packet and world, and told with all that makes it
//! again.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
};

use router_test_support::{
    generator,
    mutation::{Case, Hop, Mutation},
    shrink,
    world::{Only, first_of, host4, host6},
};

use super::{Kind, Twin, World, compare};
use crate::{packet::DOT1Q, prog::Network, tables::Stage as _, topology::mac_text};

/// Packets of a round.
const ROUND: u64 = 500;
/// Packets that go in at once.
const BATCH: usize = 32;
/// Changes of a round: few, that packets still find their way.
const CHANGES: usize = 3;

/// The host that packets are to; not one of the tables'.
const HOST: u8 = 11;

/// What became of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// XDP forwarded them.
    pub xdp: u64,
    /// The kernel forwarded them, with XDP or without.
    pub kernel: u64,
    /// Nobody did.
    pub not: u64,
    /// No NIC sends or takes them: too short or too long.
    pub left_out: u64,
    /// Rounds in which the world was changed.
    pub worlds: u64,
}

/// A packet that the arms do not treat alike, made small.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its number in the run.
    pub number: u64,
    /// The run's seed.
    pub seed: u64,
    /// The packet; mutations of the world are not in it.
    pub case: Case,
    /// What was changed about both routers.
    pub world: Vec<Change>,
    /// How the arms differ.
    pub wrong: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "packet {} of seed {}:", self.number, self.seed)?;
        for line in &self.wrong {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "smallest: {:?}", self.case)?;
        for change in &self.world {
            writeln!(f, "    with {change}")?;
        }
        Ok(())
    }
}

/// A change of both routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of a device's MTU: network and bytes.
    Mtu(Network, u16),
    /// A line of `ip`.
    Ip(String),
    /// A value under /proc/sys/net.
    Sysctl(String, &'static str),
    /// The host of this network that packets are to has no MAC, in one family.
    Silent(Network, bool),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mtu(network, mtu) => write!(f, "link set {} mtu {mtu}", network.device()),
            Self::Ip(line) => f.write_str(line),
            Self::Sysctl(key, value) => write!(f, "{key} = {value}"),
            Self::Silent(network, six) => write!(f, "no neighbour {}", target(*network, *six)),
        }
    }
}

/// The host that packets of one family are to.
fn target(network: Network, six: bool) -> IpAddr {
    let number = network.id().into();
    if six {
        host6(number, HOST).into()
    } else {
        host4(number, HOST).into()
    }
}

/// The network of this number; the generator has one more, of which our routers
/// know nothing.
fn network(number: u16) -> Option<Network> {
    Network::ALL.get(usize::from(number)).copied()
}

/// What an operator would do to have a mutation's world; `None`: he could not, or
/// tables have it.
#[must_use]
pub fn change(mutation: Mutation, next: Option<Mutation>) -> Option<Change> {
    let device = |number: u16| network(number).map(Network::device);
    let sysctl = |key: String, value| Some(Change::Sysctl(key, value));
    match mutation {
        Mutation::NoForwarding4(number) => {
            sysctl(format!("ipv4/conf/{}/forwarding", device(number)?), "0")
        }
        Mutation::NoForwarding6(number) => {
            sysctl(format!("ipv6/conf/{}/forwarding", device(number)?), "0")
        }
        Mutation::RpFilter(number, on) => {
            let value = if on { "1" } else { "2" };
            sysctl(format!("ipv4/conf/{}/rp_filter", device(number)?), value)
        }
        Mutation::TosKeepsPriority => sysctl("ipv4/ip_forward_update_priority".to_owned(), "0"),
        // Below, the kernel has no IPv6 on a device.
        Mutation::Mtu(number, mtu @ 1280..=1500) => Some(Change::Mtu(network(number)?, mtu)),
        Mutation::Local4(address) => {
            let unicast = !matches!(address[0], 0 | 127 | 224..);
            unicast.then(|| Change::Ip(format!("address add {}/32 dev lo", IpAddr::from(address))))
        }
        Mutation::Local6(address) => {
            let unicast = address[0] != 0xff && address[0] != 0xfe && address[..15] != [0; 15];
            unicast.then(|| {
                let address = IpAddr::from(address);
                Change::Ip(format!("address add {address}/128 dev lo nodad"))
            })
        }
        Mutation::Silent4(address) => {
            let found = Network::ALL.into_iter();
            let mut found = found.filter(|n| target(*n, false) == IpAddr::from(address));
            found.next().map(|network| Change::Silent(network, false))
        }
        Mutation::Silent6(address) => {
            let found = Network::ALL.into_iter();
            let mut found = found.filter(|n| target(*n, true) == IpAddr::from(address));
            found.next().map(|network| Change::Silent(network, true))
        }
        Mutation::Route4(to, len, Only::Always, hop) => route(to.into(), len, hop, next),
        Mutation::Route6(to, len, Only::Always, hop) => route(to.into(), len, hop, next),
        _ => None,
    }
}

/// A line that adds a route, before what the kernel has there of its own accord.
fn route(to: IpAddr, len: u8, hop: Hop, next: Option<Mutation>) -> Option<Change> {
    let six = to.is_ipv6();
    let prefix = format!("{}/{len}", first_of(to, len));
    let (verb, metric) = if six {
        ("add", " metric 5")
    } else {
        ("prepend", "")
    };
    let way = match hop {
        Hop::Via(number) if six => format!("via {}", network(number)?.v6(9)),
        Hop::Via(number) => format!("via {}", network(number)?.v4(9)),
        // Of the others the kernel answers one a second.
        Hop::No("blackhole") => {
            return Some(Change::Ip(format!(
                "route {verb} blackhole {prefix}{metric}"
            )));
        }
        Hop::No(_) | Hop::Elsewhere => return None,
    };
    let mtu = match next {
        Some(Mutation::RouteMtu(mtu, locked)) if mtu >= if six { 1280 } else { 68 } => {
            let lock = if locked { "lock " } else { "" };
            format!(" mtu {lock}{mtu}")
        }
        _ => String::new(),
    };
    Some(Change::Ip(format!(
        "route {verb} {prefix} {way}{metric}{mtu}"
    )))
}

/// The changes of a round: the first few that its packets have, no place twice.
fn changes(cases: &[(u64, Case)]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (_, case) in cases {
        for (place, mutation) in case.mutations.iter().enumerate() {
            let next = case.mutations.get(place + 1).copied();
            let Some(change) = change(*mutation, next) else {
                continue;
            };
            let twice = changes
                .iter()
                .any(|other| subject(other) == subject(&change));
            if !twice {
                changes.push(change);
            }
            if changes.len() == CHANGES {
                return changes;
            }
        }
    }
    changes
}

/// What a change is about: the kernel refuses to make some things twice.
fn subject(change: &Change) -> String {
    match change {
        Change::Ip(line) => {
            let words = line.split(' ').filter(|word| *word != "blackhole");
            words.take(3).collect::<Vec<_>>().join(" ")
        }
        Change::Sysctl(key, _) => key.clone(),
        Change::Mtu(network, _) => network.device().to_owned(),
        Change::Silent(..) => change.to_string(),
    }
}

/// Sends `packets` packets of the run `seed` through both arms.
///
/// # Errors
/// The first packet that comes out otherwise with XDP than without.
///
/// # Panics
/// Where the kernel or a daemon refuses.
pub fn run(twin: &mut Twin, seed: u64, packets: u64) -> Result<Run, Box<Failure>> {
    let mut run = Run::default();
    for start in (0..packets).step_by(usize::try_from(ROUND).unwrap_or(usize::MAX)) {
        let numbers = start..packets.min(start + ROUND);
        let cases: Vec<_> = numbers
            .map(|number| (number, generator::case(seed, number)))
            .collect();
        let world = changes(&cases);
        run.worlds += u64::from(!world.is_empty());
        set(twin, &format!("round of packet {start}"), &world);
        round(twin, &mut run, seed, cases, &world)?;
    }
    twin.reset();
    Ok(run)
}

/// Makes both routers what they were, and then what the changes say.
fn set(twin: &mut Twin, name: &str, world: &[Change]) {
    twin.reset();
    twin.begin(name);
    let mut lines = format!(
        "route add default via {}\nroute add default via {}\n",
        Network::C.v4(9),
        Network::C.v6(9)
    );
    for network in Network::ALL {
        for six in [false, true] {
            if world.contains(&Change::Silent(network, six)) {
                continue;
            }
            let _ = writeln!(
                lines,
                "neigh replace {} lladdr {} nud permanent dev {}",
                target(network, six),
                mac_text(network.host_mac()),
                network.device()
            );
        }
    }
    twin.ip(&lines);
    for change in world {
        match change {
            Change::Mtu(..) | Change::Ip(_) => twin.ip(&change.to_string()),
            Change::Sysctl(key, value) => twin.sysctl(key, value),
            Change::Silent(..) => {}
        }
    }
}

/// A packet that can be sent: its number, the case, where it comes in, its bytes.
struct Packet {
    number: u64,
    case: Case,
    from: Network,
    bytes: Vec<u8>,
}

/// Where a case's frame comes in, as it is on this world's wire.
fn frame(world: World, case: &Case) -> (Network, Vec<u8>) {
    // What comes from the network that our routers do not know is on the wire
    // of the first.
    let from = network(case.skeleton.from).unwrap_or(Network::A);
    let (_, mut bytes) = case.build();
    if let (Kind::Untagged, Some(tag)) = (world.kind, from.tag()) {
        let own = [DOT1Q.to_be_bytes(), tag.vid.to_be_bytes()].concat();
        let tci = bytes.get(14..16).map(|tci| [tci[0] & 0x0f, tci[1]]);
        if bytes.get(12..14) == Some(&own[..2]) && tci.is_some_and(|tci| tci == own[2..]) {
            bytes.drain(12..16);
        }
    }
    (from, bytes)
}

/// Whether a NIC sends a frame, and the router's takes it.
fn fits(world: World, changes: &[Change], from: Network, frame: &[u8]) -> bool {
    let mtu = changes.iter().find_map(|change| match change {
        Change::Mtu(network, mtu) if world.wire(*network) == world.wire(from) => Some(*mtu),
        _ => None,
    });
    let head = match frame.get(12..14) {
        Some([0x81, 0x00]) => 18,
        _ => 14,
    };
    let most = head + usize::from(mtu.unwrap_or(world.mtu));
    (14..=most).contains(&frame.len())
}

fn round(
    twin: &mut Twin,
    run: &mut Run,
    seed: u64,
    cases: Vec<(u64, Case)>,
    changes: &[Change],
) -> Result<(), Box<Failure>> {
    let world = twin.world();
    let mut packets = Vec::new();
    for (number, case) in cases {
        let (from, bytes) = frame(world, &case);
        if fits(world, changes, from, &bytes) {
            packets.push(Packet {
                number,
                case,
                from,
                bytes,
            });
        } else {
            run.left_out += 1;
        }
    }
    // By the wire that they come in on: these go in together.
    packets.sort_by_key(|packet| world.wire(packet.from));
    for wire in packets.chunk_by(|a, b| world.wire(a.from) == world.wire(b.from)) {
        for batch in wire.chunks(BATCH) {
            if take(twin, run, batch) {
                continue;
            }
            for packet in batch {
                if !take(twin, run, std::slice::from_ref(packet)) {
                    return Err(Box::new(smallest(twin, seed, packet, changes)));
                }
            }
        }
    }
    Ok(())
}

/// Plays packets at once; false, with nothing counted, where the arms differ.
fn take(twin: &mut Twin, run: &mut Run, packets: &[Packet]) -> bool {
    let Some(first) = packets.first() else {
        return true;
    };
    let inputs: Vec<_> = packets.iter().map(|packet| packet.bytes.clone()).collect();
    let what = format!("packet {}", first.number);
    let trial = twin.trial(&what, first.from, &inputs);
    if !trial.wrong.is_empty() {
        return false;
    }
    let xdp = trial.counted.fast;
    let forwarded = (compare::forwarded(&inputs, &trial.off) as u64).max(xdp);
    run.xdp += xdp;
    run.kernel += forwarded - xdp;
    run.not += (inputs.len() as u64).saturating_sub(forwarded);
    true
}

/// What differs of a case; nothing where it cannot be sent.
fn wrong(twin: &mut Twin, case: &Case, changes: &[Change]) -> Vec<String> {
    let (from, bytes) = frame(twin.world(), case);
    if !fits(twin.world(), changes, from, &bytes) {
        return Vec::new();
    }
    twin.trial("made smaller", from, &[bytes]).wrong
}

/// Makes a failure small: the packet first, then the world.
fn smallest(twin: &mut Twin, seed: u64, packet: &Packet, changes: &[Change]) -> Failure {
    let case = shrink::shrink_while(&packet.case, |case| !wrong(twin, case, changes).is_empty());
    let mut world = changes.to_vec();
    let mut place = 0;
    while place < world.len() {
        let mut fewer = world.clone();
        fewer.remove(place);
        set(twin, "made smaller", &fewer);
        if wrong(twin, &case, &fewer).is_empty() {
            place += 1;
        } else {
            world = fewer;
        }
    }
    set(twin, "made smaller", &world);
    // What was needed in that world may not be in this one.
    let case = shrink::shrink_while(&case, |case| !wrong(twin, case, &world).is_empty());
    Failure {
        number: packet.number,
        seed,
        wrong: wrong(twin, &case, &world),
        case,
        world,
    }
}

#[cfg(test)]
mod tests {
    use router_test_support::world;

    use super::*;

    /// Packets are made for the generator's world and sent into ours.
    #[test]
    fn the_generators_networks_are_ours() {
        let theirs = world::World::everything_up();
        for network in Network::ALL {
            let net = &theirs.networks[usize::from(network.id())];
            assert_eq!(net.vid.unwrap_or(0), network.vid(), "{network:?}");
            assert_eq!(net.trunk, network.trunk(), "{network:?}");
            assert_eq!(net.mac, network.gateway_mac(), "{network:?}");
            assert_eq!(net.gateways4, [(network.v4(1), 24)], "{network:?}");
            assert_eq!(net.gateways6, [(network.v6(1), 64)], "{network:?}");
        }
        assert_eq!(theirs.networks.len(), Network::ALL.len() + 1);
    }

    #[test]
    fn worlds_are_what_an_operator_types() {
        let route = Mutation::Route4([172, 16, 20, 11], 24, Only::Always, Hop::Via(3));
        let six = [0xfd, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
        let route6 = Mutation::Route6(six, 64, Only::Always, Hop::No("blackhole"));
        let mtu = Some(Mutation::RouteMtu(1300, true));
        for (mutation, next, line) in [
            (route, None, "route prepend 172.16.20.0/24 via 172.16.40.9"),
            (
                route,
                mtu,
                "route prepend 172.16.20.0/24 via 172.16.40.9 mtu lock 1300",
            ),
            (route6, mtu, "route add blackhole fd00:20::/64 metric 5"),
            (Mutation::Mtu(1, 1400), None, "link set net-b mtu 1400"),
            (
                Mutation::Local4([10, 9, 8, 7]),
                None,
                "address add 10.9.8.7/32 dev lo",
            ),
            (
                Mutation::Silent4([172, 16, 20, 11]),
                None,
                "no neighbour 172.16.20.11",
            ),
            (
                Mutation::RpFilter(2, true),
                None,
                "ipv4/conf/net-n/rp_filter = 1",
            ),
        ] {
            let change = change(mutation, next).map(|change| change.to_string());
            assert_eq!(change.as_deref(), Some(line), "{mutation:?}");
        }
        // Of the packet, of no device of ours, or nothing that a host could have.
        for mutation in [
            Mutation::Hops(1),
            Mutation::Mtu(5, 1400),
            Mutation::Mtu(1, 576),
            Mutation::Local4([224, 0, 0, 1]),
            Mutation::Local4([127, 0, 0, 1]),
            Mutation::Route4([10, 9, 8, 7], 24, Only::OfClass(2), Hop::Via(3)),
        ] {
            assert_eq!(change(mutation, None), None, "{mutation:?}");
        }
    }

    #[test]
    fn a_round_changes_no_place_twice() {
        let mut all = Vec::new();
        for round in 0..200 {
            let cases: Vec<_> = (round * ROUND..(round + 1) * ROUND)
                .map(|number| (number, generator::case(7, number)))
                .collect();
            let changes = changes(&cases);
            assert_eq!(changes.len(), CHANGES);
            let mut subjects: Vec<_> = changes.iter().map(subject).collect();
            subjects.sort();
            subjects.dedup();
            assert_eq!(subjects.len(), CHANGES, "{changes:?}");
            all.extend(changes);
        }
        // Every kind comes.
        let has = |wanted: fn(&Change) -> bool| all.iter().filter(|c| wanted(c)).count();
        assert!(has(|c| matches!(c, Change::Mtu(..))) > 10);
        assert!(has(|c| matches!(c, Change::Sysctl(..))) > 10);
        assert!(has(|c| matches!(c, Change::Silent(..))) > 10);
        for begin in ["route prepend ", "route add ", "address add "] {
            let count = all.iter().filter(|c| c.to_string().starts_with(begin));
            assert!(count.count() > 10, "{begin}");
        }
    }
}
