//! Lines on their way out: a queue of bounded length, and the thread that
//! writes what is in it.
//!
//! Invariant: whoever puts a line in waits for nobody. A reader that does not
//! read (a terminal at Ctrl-S, a full pipe, a journald that stands still) costs
//! lines, and they are counted.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Lines kept for a reader that is slow: what 4,094 networks say at a start, at
/// least.
const LINES: usize = 8192;
/// Wait where a reader that must not be waited for takes nothing.
const PAUSE: Duration = Duration::from_millis(20);

/// Where lines are put in.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Lines that found no room since the last one that did.
    lost: u64,
    /// The thread has taken one that is not written yet.
    writing: bool,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// So many are missing here.
    Lost(u64),
}

impl Queue {
    /// Has a thread write to `out`. `lost` makes the line that says how many were
    /// lost.
    ///
    /// # Errors
    /// There can be no further thread.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        lost: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self(Arc::default());
        let shared = Arc::clone(&queue.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.drain(out, &lost))?;
        Ok(queue)
    }

    /// Puts a line in, or counts it as lost.
    pub(super) fn put(&self, line: &[u8]) {
        let mut state = self.0.state();
        let room = LINES.saturating_sub(state.entries.len());
        // What was lost is told before what came after it.
        if state.lost > 0 && room >= 2 {
            let lost = std::mem::take(&mut state.lost);
            state.entries.push_back(Entry::Lost(lost));
        }
        if state.lost > 0 || room == 0 {
            state.lost += 1;
        } else {
            state.entries.push_back(Entry::Line(line.to_owned()));
        }
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, but not for longer than this.
    pub(super) fn flush(&self, longest: Duration) {
        let under_way =
            |state: &mut State| state.writing || state.lost > 0 || !state.entries.is_empty();
        let state = self.0.state();
        drop(self.0.changed.wait_timeout_while(state, longest, under_way));
    }
}

impl Shared {
    /// What is in it makes sense whoever panicked with it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, for ever.
    fn drain(&self, mut out: impl Write, lost: &impl Fn(u64) -> String) {
        // Those that could not be written, and of which nothing was said yet.
        let mut unwritten = 0;
        loop {
            let (line, lines) = match self.next() {
                Entry::Line(line) => (line, 1),
                Entry::Lost(count) => (lost(count).into_bytes(), count),
            };
            if unwritten > 0 && write(&mut out, lost(unwritten).as_bytes()).is_ok() {
                unwritten = 0;
            }
            if unwritten > 0 || write(&mut out, &line).is_err() {
                unwritten += lines;
            }
        }
    }

    fn next(&self) -> Entry {
        let mut state = self.state();
        state.writing = false;
        self.changed.notify_all();
        loop {
            if let Some(entry) = state.entries.pop_front() {
                state.writing = true;
                return entry;
            }
            if state.lost > 0 {
                state.writing = true;
                return Entry::Lost(std::mem::take(&mut state.lost));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// [`Write::write_all`], but also to what somebody else has made non-blocking:
/// standard error is the same open file as its other users'.
fn write(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, SyncSender, sync_channel},
        time::Instant,
    };

    use super::*;

    /// Takes a write whenever it is told how that ends.
    struct Reader {
        turns: Receiver<io::Result<()>>,
        said: Arc<Mutex<String>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Its end: nobody reads any more.
            self.turns
                .recv()
                .unwrap_or(Err(ErrorKind::BrokenPipe.into()))?;
            let text = std::str::from_utf8(bytes).unwrap();
            self.said.lock().unwrap().push_str(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue() -> (Queue, SyncSender<io::Result<()>>, Arc<Mutex<String>>) {
        let (turn, turns) = sync_channel(4 * LINES);
        let said = Arc::<Mutex<String>>::default();
        let reader = Reader {
            turns,
            said: Arc::clone(&said),
        };
        let queue = Queue::start(reader, |count| format!("{count} lost\n")).unwrap();
        (queue, turn, said)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_is_told_how_many() {
        let (queue, turn, said) = queue();
        for i in 0..3 * LINES {
            queue.put(format!("{i}\n").as_bytes());
        }
        let started = Instant::now();
        queue.flush(Duration::from_millis(10));
        assert!(started.elapsed() < LONG, "nobody waits for it");
        for _ in 0..=LINES + 1 {
            turn.send(Ok(())).unwrap();
        }
        queue.flush(LONG);
        turn.send(Ok(())).unwrap();
        queue.put(b"later\n");
        queue.flush(LONG);
        let said = said.lock().unwrap();
        let lines: Vec<&str> = said.lines().collect();
        // One more may have been with the thread.
        let kept = lines.len() - 2;
        assert!((LINES..=LINES + 1).contains(&kept), "{kept}");
        for (i, line) in lines[..kept].iter().enumerate() {
            assert_eq!(*line, i.to_string());
        }
        assert_eq!(lines[kept], format!("{} lost", 3 * LINES - kept));
        assert_eq!(lines[kept + 1], "later");
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (queue, turn, said) = queue();
        for _ in 0..2 {
            turn.send(Err(ErrorKind::StorageFull.into())).unwrap();
        }
        for line in ["a\n", "b\n"] {
            queue.put(line.as_bytes());
        }
        queue.flush(LONG);
        // Not yet, and then at once.
        turn.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        for _ in 0..2 {
            turn.send(Ok(())).unwrap();
        }
        queue.put(b"c\n");
        queue.flush(LONG);
        assert_eq!(*said.lock().unwrap(), "2 lost\nc\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_harm() {
        let (queue, turn, said) = queue();
        drop(turn);
        for _ in 0..10 {
            queue.put(b"a\n");
        }
        let started = Instant::now();
        queue.flush(LONG);
        assert!(started.elapsed() < LONG);
        assert!(said.lock().unwrap().is_empty());
    }
}
