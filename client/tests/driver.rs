//! The client against servers that misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "the test is the server")]

mod support;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use conclave_client::{Client, ClientBuilder, ClientError, SessionState, client::REQUESTS_MAX};
use conclave_protocol::{connect::ConnectResponse, frame::put_frame, ids::SessionId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use support::within;

/// Serves connections by `serve`; returns the address, and how many there were.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (String, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(socket));
        }
    });
    (address, count)
}

async fn greet(socket: &mut TcpStream, timeout_ms: i32) {
    let len = socket.read_u32().await.unwrap();
    socket.read_exact(&mut vec![0; len as usize]).await.unwrap();
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms,
        session: SessionId(7),
        password: Some(Bytes::from_static(&[7; 16])),
        read_only: Some(false),
    };
    let mut out = BytesMut::new();
    put_frame(&mut out, |out| response.encode(out));
    socket.write_all(&out).await.unwrap();
}

fn nobody() -> String {
    format!("127.0.0.1:{}", support::free_port())
}

/// Goal: a server that stops to read cannot stop the client's timers.
#[tokio::test]
async fn a_server_that_does_not_read_is_given_up() {
    let (hosts, count) = listen(|mut socket| async move {
        greet(&mut socket, 900).await;
        std::future::pending::<()>().await;
    })
    .await;
    let client = ClientBuilder::new(hosts).start().unwrap();
    within("the greeting comes", client.connected()).await.unwrap();
    // Far more than sockets buffer.
    let stuck: Vec<_> =
        (0..100).map(|_| client.set_data("/a", vec![b'x'; 500_000], None)).collect();
    let first = stuck.into_iter().next().expect("there are many");
    let answer = within("the connection is given up", first).await;
    assert_eq!(answer, Err(ClientError::ConnectionLoss));
    within("another is made", async {
        while count.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Goal: a client and a server that both write before they read on do not wait for each other.
#[tokio::test]
async fn answers_are_read_while_requests_are_written() {
    let (hosts, _) = listen(|mut socket| async move {
        greet(&mut socket, 30_000).await;
        // Answers each setData with as many bytes, and reads no further until they are written.
        for xid in 1_u32.. {
            let Ok(len) = socket.read_u32().await else { return };
            socket.read_exact(&mut vec![0; len as usize]).await.unwrap();
            let mut out = BytesMut::new();
            put_frame(&mut out, |out| {
                out.extend_from_slice(&xid.to_be_bytes());
                out.extend_from_slice(&[0; 12]);
                out.resize(out.len() + 500_000, 0);
            });
            if socket.write_all(&out).await.is_err() {
                return;
            }
        }
    })
    .await;
    let client = ClientBuilder::new(hosts).start().unwrap();
    let answers: Vec<_> =
        (0..100).map(|_| client.set_data("/a", vec![b'x'; 500_000], None)).collect();
    for answer in answers {
        within("all are answered", answer).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_not_dialled_without_a_rest() {
    let (hosts, count) = listen(|socket| async move { drop(socket) }).await;
    let client = ClientBuilder::new(hosts).start().unwrap();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let count = count.load(Ordering::Relaxed);
    assert!((2..=30).contains(&count), "{count} connections in a second");
    assert_eq!(client.state(), SessionState::Connecting);
}

#[tokio::test]
async fn a_server_that_greets_and_hangs_up_is_not_dialled_without_a_rest() {
    let (hosts, count) = listen(|mut socket| async move { greet(&mut socket, 9000).await }).await;
    let _client = ClientBuilder::new(hosts).start().unwrap();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let count = count.load(Ordering::Relaxed);
    assert!((2..=30).contains(&count), "{count} connections in a second");
}

#[tokio::test]
async fn calls_without_a_connection_are_bounded_and_closing_ends_them() {
    let client = ClientBuilder::new(nobody()).start().unwrap();
    let waiting: Vec<_> = (0..REQUESTS_MAX).map(|_| client.exists("/a")).collect();
    // Also when the session's task has taken them all.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(client.exists("/a").await, Err(ClientError::Overloaded));
    }
    within("closing needs no server", client.close()).await.unwrap();
    for answer in waiting {
        assert_eq!(answer.await, Err(ClientError::Closed));
    }
    assert_eq!(client.state(), SessionState::Closed);
    assert_eq!(client.exists("/a").await, Err(ClientError::Closed));
}

#[tokio::test]
async fn answers_make_room_for_further_calls() {
    let (hosts, _) = listen(|mut socket| async move {
        greet(&mut socket, 30_000).await;
        loop {
            let Ok(len) = socket.read_u32().await else { return };
            let mut request = vec![0; len as usize];
            socket.read_exact(&mut request).await.unwrap();
            let mut out = BytesMut::new();
            put_frame(&mut out, |out| {
                out.extend_from_slice(&request[..4]);
                out.extend_from_slice(&1_u64.to_be_bytes());
                out.extend_from_slice(&(-101_i32).to_be_bytes());
            });
            if socket.write_all(&out).await.is_err() {
                return;
            }
        }
    })
    .await;
    let client = Client::connect(&hosts).await.unwrap();
    for _ in 0..2 {
        let answers: Vec<_> = (0..REQUESTS_MAX).map(|_| client.exists("/a")).collect();
        for answer in answers {
            assert_eq!(answer.await, Ok(None));
        }
    }
}

#[tokio::test]
async fn a_client_without_handles_ends() {
    let client = ClientBuilder::new(nobody()).start().unwrap();
    let mut states = client.states();
    drop(client);
    within("the task ends", states.wait_for(|state| state.is_over())).await.unwrap();
}
