//! Requests over many connections: create, set, get, mixed, load.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{
    link::{BenchError, Link},
    pace::{Next, Pace},
    report::Results,
    run::Run,
    wire,
    workload::{Shape, Source},
};

/// Bytes read from a connection at a time.
const READ_LEN_BYTES: usize = 64 << 10;

/// Requests in flight while znodes are made before and deleted after.
const TIDYING_IN_FLIGHT: usize = 256;

/// Rest before a lost connection is made anew.
const REST: Duration = Duration::from_millis(50);

/// How long what is in flight is waited for when the time is over.
const LAST_ANSWERS: Duration = Duration::from_secs(20);

/// Connections that are opened at a time.
const OPENING_MAX: usize = 64;

const NO_NODE: i32 = -101;

/// Runs the load and returns what was measured.
pub(super) async fn run(run: &Rc<Run>) -> Result<Results, BenchError> {
    let mut first = Link::open(&run.plan, 0, READ_LEN_BYTES).await?;
    prepare(&mut first, &run.plan.shape).await?;
    let links = open_all(run).await?;
    let results = Rc::new(RefCell::new(Results::default()));
    let sources = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = links
        .into_iter()
        .enumerate()
        .map(|(index, link)| {
            let worker = Worker { run: run.clone(), results: results.clone(), index };
            let (source, done) = (Source::new(&run.plan.shape, index), sources.clone());
            tokio::task::spawn_local(async move {
                let source = worker.work(link, source).await;
                done.borrow_mut().push(source);
            })
        })
        .collect();
    let all = async {
        for task in tasks {
            drop(task.await);
        }
    };
    tokio::pin!(all);
    tokio::select! {
        () = &mut all => {}
        () = run.time() => drop(tokio::time::timeout(LAST_ANSWERS, &mut all).await),
    }
    run.finish();
    if !run.plan.keep {
        let sources = std::mem::take(&mut *sources.borrow_mut());
        tidy_up(run, first, sources).await?;
    }
    let mut results = results.take();
    (results.seconds, results.client_cpu_s) = run.measured();
    Ok(results)
}

async fn prepare(link: &mut Link, shape: &Shape) -> Result<(), BenchError> {
    let refused = |what: &str, error| BenchError::Refused { what: what.to_owned(), error };
    let error = link.ask(|out, xid| wire::put_create(out, xid, &shape.root, b"")).await?;
    if error != 0 {
        return Err(refused(&shape.root, error));
    }
    if shape.workload.needs_keys() {
        let mut worst = 0;
        let keys = (0..shape.keys).map(|index| {
            let path = shape.key(index);
            move |out: &mut _, xid| wire::put_create(out, xid, &path, &shape.value)
        });
        link.ask_all(keys, TIDYING_IN_FLIGHT, |error| worst = worst.min(error)).await?;
        if worst != 0 {
            return Err(refused("a znode to read and write", worst));
        }
    }
    Ok(())
}

/// Opens all connections; each is then as far as what was prepared.
async fn open_all(run: &Rc<Run>) -> Result<Vec<Link>, BenchError> {
    let mut links = Vec::with_capacity(run.plan.connections);
    let mut next = 0;
    while next < run.plan.connections {
        let until = run.plan.connections.min(next + OPENING_MAX);
        let opening: Vec<_> = (next..until)
            .map(|index| {
                let run = run.clone();
                tokio::task::spawn_local(async move {
                    let mut link = Link::open(&run.plan, index, READ_LEN_BYTES).await?;
                    link.ask(wire::put_sync).await?;
                    Ok(link)
                })
            })
            .collect();
        for link in opening {
            links.push(link.await.expect("opening does not panic")?);
        }
        next = until;
    }
    Ok(links)
}

struct Worker {
    run: Rc<Run>,
    results: Rc<RefCell<Results>>,
    index: usize,
}

impl Worker {
    /// Works until the run is over, on a new connection whenever one is lost; returns what it asked.
    async fn work(&self, link: Link, mut source: Source) -> Source {
        let (run, mut link) = (&self.run, Some(link));
        let now_ns = run.clock.now_ns();
        let mut pace = Pace::new(run.plan.rate, self.index, run.plan.connections, now_ns);
        loop {
            if let Some(link) = &mut link {
                let driven = self.drive(link, &mut source, &mut pace).await;
                if run.is_measuring() && driven.is_err() {
                    self.results.borrow_mut().lost += 1;
                }
                if link.pipe.in_flight() > 0 {
                    self.results.borrow_mut().unanswered += link.pipe.in_flight() as u64;
                }
            }
            if run.is_over() {
                return source;
            }
            if link.is_some() {
                tokio::time::sleep(REST).await;
            }
            link = Link::open(&run.plan, self.index, READ_LEN_BYTES).await.ok();
        }
    }

    async fn drive(
        &self,
        link: &mut Link,
        source: &mut Source,
        pace: &mut Pace,
    ) -> Result<(), BenchError> {
        let run = &self.run;
        loop {
            let now_ns = run.clock.now_ns();
            let mut rest = None;
            while link.pipe.in_flight() < run.plan.in_flight && run.has_more() {
                match pace.next(now_ns) {
                    Next::From(from_ns) => {
                        run.take_one();
                        let (is_read, put) = source.next(&run.plan.shape);
                        link.pipe.send(from_ns, is_read, put);
                    }
                    Next::At(due_ns) => {
                        rest = Some(Duration::from_nanos(due_ns - now_ns));
                        break;
                    }
                }
            }
            if link.pipe.in_flight() >= run.plan.in_flight {
                pace.held(now_ns);
            }
            if link.pipe.in_flight() == 0 && !run.has_more() {
                return Ok(());
            }
            link.turn(rest).await?;
            self.note(link)?;
        }
    }

    fn note(&self, link: &mut Link) -> Result<(), BenchError> {
        let now_ns = self.run.clock.now_ns();
        let mut results = self.results.borrow_mut();
        while let Some(answered) = link.take()? {
            if self.run.is_measuring() {
                let tally = if answered.is_read { &mut results.reads } else { &mut results.writes };
                tally.answered(now_ns.saturating_sub(answered.from_ns), answered.error);
                self.run.note_answer();
            }
        }
        Ok(())
    }
}

/// Deletes all that was made, as far as it is there.
async fn tidy_up(run: &Run, mut link: Link, sources: Vec<Source>) -> Result<(), BenchError> {
    let shape = &run.plan.shape;
    let keys =
        (0..if shape.workload.needs_keys() { shape.keys } else { 0 }).map(|key| shape.key(key));
    let created = sources.into_iter().flat_map(|source| source.created(shape));
    let all = keys.chain(created).chain([shape.root.clone()]);
    let deletes = all.map(|path| move |out: &mut _, xid| wire::put_delete(out, xid, &path));
    let mut worst = 0;
    let note = |error| {
        if error != NO_NODE {
            worst = worst.min(error);
        }
    };
    link.ask_all(deletes, TIDYING_IN_FLIGHT, note).await?;
    link.close().await;
    match worst {
        0 => Ok(()),
        error => Err(BenchError::Refused { what: format!("deleting {}", shape.root), error }),
    }
}
