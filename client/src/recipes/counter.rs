//! A number that many change: each addition is made to the newest value.
//!
//! **Guarantees.** No addition is lost, and none is made twice.
//!
//! **Failures.** When the connection is lost with an addition under way, and another has changed the number
//! meanwhile, the outcome cannot be known: that is said
//! ([`crate::ErrorKind::OutcomeUnknown`]) and left to the caller.
//!
//! **Watches.** None.
//!
//! **Others.** [`Format::Text`] is that of kazoo's `Counter`, [`Format::Binary`] that of Curator's
//! `DistributedAtomicLong` and its like.

use std::time::Duration;

use bytes::Bytes;
use conclave_protocol::stat::Stat;

use super::{RecipeError, patient};
use crate::{
    client::{Client, CreateMode, CreateOptions},
    error::{ClientError, ErrorKind},
};

/// Longest rest before a change is tried again that others were faster with, in milliseconds.
const REST_MS_MAX: u64 = 100;

/// How the number is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// In decimal digits.
    #[default]
    Text,
    /// In eight bytes, the highest first.
    Binary,
}

/// A counter at a path; a znode that is missing or empty counts 0.
#[derive(Clone, Debug)]
pub struct Counter {
    client: Client,
    path: String,
    format: Format,
}

impl Counter {
    /// Makes a counter at a path, whose znode and parents are made when they are needed.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { client: client.clone(), path: path.into(), format: Format::default() }
    }

    /// Sets how the number is written.
    #[must_use]
    pub const fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Returns the number, as new as this session's server knows it.
    ///
    /// # Errors
    ///
    /// [`RecipeError::Foreign`] when there is no number; those of the session.
    pub async fn get(&self) -> Result<i64, RecipeError> {
        Ok(self.read().await?.map_or(0, |(number, _)| number))
    }

    /// Adds to the number, and returns what it then is.
    ///
    /// # Errors
    ///
    /// As [`Self::get`]; with [`ErrorKind::OutcomeUnknown`] it may have been added or not.
    pub async fn add(&self, change: i64) -> Result<i64, RecipeError> {
        self.update(|number| number.wrapping_add(change)).await
    }

    /// Changes the number by a function, which is called again when others were faster, and returns what
    /// it then is.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    pub async fn update(&self, change: impl Fn(i64) -> i64) -> Result<i64, RecipeError> {
        let mut rest_ms = 1;
        loop {
            let Some((number, stat)) = self.read().await? else {
                self.create().await?;
                continue;
            };
            let next = change(number);
            match self.client.set_data(&self.path, self.encode(next), Some(stat.version)).await {
                Ok(_) => return Ok(next),
                Err(ClientError::BadVersion | ClientError::NoNode) => {}
                Err(error) if error.kind() == ErrorKind::NotDone => {}
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                    self.require_unchanged(&stat, error).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(Duration::from_millis(rest_ms)).await;
            rest_ms = (rest_ms * 2).min(REST_MS_MAX);
        }
    }

    /// Behind a sync of the new connection, what the old one has sent was done or never will be.
    async fn require_unchanged(&self, seen: &Stat, error: ClientError) -> Result<(), RecipeError> {
        patient(|| self.client.sync(&self.path)).await?;
        let now = patient(|| self.client.exists(&self.path)).await?;
        let is_unchanged =
            now.is_some_and(|now| (now.czxid, now.version) == (seen.czxid, seen.version));
        if is_unchanged { Ok(()) } else { Err(error.into()) }
    }

    async fn read(&self) -> Result<Option<(i64, Stat)>, RecipeError> {
        match patient(|| self.client.get_data(&self.path)).await {
            Ok((data, stat)) => Ok(Some((self.decode(&data)?, stat))),
            Err(ClientError::NoNode) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn create(&self) -> Result<(), RecipeError> {
        let options = CreateOptions::new(CreateMode::Persistent).parents();
        match self.client.create_as(&self.path, self.encode(0), &options).await {
            Ok(_) | Err(ClientError::NodeExists) => Ok(()),
            // It is there now or will be created again; no number is changed by that.
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn encode(&self, number: i64) -> Bytes {
        match self.format {
            Format::Text => number.to_string().into(),
            Format::Binary => Bytes::copy_from_slice(&number.to_be_bytes()),
        }
    }

    fn decode(&self, data: &[u8]) -> Result<i64, RecipeError> {
        let number = match self.format {
            _ if data.is_empty() => Some(0),
            Format::Text => std::str::from_utf8(data).ok().and_then(|text| text.parse().ok()),
            Format::Binary => data.try_into().ok().map(i64::from_be_bytes),
        };
        number.ok_or_else(|| RecipeError::Foreign(self.path.clone()))
    }
}
