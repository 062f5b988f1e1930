//! An ensemble, and clients whose connections can be cut.

use std::time::Duration;

use conclave_client::{Client, ClientBuilder};
use conclave_server::embedded::Embedded;

pub(crate) use crate::support::{Flow, Proxy, within};

/// Long enough for a machine that has other things to do.
pub(crate) const SESSION_TIMEOUT_MS: u32 = 20_000;

/// So short that a test can wait for the expiry.
pub(crate) const SHORT_TIMEOUT_MS: u32 = 400;

pub(crate) struct World {
    pub(crate) ensemble: Embedded,
    /// One that looks on.
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::of(1).await
    }

    pub(crate) async fn of(members: u8) -> Self {
        let ensemble = Embedded::builder().members(members).start().await.unwrap();
        let client = connect(&ensemble.connect_string(), SESSION_TIMEOUT_MS).await;
        Self { ensemble, client }
    }

    /// Returns a client with a session of its own.
    pub(crate) async fn client(&self) -> Client {
        connect(&self.ensemble.connect_string(), SESSION_TIMEOUT_MS).await
    }

    /// Returns a client whose connections can be cut.
    pub(crate) async fn by_proxy(&self, session_timeout_ms: u32) -> (Proxy, Client) {
        let proxy = Proxy::start(self.ensemble.address(1).to_string()).await;
        let client = connect(&proxy.address.to_string(), session_timeout_ms).await;
        (proxy, client)
    }

    /// Waits until a znode has so many children.
    pub(crate) async fn children_become(&self, path: &str, count: usize) -> Vec<String> {
        let become_so = async {
            loop {
                let names =
                    self.client.get_children(path).await.map_or(Vec::new(), |(names, _)| names);
                if names.len() == count {
                    return names;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("children come and go", become_so).await
    }

    /// Waits until the servers hold so many watches.
    pub(crate) async fn watches_become(&self, count: usize) {
        let become_so = async {
            while self.ensemble.watches_and_sessions().0 != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("watches come and go", become_so).await;
    }

    /// Ends it; nothing of a recipe may be left: no watch and, besides persistent znodes, nothing.
    pub(crate) async fn stop(self) {
        self.watches_become(0).await;
        self.client.close().await.unwrap();
        self.ensemble.stop().await;
    }
}

pub(crate) async fn connect(hosts: &str, session_timeout_ms: u32) -> Client {
    let client = ClientBuilder::new(hosts).session_timeout_ms(session_timeout_ms).start().unwrap();
    within("the client is connected", client.connected()).await.unwrap();
    client
}
