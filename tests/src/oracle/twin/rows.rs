//! Rows of tables: what they are held to besides on = off.

use router_common::datapath::Reason;

use super::{ERROR_TOKEN, Twin};
use crate::{
    oracle::{Difference, Fate, Seen, compare},
    prog::{Expect, Kernel, Row},
};

/// Rows that go in at once: far fewer than a veth's ring has places.
pub(super) const BATCH: usize = 32;

impl Twin {
    /// XDP forwards it, and so does the kernel: rows that may go in together.
    pub(super) fn is_plain(row: &Row) -> bool {
        matches!(row.expect, Expect::Forward { .. })
            && matches!(row.kernel, Kernel::Forwards(..) | Kernel::Unasked)
    }

    /// Plays the rows that wait.
    pub(super) fn flush(&mut self) {
        let rows = std::mem::take(&mut self.waiting);
        self.batch(&rows);
    }

    /// Rows that XDP is to forward, all on one wire, at once: most are, and to
    /// ask the daemon for every single one takes long under emulation. If
    /// anything is not as it should be, they are played one by one.
    fn batch(&mut self, rows: &[Row]) {
        let inputs: Option<Vec<Vec<u8>>> = rows
            .iter()
            .map(|row| {
                self.world
                    .on_wire(row.ingress, &row.frame)
                    .map(|f| f.bytes())
            })
            .collect();
        let Some(inputs) = inputs.filter(|inputs| inputs.len() > 1) else {
            for row in rows {
                self.row(row);
            }
            return;
        };
        let mut expected: Vec<_> = rows.iter().filter_map(|row| self.expected(row)).collect();
        let (on, off, counted) = self.exchange(rows[0].ingress, &inputs);
        let senders = compare::senders(&inputs);
        let comparison = compare::compare(&on, &off, &senders);
        let came = on.frames.iter();
        let mut came: Vec<_> = came
            .map(|(wire, frame)| (*wire, compare::normal(frame, &senders).0))
            .collect();
        came.sort();
        expected.sort();
        let fine = comparison.wrong.is_empty()
            && came == expected
            && counted.fast == rows.len() as u64
            && counted.frames() == on.sent;
        if !fine {
            for row in rows {
                self.row(row);
            }
            return;
        }
        for difference in comparison.allowed {
            let place = format!("{}: {} and others", self.table, rows[0].what);
            self.differences.note(difference, &place);
        }
        for row in rows {
            self.conclude(row.case, &row.what, Fate::Xdp, &[], &counted);
        }
    }

    /// The wire and the frame, normal, that must come out of a row that is
    /// forwarded.
    fn expected(&self, row: &Row) -> Option<(usize, Vec<u8>)> {
        let Expect::Forward { to, via, tag, .. } = row.expect else {
            return None;
        };
        let tag = self
            .world
            .tag(to)
            .and(tag)
            .map(|tag| self.world.tag_here(tag));
        let frame = match &row.becomes {
            Some(becomes) => becomes.clone().tags(tag.as_slice()),
            None => {
                let frame = self.world.on_wire(row.ingress, &row.frame)?;
                frame.routed(via, to.gateway_mac(), tag)
            }
        };
        let bytes = frame.bytes();
        let senders = compare::senders(std::slice::from_ref(&bytes));
        Some((self.world.wire(to), compare::normal(&bytes, &senders).0))
    }

    /// One row of a table.
    pub(super) fn row(&mut self, row: &Row) {
        let Some(frame) = self.world.on_wire(row.ingress, &row.frame) else {
            self.unplayable += 1;
            return;
        };
        let input = frame.bytes();
        let frames = [input];
        let (mut on, mut off, mut counted) = self.exchange(row.ingress, &frames);
        if row.kernel == Kernel::Answers && on.frames.is_empty() && off.frames.is_empty() {
            self.differs(Difference::ErrorLimit, &row.what);
            std::thread::sleep(ERROR_TOKEN);
            (on, off, counted) = self.exchange(row.ingress, &frames);
        }
        if on.refused && off.refused {
            // Larger than what the NIC takes: nothing of the router's.
            self.unplayable += 1;
            return;
        }
        let (fate, mut wrong) = self.judge(&row.what, &frames, &on, &off, &counted);
        match row.expect {
            Expect::Forward { .. } => {
                if counted.fast != 1 {
                    wrong.push("XDP should have forwarded it".to_owned());
                }
                let senders = compare::senders(&frames);
                let came = on.frames.iter();
                let came: Vec<_> = came
                    .map(|(wire, frame)| (*wire, compare::normal(frame, &senders).0))
                    .collect();
                let expected = self.expected(row);
                if came != expected.as_slice() {
                    for (what, frames) in [("expected", expected.as_slice()), ("came", &came)] {
                        wrong.extend(frames.iter().map(|(wire, frame)| {
                            format!("{what} on wire{wire}: {}", compare::describe(frame))
                        }));
                    }
                }
            }
            Expect::Up(reason) => {
                // Without tags there is none to be cut off.
                let untagged = reason == Reason::FrameTooShort && frame.tag_list().is_empty();
                if on.alive && counted.verdict(reason.name()) == 0 && !untagged {
                    wrong.push(format!("XDP should have passed it up as {}", reason.name()));
                }
            }
        }
        wrong.extend(self.kernel_wrong(row, &frames[0], &off));
        self.conclude(row.case, &row.what, fate, &wrong, &counted);
    }

    /// Where the kernel alone did not do what the row says.
    fn kernel_wrong(&self, row: &Row, input: &[u8], off: &Seen) -> Option<String> {
        let fine = match row.kernel {
            Kernel::Unasked => true,
            Kernel::Drops => off.frames.is_empty(),
            Kernel::Answers => {
                let wire = self.world.wire(row.ingress);
                matches!(off.frames.as_slice(), [(at, _)] if *at == wire)
                    && !compare::was_forwarded(input, off)
            }
            Kernel::Forwards(to, via) => {
                let wire = self.world.wire(to);
                matches!(off.frames.as_slice(), [(at, frame)] if *at == wire && frame.starts_with(&via))
                    && compare::was_forwarded(input, off)
            }
        };
        (!fine).then(|| {
            let came: Vec<_> = off
                .frames
                .iter()
                .map(|(wire, frame)| format!("wire{wire}: {}", compare::describe(frame)))
                .collect();
            format!(
                "the kernel should: {:?}; what left it: {came:?}",
                row.kernel
            )
        })
    }
}
