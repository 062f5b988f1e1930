//! Goal: nobody sees a watch of a connection whose client has seen its end.
//! Method: again and again a client arms a watch, stops sending and waits for the end; then the
//! member's table has to be empty. Once in a hundred times it was not, when the end was sent first.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "settings are files, and clients are sockets")]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use conclave_server::{config, driver::Member};

const ROUNDS: usize = 1000;

/// Asks for a new session: protocol 0, nothing seen, the least timeout, no password.
const CONNECT: [u8; 48] = {
    let mut frame = [0; 48];
    frame[3] = 44;
    frame
};

/// addWatch of `/a`, recursive.
const ADD_WATCH: [u8; 22] =
    [0, 0, 0, 18, 0, 0, 0, 1, 0, 0, 0, 106, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 1];

fn arm_and_leave(address: SocketAddr) {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.write_all(&CONNECT).unwrap();
    client.write_all(&ADD_WATCH).unwrap();
    // The connect reply, and the answer with its four bytes.
    client.read_exact(&mut [0; 41 + 24]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn watches_are_gone_before_the_client_sees_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.cfg");
    let file = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n",
        folder.path().display()
    );
    std::fs::write(&path, file).unwrap();
    let (config, _) = config::load(path.to_str().unwrap(), None).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let member = runtime.block_on(async {
        let member = Member::start(config.settings()).await.unwrap();
        while !member.shared().is_serving() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        member
    });
    for round in 0..ROUNDS {
        arm_and_leave(member.client_address());
        assert_eq!(member.shared().watches.count(), 0, "round {round}");
    }
    runtime.block_on(member.stop());
}
