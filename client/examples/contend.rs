//! One process among several that contend for a lock or the lead: what `scripts/recipes/soak` and
//! `scripts/compat/recipes` start. It tells what happens in lines of JSON, and ends when its standard input does.
//!
//!     contend soak-lock|soak-election|count|election HOSTS LAYOUT NAME SESSION_TIMEOUT_MS [ROUNDS]

use std::{error::Error, io::Read, process::ExitCode, time::Duration};

use conclave_client::{
    Client, ClientBuilder, ClientError, CreateMode, ErrorKind, MultiError, Op,
    recipes::{
        Held, Layout, RecipeError,
        election::{Election, Kind},
        lock::Lock,
    },
};
/// How long a lock is kept at each turn of a soak.
const TURN: Duration = Duration::from_millis(10);

/// Ends the process: two have held one lock.
const VIOLATION: u8 = 2;

struct Worker {
    hosts: String,
    name: String,
    session_timeout_ms: u32,
    layout: Layout,
}

fn say(name: &str, event: &str, token: u64) {
    println!("{{\"name\": \"{name}\", \"event\": \"{event}\", \"token\": {token}}}");
}

/// What a contender found that must not be.
#[derive(Debug)]
struct Violation(String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Violation {}

impl Worker {
    async fn connect(&self) -> Result<Client, ClientError> {
        let builder = ClientBuilder::new(&self.hosts).session_timeout_ms(self.session_timeout_ms);
        let client = builder.start()?;
        client.connected().await?;
        Ok(client)
    }

    /// Takes turns until the session is over, then with another. Each turn writes the holder's token, which
    /// must grow, and occupies a znode, which must be free: the ensemble has both end with the session.
    async fn soak_lock(&self) -> Result<(), Box<dyn Error>> {
        loop {
            let client = self.connect().await?;
            let lock = Lock::new(&client, "/soak/lock").layout(self.layout);
            loop {
                match self.turn(&client, &lock).await {
                    Ok(event) => say(&self.name, event.0, event.1),
                    Err(Turn::Recipe(error)) => match error.kind() {
                        ErrorKind::SessionGone => break,
                        ErrorKind::OutcomeUnknown | ErrorKind::NotDone => {
                            say(&self.name, "unknown", 0);
                        }
                        ErrorKind::Refused if error == RecipeError::Lost => {
                            say(&self.name, "fenced", 0);
                        }
                        ErrorKind::Refused => return Err(error.into()),
                    },
                    Err(Turn::Violation(found)) => return Err(found.into()),
                }
            }
            say(&self.name, "expired", 0);
        }
    }

    async fn turn(&self, client: &Client, lock: &Lock) -> Result<(&'static str, u64), Turn> {
        let held = lock.lock().await?;
        let token = held.fencing_token().0;
        let (mark, stat) = client.get_data("/soak/mark").await?;
        let before: u64 = std::str::from_utf8(&mark).unwrap_or_default().parse().unwrap_or(0);
        let marked = held
            .write(vec![
                Op::create("/soak/holder", self.name.clone(), CreateMode::Ephemeral),
                Op::set_data("/soak/mark", token.to_string(), Some(stat.version)),
            ])
            .await;
        match marked {
            Ok(_) => {}
            Err(RecipeError::Multi(MultiError { index: Some(index), error })) => {
                let what = format!("operation {index} under the lock with token {token}: {error}");
                return Err(Turn::Violation(Violation(what)));
            }
            // The znode may be occupied: it is not left to the next.
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                self.give_back(held).await?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
        if before >= token {
            let what = format!("token {token} came after {before}");
            return Err(Turn::Violation(Violation(what)));
        }
        tokio::time::sleep(TURN).await;
        self.give_back(held).await?;
        Ok(("turn", token))
    }

    /// Leaves the znode, and then the lock: whose lock it is, his is the znode.
    async fn give_back(&self, held: Held) -> Result<(), RecipeError> {
        loop {
            match held.write(vec![Op::delete("/soak/holder", None)]).await {
                Ok(_) => break,
                Err(RecipeError::Multi(MultiError { error: ClientError::NoNode, .. })) => break,
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
                Err(error) => return Err(error),
            }
        }
        held.release().await
    }

    /// Stands for election again and again.
    async fn soak_election(&self, path: &str, kind: Kind) -> Result<(), Box<dyn Error>> {
        loop {
            let client = self.connect().await?;
            let election = Election::new(&client, path).kind(kind).identifier(self.name.clone());
            loop {
                let ended = election.run(|lead| async move {
                    say(&self.name, "leads", lead.fencing_token().0);
                    std::future::pending::<()>().await;
                });
                match ended.await {
                    Ok(_) => say(&self.name, "lost", 0),
                    Err(error) if error.kind() == ErrorKind::SessionGone => break,
                    Err(error) => return Err(error.into()),
                }
            }
            say(&self.name, "expired", 0);
        }
    }

    /// Counts up under the lock, reading and writing apart on purpose.
    async fn count(&self, rounds: usize) -> Result<(), Box<dyn Error>> {
        let client = self.connect().await?;
        let lock = Lock::new(&client, "/lock-test/lock").layout(self.layout);
        for _ in 0..rounds {
            let held = lock.lock().await?;
            let occupied =
                client.create("/lock-test/holder", self.name.clone(), CreateMode::Ephemeral);
            match occupied.await {
                Err(ClientError::NodeExists) => {
                    return Err(Violation("two hold it".to_owned()).into());
                }
                answer => answer?,
            };
            tokio::time::sleep(Duration::from_millis(2)).await;
            let (count, _) = client.get_data("/lock-test/counter").await?;
            let count: u64 = std::str::from_utf8(&count)?.parse()?;
            client.set_data("/lock-test/counter", (count + 1).to_string(), None).await?;
            client.delete("/lock-test/holder", None).await?;
            held.release().await?;
        }
        client.close().await?;
        Ok(())
    }
}

/// Why a turn was none.
enum Turn {
    Recipe(RecipeError),
    Violation(Violation),
}

impl<E: Into<RecipeError>> From<E> for Turn {
    fn from(error: E) -> Self {
        Self::Recipe(error.into())
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = arguments();
    let [recipe, hosts, layout, name, timeout_ms, rest @ ..] = &arguments[..] else {
        return Err(
            "usage: contend RECIPE HOSTS curator|kazoo NAME SESSION_TIMEOUT_MS [ROUNDS]".into()
        );
    };
    let layout = if layout == "kazoo" { Layout::Kazoo } else { Layout::Curator };
    let kind = if layout == Layout::Kazoo { Kind::Kazoo } else { Kind::Latch };
    let (hosts, name) = (hosts.clone(), name.clone());
    let worker = Worker { hosts, name, session_timeout_ms: timeout_ms.parse()?, layout };
    let rounds = rest.first().map_or("0", |rounds| rounds).parse()?;
    let work = async {
        match recipe.as_str() {
            "soak-lock" => worker.soak_lock().await,
            "soak-election" => worker.soak_election("/soak/election", kind).await,
            "election" => worker.soak_election("/election-test/election", kind).await,
            "count" => worker.count(rounds).await,
            other => Err(format!("no recipe {other}").into()),
        }
    };
    if rounds > 0 {
        return work.await;
    }
    let mut input = Vec::new();
    let input = tokio::task::spawn_blocking(move || std::io::stdin().read_to_end(&mut input));
    tokio::select! {
        ended = work => ended,
        _ = input => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "an example is a program")]
fn arguments() -> Vec<String> {
    std::env::args().skip(1).collect()
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("the system has threads");
    let ended = runtime.block_on(run());
    // Standard input is read by a thread that may wait for ever.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(if error.is::<Violation>() { VIOLATION } else { 1 })
        }
    }
}
