//! Random structured packets through both arms: those of the model
//! (`router_test_support::generator`), whose networks are ours.
//!
//! A run is of rounds. Each round changes both routers by some of the mutations
//! that its packets have of the world (routes, MTUs, sysctls, local addresses,
//! neighbours), as far as an operator could make them, and sends its packets.
//! What differs is made small, packet and world, and told with all that makes it
//! again.

mod change;

use std::fmt::{self, Write as _};

use router_test_support::{generator, mutation::Case, shrink};

pub use change::Change;
use change::{changes, network, target};

use super::{Kind, Twin, World, compare, only_together};
use crate::{packet::DOT1Q, prog::Network, tables::Stage as _, topology::mac_text};

/// Packets of a round.
const ROUND: u64 = 500;
/// Packets that go in at once.
const BATCH: usize = 32;
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
    /// Those that must go in behind it, where it does not differ alone.
    pub others: Vec<Case>,
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
        for case in &self.others {
            writeln!(f, "    together with {case:?}")?;
        }
        for change in &self.world {
            writeln!(f, "    with {change}")?;
        }
        Ok(())
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
        let world = changes(twin.world().kind, &cases);
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
            Change::Egress(network, priority, pcp) => {
                let mut map = [0; 16];
                map[usize::from(*priority)] = *pcp;
                twin.egress_map(*network, map);
            }
            Change::Ingress(network, pcp, priority) => {
                let mut map = [0; 8];
                map[usize::from(*pcp)] = *priority;
                twin.ingress_map(*network, map);
            }
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
            let Err(first) = take(twin, run, batch) else {
                continue;
            };
            for packet in batch {
                if take(twin, run, std::slice::from_ref(packet)).is_err() {
                    return Err(Box::new(smallest(twin, seed, packet, changes)));
                }
            }
            return Err(Box::new(fewest(twin, seed, batch, changes, &first)));
        }
    }
    Ok(())
}

/// Plays packets at once.
///
/// # Errors
/// How the arms differ; nothing is counted then.
fn take(twin: &mut Twin, run: &mut Run, packets: &[Packet]) -> Result<(), Vec<String>> {
    let Some(first) = packets.first() else {
        return Ok(());
    };
    let inputs: Vec<_> = packets.iter().map(|packet| packet.bytes.clone()).collect();
    let what = format!("packet {}", first.number);
    let trial = twin.trial(&what, first.from, &inputs);
    if !trial.wrong.is_empty() {
        return Err(trial.wrong);
    }
    let xdp = trial.counted.fast;
    let forwarded = (compare::forwarded(&inputs, &trial.off) as u64).max(xdp);
    run.xdp += xdp;
    run.kernel += forwarded - xdp;
    run.not += (inputs.len() as u64).saturating_sub(forwarded);
    Ok(())
}

/// What differs when these go in together, and not alone: as few as do. Packets
/// and world stay as they are.
fn fewest(
    twin: &mut Twin,
    seed: u64,
    batch: &[Packet],
    changes: &[Change],
    first: &[String],
) -> Failure {
    let mut trial = |packets: &[&Packet]| {
        let inputs: Vec<_> = packets.iter().map(|packet| packet.bytes.clone()).collect();
        twin.trial("fewer", packets[0].from, &inputs).wrong
    };
    let mut left: Vec<_> = batch.iter().collect();
    let mut again = trial(&left);
    if !again.is_empty() {
        let mut place = 0;
        while left.len() > 1 && place < left.len() {
            let packet = left.remove(place);
            let wrong = trial(&left);
            if wrong.is_empty() {
                left.insert(place, packet);
                place += 1;
            } else {
                again = wrong;
            }
        }
    }
    Failure {
        number: left[0].number,
        seed,
        case: left[0].case.clone(),
        others: left[1..].iter().map(|packet| packet.case.clone()).collect(),
        world: changes.to_vec(),
        wrong: only_together(first, &again),
    }
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
        others: Vec::new(),
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
}
