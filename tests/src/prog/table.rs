//! Rows of the test tables, and what every row is held to.
//!
//! * the XDP action, and the output bytes: a forwarded frame equals the one
//!   that etherparse builds from the description, a passed one its input;
//! * exactly one counter moved, by one frame and the input's length;
//! * the kernel, asked with the same packet, does the same: what XDP forwards
//!   it forwards to the same network with the same bytes. What it makes of
//!   packets that pass up is asked where the row says so.

use std::fmt::Write as _;

use router_common::{abi::Counter, datapath::Reason};

use super::{Network, Outcome, Record, Scene, XDP_PASS, XDP_REDIRECT, XDP_TX};
use crate::{
    oracle::Fate,
    packet::{Decoded, Frame, Mac, Tag},
};

/// What must become of a frame.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// XDP forwards it.
    Forward {
        /// Ingress network.
        from: Network,
        /// Egress network.
        to: Network,
        /// The next hop's MAC.
        via: Mac,
        /// The tag that leaves.
        tag: Option<Tag>,
    },
    /// XDP passes it up, byte-identical.
    Up(Reason),
}

/// What the kernel must do with the same packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Not asked.
    Unasked,
    /// Forwards it, to this network.
    Forwards(Network, Mac),
    /// Lets nothing out at all.
    Drops,
    /// Lets no more out than an answer on the ingress network.
    Answers,
}

/// To the host of `to`.
#[must_use]
pub const fn forward(from: Network, to: Network) -> Expect {
    Expect::Forward {
        from,
        to,
        via: to.host_mac(),
        tag: to.tag(),
    }
}

/// Passed to the kernel for this reason.
#[must_use]
pub const fn up(reason: Reason) -> Expect {
    Expect::Up(reason)
}

impl Expect {
    /// By the second router of the egress network.
    #[must_use]
    pub const fn by_router(self) -> Self {
        match self {
            Self::Forward { from, to, tag, .. } => Self::Forward {
                from,
                to,
                via: to.router_mac(),
                tag,
            },
            Self::Up(_) => self,
        }
    }

    /// With this VID in the tag that leaves.
    #[must_use]
    pub const fn vid(self, vid: u16) -> Self {
        match self {
            Self::Forward { from, to, via, .. } => Self::Forward {
                from,
                to,
                via,
                tag: Some(Tag::dot1q(vid)),
            },
            Self::Up(_) => self,
        }
    }

    /// With this priority in the tag that leaves.
    #[must_use]
    pub const fn priority(self, pcp: u8, dei: bool) -> Self {
        match self {
            Self::Forward {
                from,
                to,
                via,
                tag: Some(tag),
            } => Self::Forward {
                from,
                to,
                via,
                tag: Some(tag.priority(pcp, dei)),
            },
            other => other,
        }
    }

    /// Action and bytes for `frame`.
    fn outcome(&self, frame: &Frame, becomes: Option<&Frame>) -> Outcome {
        match self {
            Self::Forward { from, to, via, tag } => Outcome {
                action: if from.trunk() == to.trunk() {
                    XDP_TX
                } else {
                    XDP_REDIRECT
                },
                bytes: match becomes {
                    Some(becomes) => becomes.bytes(),
                    None => frame.routed(*via, to.gateway_mac(), *tag).bytes(),
                },
            },
            Self::Up(_) => Outcome {
                action: XDP_PASS,
                bytes: frame.bytes(),
            },
        }
    }
}

/// A row: conformance case, what it is about, the frame, its fate.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) case: u16,
    pub(crate) what: String,
    pub(crate) frame: Frame,
    pub(crate) expect: Expect,
    pub(crate) becomes: Option<Frame>,
    pub(crate) kernel: Kernel,
    pub(crate) ingress: Network,
    pub(crate) by_hand: bool,
}

/// A row whose frame comes in on network A, or where `expect` says.
#[must_use]
pub fn row(case: u16, what: impl Into<String>, frame: Frame, expect: Expect) -> Row {
    let (kernel, ingress) = match expect {
        Expect::Forward { from, to, via, .. } => (Kernel::Forwards(to, via), from),
        Expect::Up(_) => (Kernel::Unasked, Network::A),
    };
    Row {
        case,
        what: what.into(),
        frame,
        expect,
        becomes: None,
        kernel,
        ingress,
        by_hand: false,
    }
}

impl Row {
    /// The frame that leaves, where its patches do not leave with it.
    #[must_use]
    pub fn becomes(mut self, frame: Frame) -> Self {
        self.becomes = Some(frame);
        self
    }

    /// It is about maps that do not fit the kernel, as no daemon fills them:
    /// only played where they are filled by hand.
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    /// It comes in on this network.
    #[must_use]
    pub fn on(mut self, ingress: Network) -> Self {
        self.ingress = ingress;
        self
    }

    /// It passes up, and the kernel forwards it to this network's host.
    #[must_use]
    pub fn kernel_forwards(mut self, to: Network) -> Self {
        self.kernel = Kernel::Forwards(to, to.host_mac());
        self
    }

    /// It passes up, and the kernel forwards it to this network's router.
    #[must_use]
    pub fn kernel_forwards_by_router(mut self, to: Network) -> Self {
        self.kernel = Kernel::Forwards(to, to.router_mac());
        self
    }

    /// It passes up, and nothing leaves the kernel.
    #[must_use]
    pub fn kernel_drops(mut self) -> Self {
        self.kernel = Kernel::Drops;
        self
    }

    /// It passes up, and the kernel answers the sender.
    #[must_use]
    pub fn kernel_answers(mut self) -> Self {
        self.kernel = Kernel::Answers;
        self
    }

    /// What has become of it when nothing is wrong.
    fn fate(&self) -> Fate {
        match (&self.expect, self.kernel) {
            (Expect::Forward { to, via, .. }, Kernel::Forwards(network, mac)) => {
                if (*to, *via) == (network, mac) {
                    Fate::Xdp
                } else {
                    Fate::Alone
                }
            }
            (Expect::Forward { .. }, Kernel::Unasked) => Fate::Unasked,
            (Expect::Forward { .. }, Kernel::Drops | Kernel::Answers) => Fate::Alone,
            (Expect::Up(_), Kernel::Forwards(..)) => Fate::Kernel,
            (Expect::Up(_), Kernel::Drops | Kernel::Answers) => Fate::Not,
            (Expect::Up(_), Kernel::Unasked) => Fate::Up,
        }
    }

    /// The kernel is not asked: it could not see this frame as it is, or
    /// would change state by it.
    #[must_use]
    pub fn kernel_unasked(mut self) -> Self {
        self.kernel = Kernel::Unasked;
        self
    }
}

impl Scene {
    /// Runs the rows; what is wrong is told by [`Scene::finish`], all at once.
    ///
    /// # Panics
    /// When the kernel refuses to run a frame or to read a counter.
    pub fn check(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            self.rows += 1;
            let mut wrong = self.program_wrong(&row);
            wrong.extend(self.kernel_wrong(&row));
            let fate = if wrong.is_empty() {
                row.fate()
            } else {
                Fate::Differs
            };
            self.tally.note(row.case, fate, &self.test);
            if !wrong.is_empty() {
                let mut text = format!("case {}: {}", row.case, row.what);
                for line in wrong {
                    let _ = write!(text, "\n    {line}");
                }
                self.failures.push(text);
            }
        }
    }

    /// Forgets what was counted by frames that no row sent.
    ///
    /// # Panics
    /// When the kernel refuses to read a counter.
    pub fn recount(&mut self) {
        self.counted = self.router.counters().unwrap_or_else(|e| panic!("{e:?}"));
    }

    /// What the program did wrong with this row.
    fn program_wrong(&mut self, row: &Row) -> Vec<String> {
        let input = row.frame.bytes();
        let expected = row.expect.outcome(&row.frame, row.becomes.as_ref());
        let record = match row.expect {
            Expect::Forward { from, to, .. } => {
                self.router.record(from.id().into(), to.id().into())
            }
            Expect::Up(reason) => Record::Kept(reason),
        };
        let outcome = self
            .router
            .run(&input)
            .unwrap_or_else(|e| panic!("case {}: {}: {e:?}", row.case, row.what));
        let counters = self.router.counters().unwrap_or_else(|e| panic!("{e:?}"));
        let moved = counters.since(&self.counted);
        self.counted = counters;

        let mut wrong = Vec::new();
        if outcome.action != expected.action {
            wrong.push(format!(
                "action {}, expected {}",
                action(outcome.action),
                action(expected.action)
            ));
        }
        if outcome.bytes != expected.bytes {
            wrong.push(format!("bytes    {}", describe(&outcome.bytes)));
            wrong.push(format!("expected {}", describe(&expected.bytes)));
        }
        let by = Counter {
            packets: 1,
            bytes: input.len() as u64,
        };
        if moved != [(record, by)] {
            let moved: Vec<String> = moved
                .iter()
                .map(|(record, by)| format!("{record} by {}/{}", by.packets, by.bytes))
                .collect();
            wrong.push(format!(
                "counted {}, expected {record} by 1/{}",
                if moved.is_empty() {
                    "nothing".to_owned()
                } else {
                    moved.join(", ")
                },
                by.bytes
            ));
        }
        wrong
    }

    /// Where the kernel did not do what the row says.
    fn kernel_wrong(&self, row: &Row) -> Option<String> {
        if matches!(row.kernel, Kernel::Unasked) {
            return None;
        }
        let came = self.wires.exchange(
            row.ingress,
            &row.frame.clone().tags(&[]).bytes(),
            !matches!(row.kernel, Kernel::Drops),
        );
        let fine = match row.kernel {
            Kernel::Unasked => true,
            Kernel::Drops => came.is_empty(),
            Kernel::Answers => {
                matches!(came.as_slice(), [(network, _)] if *network == row.ingress)
            }
            Kernel::Forwards(to, via) => {
                // The kernel trims what is behind the packet.
                let packet = match &row.becomes {
                    Some(becomes) => becomes.clone().tags(&[]),
                    None => row.frame.routed(via, to.gateway_mac(), None),
                };
                came == [(to, packet.trailer(0).bytes())]
            }
        };
        if fine {
            return None;
        }
        let came: Vec<String> = came
            .iter()
            .map(|(network, frame)| format!("on {network:?}: {}", describe(frame)))
            .collect();
        Some(format!(
            "the kernel should: {:?}; what left it: {came:#?}",
            row.kernel
        ))
    }

    /// Fails the test if a row failed.
    ///
    /// # Panics
    /// With every row that failed.
    pub fn finish(mut self) {
        println!("{} rows", self.rows);
        self.tally.tell();
        let failures = std::mem::take(&mut self.failures);
        assert!(
            failures.is_empty(),
            "{} of {} rows failed:\n{}",
            failures.len(),
            self.rows,
            failures.join("\n")
        );
    }
}

/// A test that forgets to finish must not pass for it.
impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        }
    }
}

fn action(number: u32) -> &'static str {
    match number {
        XDP_PASS => "pass",
        XDP_TX => "tx",
        XDP_REDIRECT => "redirect",
        0 => "aborted",
        1 => "drop",
        _ => "unknown",
    }
}

/// A frame in words and in hex.
fn describe(frame: &[u8]) -> String {
    let mut text = format!("{} bytes", frame.len());
    if let Some(decoded) = Decoded::read(frame) {
        let _ = write!(text, " {decoded}");
    }
    for byte in frame.iter().take(58) {
        let _ = write!(text, " {byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use Network::{A, B, C};

    /// What XDP forwards and the kernel does not is never told as "as the kernel".
    #[test]
    fn only_what_the_kernel_forwards_alike_is_told_so() {
        let forwarded = || row(1, "", A.v4_to(B), forward(A, B));
        let passed = || row(1, "", A.v4_to(B), up(Reason::TtlExceeded));
        for (row, fate) in [
            (forwarded(), Fate::Xdp),
            (forwarded().kernel_unasked(), Fate::Unasked),
            (forwarded().kernel_drops(), Fate::Alone),
            (forwarded().kernel_answers(), Fate::Alone),
            (forwarded().kernel_forwards(C), Fate::Alone),
            (forwarded().kernel_forwards_by_router(B), Fate::Alone),
            (passed(), Fate::Up),
            (passed().kernel_forwards(B), Fate::Kernel),
            (passed().kernel_drops(), Fate::Not),
            (passed().kernel_answers(), Fate::Not),
        ] {
            assert_eq!(row.fate(), fate, "{:?}, {:?}", row.expect, row.kernel);
        }
    }
}
