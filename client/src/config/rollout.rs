//! Rollouts: a release that is in force for some consumers before it is for all, and who runs what.
//!
//! Below `cohorts` of a configuration's store is a znode per cohort: who belongs to it, and the pointer to its release.
//! Below `consumers` each consumer has an ephemeral that says what it runs.

use serde::{Deserialize, Serialize};

use super::{
    digest::Digest, ensemble::Ensemble, error::ConfigError, follow::Version, record::Pointer,
};
use crate::{client::CreateMode, error::ClientError};

/// Who reads a configuration, and how it is chosen for cohorts.
#[derive(Clone, Debug, Default)]
pub struct Consumer {
    /// Its name; the same over restarts, so that it stays in its cohort. Without one it reports nothing.
    pub name: String,
    /// Its labels.
    pub labels: Vec<String>,
}

/// Some consumers, and the release that is in force for them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cohort {
    /// Its name: that of the label, or of the share.
    #[serde(skip)]
    pub name: String,
    /// Who belongs to it.
    pub members: Members,
    /// Where its release is.
    pub pointer: Pointer,
    /// The txn that made it what it is.
    #[serde(skip)]
    pub zxid: i64,
    /// The version of its znode.
    #[serde(skip)]
    pub version: i32,
}

/// Who belongs to a cohort.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Members {
    /// Consumers with a label.
    Label(String),
    /// So many of a hundred: always the same ones, and with a greater share those and more.
    Percent(u8),
}

impl Cohort {
    /// Returns whether a consumer belongs to it.
    pub fn has(&self, consumer: &Consumer) -> bool {
        match &self.members {
            Members::Label(label) => consumer.labels.contains(label),
            Members::Percent(percent) => share(&consumer.name) < u64::from(*percent),
        }
    }
}

/// Returns where a consumer stands among a hundred.
fn share(name: &str) -> u64 {
    Digest::of(name.as_bytes()).number() % 100
}

/// Returns the cohort by which a consumer's release is chosen: one of its labels goes before a share.
pub fn choose<'a>(cohorts: &'a [Cohort], consumer: &Consumer) -> Option<&'a Cohort> {
    let is_label = |cohort: &&Cohort| matches!(cohort.members, Members::Label(_));
    let mine: Vec<&Cohort> = cohorts.iter().filter(|cohort| cohort.has(consumer)).collect();
    mine.iter().copied().find(is_label).or_else(|| mine.first().copied())
}

/// Reads the cohorts of the store at `store`, in order of their names.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when one is no cohort.
pub async fn read(ensemble: &Ensemble, store: &str) -> Result<Vec<Cohort>, ConfigError> {
    let at = format!("{store}/cohorts");
    let names = match ensemble.try_ask(|client| client.get_children(&at)).await? {
        Ok((names, _)) => names,
        Err(ClientError::NoNode) => return Ok(Vec::new()),
        Err(error) => return Err(ConfigError::service(at)(error)),
    };
    let mut cohorts = Vec::new();
    for name in names {
        let at = format!("{at}/{name}");
        let (data, stat) = match ensemble.try_ask(|client| client.get_data(&at)).await? {
            Err(ClientError::NoNode) => continue,
            answer => answer.map_err(ConfigError::service(&at))?,
        };
        let cohort: Cohort = serde_json::from_slice(&data)
            .map_err(|error| ConfigError::Invalid(format!("{at} is no cohort: {error}")))?;
        let (zxid, version) = (stat.mzxid.to_wire(), stat.version);
        cohorts.push(Cohort { name, zxid, version, ..cohort });
    }
    Ok(cohorts)
}

/// What a consumer says of itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// The release it runs.
    pub release: Option<u64>,
    /// The newest txn it has seen.
    pub zxid: i64,
    /// The cohort that it belongs to.
    pub cohort: Option<String>,
    /// Where it runs.
    pub host: String,
    /// Its process.
    pub pid: u32,
}

/// Reports what a consumer runs, until the session ends. Where nothing was ever applied there is nowhere to report to.
///
/// # Errors
///
/// Those of the service.
pub async fn report(
    ensemble: &Ensemble,
    store: &str,
    consumer: &Consumer,
    version: &Version,
) -> Result<(), ConfigError> {
    if consumer.name.is_empty() {
        return Ok(());
    }
    let report = Report {
        release: version.release,
        zxid: version.zxid,
        cohort: version.cohort.clone(),
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        pid: std::process::id(),
    };
    let data = serde_json::to_vec(&report).expect("it is plain data");
    let at = format!("{store}/consumers/{}", consumer.name);
    let mine = ensemble.client().session_id();
    loop {
        match ensemble.try_ask(|c| c.create(&at, data.clone(), CreateMode::Ephemeral)).await? {
            Ok(_) | Err(ClientError::NoNode) => return Ok(()),
            Err(ClientError::NodeExists) => {}
            Err(error) => return Err(ConfigError::service(at)(error)),
        }
        let Some(stat) = ensemble.ask(&at, |client| client.exists(&at)).await? else { continue };
        let answer = if stat.ephemeral_owner == mine.0 {
            let set = ensemble.try_ask(|client| client.set_data(&at, data.clone(), None)).await?;
            if set.is_ok() {
                return Ok(());
            }
            set.map(drop)
        } else {
            // Of a session before this one, which will be over, or of a consumer of the same name.
            ensemble.try_ask(|client| client.delete(&at, Some(stat.version))).await?
        };
        match answer {
            Ok(()) | Err(ClientError::NoNode | ClientError::BadVersion) => {}
            Err(error) => return Err(ConfigError::service(at)(error)),
        }
    }
}

/// Reads what consumers report, in order of their names.
///
/// # Errors
///
/// Those of the service.
pub async fn reports(
    ensemble: &Ensemble,
    store: &str,
) -> Result<Vec<(String, Report)>, ConfigError> {
    let at = format!("{store}/consumers");
    let names = match ensemble.try_ask(|client| client.get_children(&at)).await? {
        Ok((names, _)) => names,
        Err(ClientError::NoNode) => return Ok(Vec::new()),
        Err(error) => return Err(ConfigError::service(at)(error)),
    };
    let answers = ensemble
        .ask_all(names.len(), |client, index| client.get_data(&format!("{at}/{}", names[index])))
        .await?;
    let read = |(name, answer): (String, Result<(bytes::Bytes, _), ClientError>)| {
        // One that has gone meanwhile reports nothing.
        Some((name, serde_json::from_slice(&answer.ok()?.0).ok()?))
    };
    Ok(names.into_iter().zip(answers).filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(members: Members) -> Cohort {
        let pointer = Pointer::new("/c", "/s", 1);
        Cohort { name: String::new(), members, pointer, zxid: 0, version: 0 }
    }

    fn consumer(name: &str, labels: &[&str]) -> Consumer {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Consumer { name: name.to_owned(), labels }
    }

    #[test]
    fn a_greater_share_has_those_of_a_smaller_one_and_more() {
        let names: Vec<String> = (0..1000).map(|n| format!("host-{n}")).collect();
        let mut before = Vec::new();
        for percent in [0, 5, 10, 50, 100] {
            let cohort = cohort(Members::Percent(percent));
            let mine: Vec<&String> =
                names.iter().filter(|name| cohort.has(&consumer(name, &[]))).collect();
            assert!(before.iter().all(|name| mine.contains(name)), "{percent}");
            let expected = usize::from(percent) * 10;
            assert!(mine.len().abs_diff(expected) <= 50, "{percent}: {}", mine.len());
            before = mine;
        }
        assert_eq!(before.len(), 1000);
    }

    #[test]
    fn a_label_goes_before_a_share() {
        let cohorts = [cohort(Members::Percent(100)), cohort(Members::Label("canary".to_owned()))];
        assert_eq!(choose(&cohorts, &consumer("a", &["canary"])), Some(&cohorts[1]));
        assert_eq!(choose(&cohorts, &consumer("a", &["blue"])), Some(&cohorts[0]));
        assert_eq!(choose(&cohorts[1..], &consumer("a", &[])), None);
    }
}
