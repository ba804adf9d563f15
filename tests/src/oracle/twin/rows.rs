//! Rows of tables: what they are held to besides on = off.

use router_common::datapath::Reason;

use super::{ERROR_TOKEN, Silence, Twin, only_together};
use crate::{
    oracle::{Difference, Fate, Seen, Stats, compare},
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
    /// anything is not as it should be, they are played one by one, which names
    /// the row; and once more together if no row is wrong alone.
    fn batch(&mut self, rows: &[Row]) {
        if rows.len() < 2 || rows.iter().any(|row| self.input(row).is_none()) {
            for row in rows {
                self.row(row);
            }
            return;
        }
        let first = match self.together(rows) {
            Ok((allowed, counted)) => {
                for difference in allowed {
                    self.differs(difference, &format!("{} and others", rows[0].what));
                }
                for row in rows {
                    self.conclude(row.case, &row.what, Fate::Xdp, &[], &counted);
                }
                return;
            }
            Err(first) => first,
        };
        let failures = self.failures.len();
        let mut played = Vec::new();
        for row in rows {
            let unplayable = self.unplayable;
            self.row(row);
            if self.unplayable == unplayable {
                played.push(row.clone());
            }
        }
        if self.failures.len() > failures {
            return;
        }
        let again = self.together(&played).err().unwrap_or_default();
        if again.is_empty() && played.len() < rows.len() {
            // It was what no NIC takes that came out otherwise than expected.
            return;
        }
        let what = format!("{} and {} more", rows[0].what, rows.len() - 1);
        let wrong = only_together(&first, &again);
        self.conclude(
            rows[0].case,
            &what,
            Fate::Differs,
            &wrong,
            &Stats::default(),
        );
    }

    /// A row's frame, as it is on this world's wire.
    fn input(&self, row: &Row) -> Option<Vec<u8>> {
        let frame = self.world.on_wire(row.ingress, &row.frame);
        frame.map(|frame| frame.bytes())
    }

    /// Plays rows at once, all of which XDP is to forward: what differed and may,
    /// and what XDP counted.
    ///
    /// # Errors
    /// What is not as it should be.
    fn together(&mut self, rows: &[Row]) -> Result<(Vec<Difference>, Stats), Vec<String>> {
        let Some(first) = rows.first() else {
            return Ok((Vec::new(), Stats::default()));
        };
        let inputs: Vec<_> = rows.iter().filter_map(|row| self.input(row)).collect();
        let mut expected: Vec<_> = rows.iter().filter_map(|row| self.expected(row)).collect();
        let (on, off, counted) = self.exchange(first.ingress, &inputs);
        let senders = compare::senders(&inputs);
        let comparison = compare::compare(&on, &off, &inputs, counted.fast);
        let mut wrong = comparison.wrong;
        let came = on.frames.iter();
        let mut came: Vec<_> = came
            .map(|(wire, frame)| (*wire, compare::normal(frame, &senders).0))
            .collect();
        came.sort();
        expected.sort();
        wrong.extend(other_than(&expected, &came));
        wrong.extend(self.broken(&inputs, &on, &off, &counted, Silence::Fault));
        if counted.fast != rows.len() as u64 {
            wrong.push(format!(
                "XDP should have forwarded {}: {counted:?}",
                rows.len()
            ));
        }
        if wrong.is_empty() {
            Ok((comparison.allowed, counted))
        } else {
            Err(wrong)
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
        let silence = match row.expect {
            Expect::Up(Reason::NetworkDown) => Silence::Expected,
            _ => Silence::Fault,
        };
        let (fate, mut wrong) = self.judge(&row.what, &frames, &on, &off, &counted, silence);
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
                wrong.extend(other_than(self.expected(row).as_slice(), &came));
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

/// Where what came, in order, is not what was expected.
fn other_than(expected: &[(usize, Vec<u8>)], came: &[(usize, Vec<u8>)]) -> Vec<String> {
    let missing = compare::only(expected, came);
    let extra = compare::only(came, expected);
    let mut wrong = Vec::new();
    for (what, frames) in [("expected", missing), ("came", extra)] {
        wrong.extend(
            frames
                .iter()
                .map(|(wire, frame)| format!("{what} on wire{wire}: {}", compare::describe(frame))),
        );
    }
    wrong
}
