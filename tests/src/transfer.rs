//! A TCP transfer there and back, verified by SHA-256.
//!
//! The bytes are pseudo-random and never held whole: both ends hash what they
//! send and what they receive, and the four hashes must be two.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use sha2::{Digest as _, Sha256};

use crate::{netns::Netns, wait};

/// Without any progress for so long, a transfer has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// Between two looks for a signal.
const LOOK: Duration = Duration::from_millis(200);

/// What was transferred.
#[derive(Clone, Debug)]
pub struct Transferred {
    /// Bytes in each direction.
    pub bytes: u64,
    /// From connecting to the last byte back.
    pub elapsed: Duration,
    /// SHA-256 of the bytes there, in hexadecimal digits.
    pub there: String,
    /// SHA-256 of the bytes back.
    pub back: String,
}

/// Sends `bytes` from `client` to `server`, which listens at `address`, then as
/// many others back over the same connection.
///
/// # Errors
/// Where a hash differs, the connection fails or stalls, or a signal comes.
pub fn transfer(
    client: &Netns,
    server: &Netns,
    address: IpAddr,
    bytes: u64,
) -> Result<Transferred> {
    let (listener, at) = server.run(|| {
        let listener = TcpListener::bind(SocketAddr::new(address, 0))
            .with_context(|| format!("cannot listen at {address}"))?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        Ok((listener, at))
    })?;
    let start = Instant::now();
    let serving = server.spawn(move || serve(&listener, bytes))?;
    let asked = client.run(|| ask(at, bytes));
    let served = serving
        .join()
        .map_err(|_| anyhow!("the TCP server panicked"))?;
    // The client's error comes first: it often is the cause of the server's.
    let (asked, served) = (asked.context("TCP client")?, served.context("TCP server")?);
    ensure!(
        asked.sent == served.received,
        "{bytes} bytes there: SHA-256 {} sent, {} received",
        asked.sent,
        served.received
    );
    ensure!(
        served.sent == asked.received,
        "{bytes} bytes back: SHA-256 {} sent, {} received",
        served.sent,
        asked.received
    );
    Ok(Transferred {
        bytes,
        elapsed: start.elapsed(),
        there: asked.sent,
        back: served.sent,
    })
}

/// The hashes of one end.
struct Hashes {
    sent: String,
    received: String,
}

fn ask(server: SocketAddr, bytes: u64) -> Result<Hashes> {
    let stream = TcpStream::connect_timeout(&server, LIMIT)
        .with_context(|| format!("cannot connect to {server}"))?;
    let mut stream = Patient::new(stream)?;
    let sent = emit(&mut stream, bytes, 0x0a0a)?;
    stream.0.shutdown(Shutdown::Write)?;
    let received = absorb(&mut stream, bytes)?;
    Ok(Hashes { sent, received })
}

fn serve(listener: &TcpListener, bytes: u64) -> Result<Hashes> {
    let stream = wait::until("a TCP connection", LIMIT, || match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    stream.set_nonblocking(false)?;
    let mut stream = Patient::new(stream)?;
    let received = absorb(&mut stream, bytes)?;
    let sent = emit(&mut stream, bytes, 0x140b)?;
    stream.0.shutdown(Shutdown::Write)?;
    Ok(Hashes { sent, received })
}

/// Sends pseudo-random bytes; returns their hash.
fn emit(stream: &mut impl Write, bytes: u64, seed: u64) -> Result<String> {
    let mut random = SplitMix64(seed);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 0x4000];
    let mut left = bytes;
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            word.copy_from_slice(&random.next().to_le_bytes());
        }
        let length = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        hash.update(&chunk[..length]);
        stream.write_all(&chunk[..length]).context("cannot send")?;
        left -= length as u64;
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// Receives to the end; returns the hash.
fn absorb(stream: &mut impl Read, bytes: u64) -> Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 0x4000];
    let mut received = 0;
    loop {
        match stream.read(&mut chunk).context("cannot receive")? {
            0 => break,
            length => {
                hash.update(&chunk[..length]);
                received += length as u64;
            }
        }
    }
    ensure!(received == bytes, "{received} bytes came of {bytes}");
    Ok(hexadecimal(&hash.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Gives up when nothing moves for [`LIMIT`], or a signal comes.
struct Patient(TcpStream);

impl Patient {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(LOOK))?;
        Ok(Self(stream))
    }

    fn try_on<T>(
        &mut self,
        mut attempt: impl FnMut(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        let start = Instant::now();
        loop {
            match attempt(&mut self.0) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if wait::interrupted() {
                        // Not `Interrupted`, which the standard library retries.
                        return Err(io::Error::other("interrupted"));
                    }
                    if start.elapsed() > LIMIT {
                        return Err(io::Error::new(
                            ErrorKind::TimedOut,
                            format!("nothing moved for {} s", LIMIT.as_secs()),
                        ));
                    }
                }
                done => return done,
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_on(|stream| stream.read(buffer))
    }
}

impl Write for Patient {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.try_on(|stream| stream.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// <https://prng.di.unimi.it/splitmix64.c>: no two chunks are alike, so that no
/// lost or doubled one goes unnoticed.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_hash_alike() {
        let mut wire = Vec::new();
        let sent = emit(&mut wire, 100_001, 7).unwrap();
        assert_eq!(wire.len(), 100_001);
        assert_eq!(absorb(&mut wire.as_slice(), 100_001).unwrap(), sent);
        wire[50_000] ^= 1;
        assert_ne!(absorb(&mut wire.as_slice(), 100_001).unwrap(), sent);
        assert!(absorb(&mut &wire[1..], 100_001).is_err());
    }

    #[test]
    fn hashes_are_sha256() {
        // NIST's value for the empty message.
        assert_eq!(
            absorb(&mut io::empty(), 0).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
