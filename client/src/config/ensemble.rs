//! A session for commands: it waits so long for a member and no longer, and asks again what may be asked again.

use std::{collections::VecDeque, time::Duration};

use super::{
    batch::{Limit, MULTI_LEN_BYTES_MAX},
    error::ConfigError,
};
use crate::{
    client::{Answer, Client, ClientBuilder},
    error::ClientError,
    hosts::ConnectString,
};

/// Requests under way at once.
pub const WINDOW: usize = 256;

/// What a request has around a multi, in bytes, generously.
const HEADER_LEN_BYTES: usize = 1024;

/// How often a question is asked again over broken connections.
const TRIES_MAX: usize = 20;

/// A connected session.
#[derive(Clone, Debug)]
pub struct Ensemble {
    client: Client,
    server: String,
    wait: Duration,
    limit: Limit,
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Hosts and chroot.
    pub server: String,
    /// Session timeout to ask for, in milliseconds.
    pub timeout_ms: u32,
    /// How long to wait for a member.
    pub wait: Duration,
    /// Identities to prove: `scheme:data`.
    pub auth: Vec<String>,
    /// Bytes of a multi at most.
    pub multi_len_bytes_max: usize,
}

impl Ensemble {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreachable`], [`ConfigError::Usage`] for what is no connect string or identity.
    pub async fn connect(connection: &Connection) -> Result<Self, ConfigError> {
        let Connection { server, timeout_ms, wait, auth, multi_len_bytes_max } = connection;
        let usage = |error: ClientError| ConfigError::Usage(error.to_string());
        let chroot_len_bytes = ConnectString::parse(server).map_err(usage)?.chroot.len();
        let limit = Limit { multi_len_bytes_max: *multi_len_bytes_max, chroot_len_bytes };
        // What the service accepts is for the user to know.
        let builder = ClientBuilder::new(server)
            .session_timeout_ms(*timeout_ms)
            .request_len_bytes_max(multi_len_bytes_max.saturating_add(HEADER_LEN_BYTES));
        let client = builder.start().map_err(usage)?;
        let ensemble = Self { client, server: server.clone(), wait: *wait, limit };
        ensemble.connected().await?;
        for identity in auth {
            let (scheme, data) = identity.split_once(':').ok_or_else(|| {
                ConfigError::Usage(format!(
                    "{identity:?}: expected scheme:data, as digest:me:secret"
                ))
            })?;
            let proved = ensemble.client.add_auth(scheme, data.as_bytes().to_vec());
            ensemble
                .in_time(proved)
                .await?
                .map_err(ConfigError::service(format!("identity {scheme}")))?;
        }
        Ok(ensemble)
    }

    /// Wraps a client of the caller's.
    pub const fn of(client: Client, wait: Duration) -> Self {
        Self {
            client,
            server: String::new(),
            wait,
            limit: Limit { multi_len_bytes_max: MULTI_LEN_BYTES_MAX, chroot_len_bytes: 0 },
        }
    }

    /// Returns the client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Returns how long a multi may be.
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// Returns how long to wait for a member.
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreachable`] when there is none in time, or the session is over.
    pub async fn connected(&self) -> Result<(), ConfigError> {
        match tokio::time::timeout(self.wait, self.client.connected()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ConfigError::Unreachable(format!("{}: {error}", self.server))),
            Err(_) => Err(self.away()),
        }
    }

    /// Asks what may be asked twice, and asks again when the connection breaks.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Service`] with `what`; [`ConfigError::Unreachable`].
    pub async fn ask<T>(
        &self,
        what: &str,
        question: impl Fn(&Client) -> Answer<T>,
    ) -> Result<T, ConfigError> {
        self.try_ask(question).await?.map_err(ConfigError::service(what))
    }

    /// As [`Self::ask`], with what the service says apart from whether it is there.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreachable`].
    pub async fn try_ask<T>(
        &self,
        question: impl Fn(&Client) -> Answer<T>,
    ) -> Result<Result<T, ClientError>, ConfigError> {
        for _ in 0..TRIES_MAX {
            match self.in_time(question(&self.client)).await? {
                Err(ClientError::ConnectionLoss) => self.connected().await?,
                answered => return Ok(answered),
            }
        }
        Err(self.away())
    }

    /// Asks many things, a window of them at a time; the answers come in the order of the questions.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreachable`]; what the service says is in the answers.
    pub async fn ask_all<T>(
        &self,
        count: usize,
        question: impl Fn(&Client, usize) -> Answer<T>,
    ) -> Result<Vec<Result<T, ClientError>>, ConfigError> {
        let mut answers = Vec::with_capacity(count);
        let mut under_way = VecDeque::new();
        let mut next = 0;
        while answers.len() < count {
            while next < count && under_way.len() < WINDOW {
                under_way.push_back(question(&self.client, next));
                next += 1;
            }
            let answer = under_way.pop_front().expect("there is an answer to come");
            let answered = match self.in_time(answer).await? {
                Err(ClientError::ConnectionLoss) => {
                    self.connected().await?;
                    let index = answers.len();
                    self.try_ask(|client| question(client, index)).await?
                }
                answered => answered,
            };
            answers.push(answered);
        }
        Ok(answers)
    }

    /// Waits for an answer as long as for a member.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreachable`].
    pub async fn in_time<F: Future>(&self, answer: F) -> Result<F::Output, ConfigError> {
        // Twice, for a session that loses its connection needs some of it to find another.
        let patience = self.wait * 2;
        tokio::time::timeout(patience, answer).await.map_err(|_| self.away())
    }

    /// Ends the session.
    pub async fn close(&self) {
        // A service that is gone has nothing to close.
        drop(tokio::time::timeout(self.wait, self.client.close()).await);
    }

    fn away(&self) -> ConfigError {
        let wait_ms = self.wait.as_millis();
        ConfigError::Unreachable(format!("{}: no member answered within {wait_ms} ms", self.server))
    }
}
