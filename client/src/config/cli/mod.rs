//! `conclave config`: the command line of configuration management.
//!
//! Exit codes: 0 done, 1 refused, invalid or in conflict, 2 not understood, 3 no member reached; `plan` ends with
//! 2 when something would change.

mod apply;
mod arguments;
mod exec;
mod export;
mod follow;
mod following;
mod history;
mod output;
mod render;
mod rollout;
mod validate;

use std::{process::ExitCode, time::Duration};

pub use self::arguments::ConfigArguments;
use self::{
    arguments::{Command, Common, Output},
    output::Printer,
};
use super::{
    disk,
    editor::Editor,
    ensemble::{Connection, Ensemble},
    error::ConfigError,
    publish::Signature,
    secret::Keyring,
    store::Store,
};

/// What all commands need.
struct Context {
    common: Common,
    printer: Printer,
    keyring: Keyring,
}

/// Exit code of `plan` when something would change.
const CHANGES: u8 = 2;

type Result<T> = std::result::Result<T, ConfigError>;

/// Runs a command and returns its exit code.
pub fn main(arguments: ConfigArguments) -> ExitCode {
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("conclave: no runtime: {error}");
                return ExitCode::FAILURE;
            }
        };
    let ConfigArguments { common, command } = arguments;
    let ended = runtime.block_on(async {
        let context = Context::new(common)?;
        context.run(command).await
    });
    // Nothing that still runs is waited for: a thread may be reading standard input.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("conclave: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

impl Context {
    fn new(common: Common) -> Result<Self> {
        let mut text = common.secret_key.clone().unwrap_or_default();
        if let Some(path) = &common.key_file {
            text = String::from_utf8(disk::read(path)?.to_vec()).unwrap_or_default();
        }
        let keyring = Keyring::parse(&text)?;
        let printer = Printer { is_json: common.output == Output::Json };
        Ok(Self { common, printer, keyring })
    }

    async fn run(&self, command: Command) -> Result<u8> {
        match command {
            Command::Plan { wanted } => apply::plan(self, wanted).await,
            Command::Apply { wanted, making } => apply::apply(self, wanted, making).await,
            Command::Import { dir, path, format, overwrite, reason, checks } => {
                apply::import(self, (&dir, format), &path, (overwrite, reason), &checks).await
            }
            Command::Validate { dir, format, checks } => {
                validate::validate(self, (&dir, format), &checks).await
            }
            Command::Watch { path, changes, show_secrets, following } => {
                follow::watch(self, &path, changes, show_secrets, &following).await
            }
            Command::Render(arguments) => render::render(self, arguments).await,
            Command::Exec(arguments) => exec::exec(self, arguments).await,
            Command::Rollout { step } => rollout::run(self, step).await,
            Command::Status { path } => rollout::status(self, &path).await,
            Command::Rollback { path, release, overwrite, making } => {
                apply::rollback(self, &path, release, overwrite, making).await
            }
            Command::Export { path, dir, format, force, release, decrypt } => {
                let what = export::What { path: &path, release, decrypt };
                export::export(self, what, (&dir, format), force).await
            }
            Command::Get { path, key } => export::get(self, &path, &key).await,
            Command::History { path } => history::history(self, &path).await,
            Command::Show { path, release, show_secrets } => {
                history::show(self, &path, release, show_secrets).await
            }
            Command::Diff { path, a, b, show_secrets } => {
                history::diff(self, &path, (&a, &b), show_secrets).await
            }
        }
    }

    /// Runs something with the store of a configuration, and ends the session behind it.
    async fn with_store<T>(
        &self,
        root: &str,
        work: impl AsyncFnOnce(&Store) -> Result<T>,
    ) -> Result<T> {
        // A path that is none is said before anything is connected.
        self.check_path(root)?;
        let ensemble = Ensemble::connect(&self.connection()).await?;
        let store = Store::new(ensemble.clone(), root, &self.common.store)?;
        let ended = work(&store).await;
        ensemble.close().await;
        ended
    }

    fn check_path(&self, path: &str) -> Result<()> {
        conclave_protocol::path::validate(path)
            .map_err(|error| ConfigError::Usage(format!("{path:?}: {error}")))
    }

    fn connection(&self) -> Connection {
        let Common { server, timeout, auth, .. } = &self.common;
        let (server, auth) = (server.clone(), auth.clone());
        Connection {
            server,
            timeout_ms: *timeout,
            wait: self.wait(),
            auth,
            multi_len_bytes_max: self.common.max_request,
        }
    }

    fn wait(&self) -> Duration {
        Duration::from_millis(self.common.wait)
    }

    /// Takes the right to change a configuration. Whoever holds it and has died is waited for until its session is over.
    async fn editor(&self, store: &Store, signature: &Signature) -> Result<Editor> {
        let patience = self.wait() + Duration::from_millis(self.common.timeout.into());
        Editor::begin(store, &signature.author, &signature.host, patience).await
    }

    fn signature(&self, reason: &str) -> Signature {
        Signature {
            author: self.common.author.clone(),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            reason: reason.to_owned(),
        }
    }
}
