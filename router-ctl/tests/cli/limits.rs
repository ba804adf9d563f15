//! Clients that are wrong, slow or many cost nobody else anything.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use crate::{said, twin::Daemon};

fn is_well(daemon: &Daemon) {
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// Writes as much as is taken; what came back.
fn pour(daemon: &Daemon, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    match stream.write_all(bytes) {
        Ok(()) => {}
        // Closed by the other side, which has seen enough.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ) => {}
        Err(error) => panic!("{error}"),
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    answer
}

#[test]
fn a_thousand_connections_are_all_answered() {
    let daemon = Daemon::start();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let socket = daemon.socket.clone();
            thread::spawn(move || {
                for _ in 0..125 {
                    let mut stream = connect(&socket);
                    stream
                        .write_all(b"GET /v1/networks HTTP/1.1\r\nHost: x\r\n\r\n")
                        .unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    is_well(&daemon);
}

#[test]
fn a_thousand_connections_at_once_do_not_harm_it() {
    let daemon = Daemon::start();
    // More than there are places and than the socket's queue takes: a full
    // queue refuses at once, so that nobody waits here for ever.
    let held: Vec<UnixStream> = (0..1000)
        .filter_map(|_| connect_or_full(&daemon.socket))
        .collect();
    assert!(held.len() >= 64, "{}", held.len());
    drop(held);
    is_well(&daemon);
}

/// Waits where the queue is full.
fn connect(path: &std::path::Path) -> UnixStream {
    let started = Instant::now();
    loop {
        match connect_or_full(path) {
            Some(stream) => return stream,
            None => {
                assert!(started.elapsed() < Duration::from_secs(30));
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// `None`: the socket's queue is full.
fn connect_or_full(path: &std::path::Path) -> Option<UnixStream> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    // A connect that does not block, unlike std's.
    let stream = runtime.block_on(tokio::net::UnixStream::connect(path));
    match stream {
        Ok(stream) => {
            let stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            Some(stream)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_line_of_ten_megabytes_is_not_kept() {
    let daemon = Daemon::start();
    let line = [b"GET /".as_slice(), &vec![b'a'; 10 << 20]].concat();
    let answer = pour(&daemon, &line);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    let header = [
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ".as_slice(),
        &vec![b'a'; 10 << 20],
    ]
    .concat();
    let answer = pour(&daemon, &header);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    is_well(&daemon);
}

#[test]
fn a_body_of_ten_megabytes_is_refused() {
    let daemon = Daemon::start();
    let size = 10 << 20;
    let mut request =
        format!("POST /v1/routes HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n")
            .into_bytes();
    request.resize(request.len() + size, b' ');
    let answer = pour(&daemon, &request);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    assert!(daemon.twin.changes.lock().unwrap().is_empty());
    is_well(&daemon);
}

#[test]
fn garbage_is_no_request() {
    let daemon = Daemon::start();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..200 {
        let garbage: Vec<u8> = (0..512)
            .map(|_| {
                // xorshift: the same garbage each time.
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()[0]
            })
            .collect();
        let answer = pour(&daemon, &[&garbage[..], b"\r\n\r\n"].concat());
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{answer}"
        );
    }
    for request in [
        "\r\n\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/routes HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let answer = pour(&daemon, request.as_bytes());
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{request}");
    }
    is_well(&daemon);
}

#[test]
fn a_client_that_sends_a_byte_at_a_time_is_cut_off() {
    let daemon = Daemon::start();
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    let started = Instant::now();
    let header =
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut cut = false;
    for byte in header.iter().cycle().take(200) {
        if stream.write_all(&[*byte]).is_err() {
            cut = true;
            break;
        }
        is_well(&daemon);
        thread::sleep(Duration::from_millis(100));
    }
    assert!(cut, "it was let on for {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(15));
}

/// Each would have had an answer of megabytes in memory, built in the way of
/// everybody else.
#[test]
fn readers_that_do_not_read_long_listings_are_few_at_a_time_and_broken_off() {
    let daemon = Daemon::start();
    daemon.twin.more_routes.store(20_000, Ordering::Relaxed);
    let idle: Vec<UnixStream> = (0..40)
        .map(|_| {
            let mut stream = connect(&daemon.socket);
            stream
                .write_all(b"GET /v1/routes HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    let started = Instant::now();
    is_well(&daemon);
    thread::sleep(Duration::from_secs(2));
    is_well(&daemon);
    let built = daemon.twin.listings.load(Ordering::Relaxed);
    assert_eq!(built, 2, "after {:?}", started.elapsed());
    // They have gone, or were told that there are too many, without any of them
    // having read a byte: who reads is answered.
    let mut last = String::new();
    while started.elapsed() < Duration::from_secs(60) {
        let output = daemon.command("-j routes").output().unwrap();
        last = said(&output).1;
        if output.status.success() {
            drop(idle);
            return;
        }
        assert!(last.contains("RC0209"), "{last}");
    }
    panic!("they still have their turns: {last}");
}
