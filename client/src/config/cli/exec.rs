//! `exec`: a command with the values in its environment, restarted or signalled when they change.

use std::{collections::BTreeMap, process::ExitStatus, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use super::{
    Context, Result,
    follow::Changes,
    following::{Exec, SignalName},
};
use crate::config::{environment, error::ConfigError, follow::Version, template};

/// Exit code of a command that a signal has ended, less the signal's number, as shells have it.
const SIGNALLED: i32 = 128;

type Variables = BTreeMap<String, String>;

pub(super) async fn exec(context: &Context, arguments: Exec) -> Result<u8> {
    let stop = |kind| signal(kind).map_err(ConfigError::disk("signals"));
    let (mut terminate, mut interrupt) =
        (stop(SignalKind::terminate())?, stop(SignalKind::interrupt())?);
    let mut changes = Changes::new(context, &arguments.path, &arguments.following)?;
    let mut version = changes.now().await?;
    let mut variables = read(context, &arguments, &version)?;
    let mut child = start(&arguments, &variables)?;
    changes.report(&version).await;
    let code = loop {
        let next = tokio::select! {
            status = child.wait() => break code(status.map_err(ConfigError::disk(&arguments.command[0]))?),
            _ = terminate.recv() => break stopped(&mut child, &arguments, Signal::TERM).await?,
            _ = interrupt.recv() => break stopped(&mut child, &arguments, Signal::INT).await?,
            next = changes.next(Some(&version)) => next,
        };
        version = next;
        match read(context, &arguments, &version) {
            Err(error) => context.printer.say(&format!("{error}; the command runs on as it is")),
            Ok(new) if new == variables => changes.report(&version).await,
            Ok(new) => {
                variables = new;
                match arguments.signal {
                    Some(name) => send(&child, number(name)),
                    None => {
                        stopped(&mut child, &arguments, Signal::TERM).await?;
                        child = start(&arguments, &variables)?;
                    }
                }
                changes.report(&version).await;
            }
        }
    };
    changes.close().await;
    Ok(code)
}

fn read(context: &Context, arguments: &Exec, version: &Version) -> Result<Variables> {
    environment::variables(&template::texts(version, &context.keyring)?, &arguments.prefix)
}

fn start(arguments: &Exec, variables: &Variables) -> Result<Child> {
    let [program, rest @ ..] = arguments.command.as_slice() else {
        return Err(ConfigError::Usage("no command".to_owned()));
    };
    Command::new(program)
        .args(rest)
        .envs(variables)
        // It is not the command's business how values are decrypted.
        .env_remove("CONCLAVE_CONFIG_KEY")
        .kill_on_drop(true)
        .spawn()
        .map_err(ConfigError::disk(program))
}

/// Ends the command: it is asked, and killed when it takes too long. Returns its exit code.
async fn stopped(child: &mut Child, arguments: &Exec, signal: Signal) -> Result<u8> {
    let failed = || ConfigError::disk(&arguments.command[0]);
    send(child, signal);
    let patience = Duration::from_millis(arguments.kill_after);
    if let Ok(status) = tokio::time::timeout(patience, child.wait()).await {
        return Ok(code(status.map_err(failed())?));
    }
    child.kill().await.map_err(failed())?;
    Ok(code(child.wait().await.map_err(failed())?))
}

fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // One that has just ended needs no signal.
        let _ = kill_process(pid, signal);
    }
}

const fn number(name: SignalName) -> Signal {
    match name {
        SignalName::Hup => Signal::HUP,
        SignalName::Usr1 => Signal::USR1,
        SignalName::Usr2 => Signal::USR2,
        SignalName::Int => Signal::INT,
        SignalName::Term => Signal::TERM,
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
