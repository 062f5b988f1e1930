//! One znode that many sessions watch: from a write to the last event.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use tokio::sync::{Notify, watch};

use super::{
    link::{BenchError, Link},
    report::Results,
    run::Run,
    sessions, wire,
};

/// Sessions opened at a time.
const OPENING_MAX: usize = 64;

/// What the watchers of a round share.
#[derive(Debug, Default)]
struct Round {
    /// Watchers that are through with this part of the round.
    through: Cell<usize>,
    all: Cell<usize>,
    is_through: Notify,
    failed: RefCell<Option<BenchError>>,
}

impl Round {
    fn note(&self) {
        self.through.set(self.through.get() + 1);
        if self.through.get() == self.all.get() {
            self.is_through.notify_one();
        }
    }

    async fn all_through(&self) -> Result<(), BenchError> {
        self.is_through.notified().await;
        self.through.set(0);
        self.failed.take().map_or(Ok(()), Err)
    }
}

/// Measures rounds of a write and all its events; returns the sessions of the watchers.
pub(super) async fn run(run: &Rc<Run>) -> Result<(Results, Vec<Link>), BenchError> {
    let mut writer = Link::open(&run.plan, 0, 4096).await?;
    let path: Rc<str> = Rc::from(run.plan.shape.root.as_str());
    let error = writer.ask(|out, xid| wire::put_create(out, xid, &path, b"")).await?;
    if error != 0 {
        return Err(BenchError::Refused { what: path.to_string(), error });
    }
    let count = run.plan.connections;
    let links = sessions::open(run, count as u64, OPENING_MAX, |_| {}).await?;
    let round = Rc::new(Round { all: Cell::new(count), ..Round::default() });
    let (arm, armed) = watch::channel(0_u64);
    let done = Rc::new(RefCell::new(Vec::with_capacity(count)));
    for link in links {
        let (armed, round, path) = (armed.clone(), round.clone(), path.clone());
        let done = done.clone();
        tokio::task::spawn_local(async move {
            let link = watcher(link, armed, &round, &path).await;
            done.borrow_mut().push(link);
            round.note();
        });
    }
    drop(armed);

    let mut results = Results::default();
    run.begin();
    let rounds = run.plan.count.expect("writes are counted");
    let value = &run.plan.shape.value;
    for number in 1..=rounds {
        arm.send_replace(number);
        round.all_through().await?;
        let from_ns = run.clock.now_ns();
        let error = writer.ask(|out, xid| wire::put_set(out, xid, &path, value)).await?;
        round.all_through().await?;
        results.writes.answered(run.clock.now_ns() - from_ns, error);
        results.events += count as u64;
        if run.is_interrupted() {
            break;
        }
    }
    run.finish();
    drop(arm);
    round.all_through().await?;
    if !run.plan.keep {
        writer.ask(|out, xid| wire::put_delete(out, xid, &path)).await?;
    }
    writer.close().await;
    (results.seconds, results.client_cpu_s) = run.measured();
    Ok((results, done.take()))
}

/// Arms a watch in each round and waits for its event.
async fn watcher(
    mut link: Link,
    mut armed: watch::Receiver<u64>,
    round: &Round,
    path: &str,
) -> Link {
    while armed.changed().await.is_ok() {
        let events = link.pipe.events;
        let asked = link.ask(|out, xid| wire::put_get(out, xid, path, true)).await;
        note(round, asked.map(drop));
        let mut result = Ok(());
        while link.pipe.events == events && result.is_ok() {
            result = link.turn(None).await;
            if let Ok(Some(answered)) = link.take() {
                let what = format!("an answer {answered:?} that nobody asked for");
                result = Err(BenchError::Refused { what, error: answered.error });
            }
        }
        note(round, result);
    }
    link
}

fn note(round: &Round, result: Result<(), BenchError>) {
    if let Err(error) = result {
        round.failed.replace(Some(error));
    }
    round.note();
}
