//! A connection whose other end has to read: one that takes nothing for too
//! long is broken off, so that it gives back its place and its answer's memory.

use std::{
    future::Future as _,
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    time::{Sleep, sleep},
};

use super::monitor::Lasting;

/// Longest time in which a reader takes nothing, or so little that the kernel
/// does not say so: a Unix socket can be written to again when three quarters of
/// its buffer (200 KiB) have been read.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A stream to somebody who is waited for so long, and no longer.
#[derive(Debug)]
pub(super) struct Patient {
    stream: UnixStream,
    /// Who follows the daemon may stop reading for as long as they like.
    lasting: Lasting,
    /// While something waits to be taken.
    end: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(super) const fn new(stream: UnixStream, lasting: Lasting) -> Self {
        Self {
            stream,
            lasting,
            end: None,
        }
    }

    /// What came of writing; an error if it has taken too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() || self.lasting.is_set() {
            self.end = None;
            return written;
        }
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        ready!(end.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    /// Writes without end; `None`: it was let on for as long as that takes.
    async fn pour(stream: UnixStream, lasting: Lasting) -> Option<ErrorKind> {
        let mut patient = Patient::new(stream, lasting);
        let poured = timeout(PATIENCE * 10, async {
            loop {
                if let Err(error) = patient.write_all(&[0; 4096]).await {
                    return error.kind();
                }
            }
        });
        poured.await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_broken_off() {
        let (_idle, stream) = UnixStream::pair().unwrap();
        let end = pour(stream, Lasting::default()).await;
        assert_eq!(end, Some(ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn who_follows_the_daemon_is_waited_for() {
        let (_idle, stream) = UnixStream::pair().unwrap();
        let lasting = Lasting::default();
        lasting.set();
        assert_eq!(pour(stream, lasting).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_waited_for() {
        let (mut slow, stream) = UnixStream::pair().unwrap();
        let reading = tokio::spawn(async move {
            let mut bytes = vec![0; 128 * 1024];
            loop {
                sleep(PATIENCE / 4).await;
                slow.read_exact(&mut bytes).await.unwrap();
            }
        });
        assert_eq!(pour(stream, Lasting::default()).await, None);
        reading.abort();
    }
}
