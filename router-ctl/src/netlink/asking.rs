//! Asking the kernel what the rtnetlink crates have no words for, over a socket of
//! its own. The kernel has each part of the answer ready when it is asked for it:
//! nothing here waits.

use std::io;

use rtnetlink::sys::{Socket, SocketAddr};

use super::{
    Error,
    raw::{self, Message},
};

/// `NLM_F_REQUEST`; with `NLM_F_DUMP`.
pub(super) const REQUEST: u16 = 1;
pub(super) const DUMP: u16 = 0x301;
/// `NLM_F_MULTI`: there is more to come, until `NLMSG_DONE`.
const MULTI: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;

/// Parts of an answer that are taken: no system has that many.
const MOST: usize = 4096;
const LONGEST: usize = 1 << 16;

/// A message to the kernel.
pub(super) fn request(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = 16 + payload.len();
    let mut bytes = Vec::with_capacity(length);
    // No request is longer than a few attributes.
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Number and sender.
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes
}

/// Asks, and hands each message of the answer to `take`.
///
/// # Errors
/// What the kernel refuses with, and the socket's own.
pub(super) fn ask(
    protocol: isize,
    request: &[u8],
    mut take: impl FnMut(&Message<'_>),
) -> Result<(), Error> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(request, 0)?;
    let mut datagram = Vec::with_capacity(LONGEST);
    for _ in 0..MOST {
        datagram.clear();
        socket.recv(&mut datagram, 0)?;
        if read(&datagram, &mut take)? {
            return Ok(());
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData).into())
}

/// Reads a part of an answer. `true`: it was the last one.
fn read(datagram: &[u8], take: &mut impl FnMut(&Message<'_>)) -> Result<bool, Error> {
    for message in raw::messages(datagram) {
        match message.error() {
            Some(Ok(0)) => return Ok(true),
            Some(errno) => {
                return Err(Error::Refused {
                    errno: io::Error::from_raw_os_error(errno?),
                    words: None,
                });
            }
            None if message.kind == DONE => return Ok(true),
            None => take(&message),
        }
        if message.flags & MULTI == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes all that was announced to a socket that does not wait. Whether there was
/// anything, or so much that some of it was lost.
pub(super) fn has_heard(socket: &Socket) -> Result<bool, Error> {
    let mut heard = false;
    let mut datagram = Vec::with_capacity(LONGEST);
    for _ in 0..MOST {
        datagram.clear();
        match socket.recv(&mut datagram, 0) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => heard = true,
            Err(error) => return Err(error.into()),
            Ok(_) => heard = true,
        }
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(datagram: &[u8]) -> (Vec<u16>, Result<bool, Error>) {
        let mut kinds = Vec::new();
        let last = read(datagram, &mut |message| kinds.push(message.kind));
        (kinds, last)
    }

    #[test]
    fn one_message_or_many_until_done() {
        let one = request(20, 0, &[1, 2, 3, 4]);
        assert!(matches!(kinds(&one), (seen, Ok(true)) if seen == [20]));
        let many = [request(20, MULTI, &[0; 4]), request(21, MULTI, &[0; 4])].concat();
        assert!(matches!(kinds(&many), (seen, Ok(false)) if seen == [20, 21]));
        let done = request(DONE, MULTI, &[0; 4]);
        assert!(matches!(kinds(&done), (seen, Ok(true)) if seen.is_empty()));
    }

    #[test]
    fn refusals_and_acknowledgements() {
        let refused = request(raw::ERROR, 0, &(-libc::EPERM).to_ne_bytes());
        let (seen, answer) = kinds(&refused);
        assert!(seen.is_empty());
        assert_eq!(answer.unwrap_err().errno(), Some(libc::EPERM));
        let short = request(raw::ERROR, 0, &[]);
        assert!(kinds(&short).1.is_err());
        let acknowledged = request(raw::ERROR, 0, &[0; 4]);
        assert!(matches!(kinds(&acknowledged), (seen, Ok(true)) if seen.is_empty()));
    }
}
