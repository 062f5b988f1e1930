//! What `conclaved` does with its arguments.

use std::time::Duration;

use conclave_server::{
    config::{self, Config, ConfigError, NoteLevel},
    driver::{Member, StartError},
};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::command_line::{Command, CommandLine, DevArguments};

/// How long `dev` waits for its ensemble before it says that it is late, in milliseconds.
const READY_MS: u64 = 30_000;

/// From 2181 to 2888, ZooKeeper's usual ports; other client ports keep the distance, so that two
/// ensembles do not meet.
const PEER_PORT_DISTANCE: u16 = 707;

/// Why `conclaved` ended.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("member {0} stopped by itself, see the log")]
    Member(u8),
    #[error("no configuration given: use --config FILE, or dev")]
    NoConfig,
    #[error("ports {0} and up are not {1} free ports below 65536")]
    Ports(u16, u8),
}

/// Runs until a signal or a failure.
pub(crate) fn run(command_line: CommandLine) -> Result<(), RunError> {
    let CommandLine { command, member } = command_line;
    let configs = match &command {
        Some(Command::Dev(dev)) => dev_configs(dev)?,
        None => {
            let loss = member.loss();
            let file = member.config.or(member.file).ok_or(RunError::NoConfig)?;
            let (mut config, notes) = config::load(&file, member.id)?;
            for note in notes {
                match note.level {
                    NoteLevel::Info => tracing::info!("{note}"),
                    NoteLevel::Warning => tracing::warn!("{note}"),
                }
            }
            if member.check {
                print!("{}", config.describe(None));
                return Ok(());
            }
            config.loss = loss;
            vec![config]
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(configs, command.is_some()))
}

fn dev_configs(dev: &DevArguments) -> Result<Vec<Config>, RunError> {
    let DevArguments { members, client_port, peer_port, data_dir, .. } = dev;
    let peer_port = peer_port.unwrap_or(client_port.saturating_add(PEER_PORT_DISTANCE));
    for port in [*client_port, peer_port] {
        if port.checked_add(u16::from(*members)).is_none() {
            return Err(RunError::Ports(port, *members));
        }
    }
    let config = |id| Config::dev(id, *members, *client_port, peer_port, data_dir);
    Ok((1..=*members).map(config).collect())
}

async fn serve(configs: Vec<Config>, is_dev: bool) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut members = Vec::new();
    for config in &configs {
        members.push((config.id, Member::start(config.settings()).await?));
    }
    if is_dev {
        greet(&members).await;
    }
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failed = first_failed(&members) => Some(failed),
    };
    for (_, member) in members {
        member.stop().await;
    }
    ended.map_or(Ok(()), |id| Err(RunError::Member(id)))
}

async fn first_failed(members: &[(u8, Member)]) -> u8 {
    let mut waits: Vec<_> = members
        .iter()
        .map(|(id, member)| {
            Box::pin(async move {
                member.failed().await;
                *id
            })
        })
        .collect();
    std::future::poll_fn(|context| {
        for wait in &mut waits {
            if let std::task::Poll::Ready(id) = wait.as_mut().poll(context) {
                return std::task::Poll::Ready(id);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Tells how to use the ensemble, once it can be used.
async fn greet(members: &[(u8, Member)]) {
    let is_ready = async {
        while !members.iter().all(|(_, member)| member.shared().is_serving()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_millis(READY_MS), is_ready).await.is_err() {
        tracing::warn!("the ensemble is not ready yet; the log above may say why");
    }
    let hosts: Vec<String> =
        members.iter().map(|(_, member)| member.client_address().to_string()).collect();
    let hosts = hosts.join(",");
    println!("Conclave is running: {} member(s) in this process.", members.len());
    println!("Connect string: {hosts}");
    println!("Try, in another terminal:");
    println!("  conclave shell --server {hosts}");
    println!("Ctrl-C ends it; the data stays.");
}
