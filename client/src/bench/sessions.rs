//! Many sessions: how fast they are opened, and, held, what they cost the servers.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{
    link::{BenchError, Link},
    report::Results,
    run::Run,
    wire,
};

/// Bytes read from a connection at a time: there are many of them, and they say little.
const READ_LEN_BYTES: usize = 512;

/// How often each held session is heard, as a part of its timeout.
const PINGS_PER_TIMEOUT: u32 = 3;

/// Opens `count` sessions, some at a time, and calls `opened` with what each took, in nanoseconds.
pub(super) async fn open(
    run: &Rc<Run>,
    count: u64,
    at_a_time: usize,
    opened: impl Fn(u64) + 'static,
) -> Result<Vec<Link>, BenchError> {
    let next = Rc::new(RefCell::new(0..count));
    let links = Rc::new(RefCell::new(Vec::new()));
    let opened = Rc::new(opened);
    let tasks: Vec<_> = (0..at_a_time)
        .map(|_| {
            let (run, next) = (run.clone(), next.clone());
            let (links, opened) = (links.clone(), opened.clone());
            tokio::task::spawn_local(async move {
                loop {
                    let index = next.borrow_mut().next();
                    let Some(index) = index.filter(|_| !run.is_interrupted()) else { break };
                    let from_ns = run.clock.now_ns();
                    let link = Link::open(&run.plan, index as usize, READ_LEN_BYTES).await?;
                    opened(run.clock.now_ns() - from_ns);
                    links.borrow_mut().push(link);
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("opening does not panic")?;
    }
    if run.is_interrupted() {
        return Err(BenchError::Interrupted);
    }
    Ok(links.take())
}

/// Measures how fast sessions are opened; returns them, still open.
pub(super) async fn run(run: &Rc<Run>) -> Result<(Results, Vec<Link>), BenchError> {
    let results = Rc::new(RefCell::new(Results::default()));
    run.begin();
    let count = run.plan.count.expect("sessions are counted");
    let noted = results.clone();
    let links = open(run, count, run.plan.connections, move |took_ns| {
        noted.borrow_mut().writes.answered(took_ns, 0);
    })
    .await?;
    run.finish();
    let mut results = results.take();
    (results.seconds, results.client_cpu_s) = run.measured();
    Ok((results, links))
}

/// Keeps sessions alive for a time, or until the user wants no more.
pub(super) async fn hold(run: &Run, links: &mut [Link], seconds: f64) {
    let until_ns = run.clock.now_ns() as f64 + seconds * 1e9;
    let every = Duration::from_millis(run.plan.timeout_ms.into()) / PINGS_PER_TIMEOUT;
    let each = every / u32::try_from(links.len().max(1)).unwrap_or(u32::MAX);
    let mut next = 0;
    let began_ns = run.clock.now_ns();
    while (run.clock.now_ns() as f64) < until_ns && !run.is_interrupted() && !links.is_empty() {
        let due =
            ((run.clock.now_ns() - began_ns) as f64 / 1e9 / each.as_secs_f64().max(1e-9)) as usize;
        while next < due {
            let count = links.len();
            let link = &mut links[next % count];
            wire::put_ping(&mut link.pipe.out);
            // What is lost meanwhile is found by who asks it next.
            drop(link.turn(Some(Duration::from_secs(1))).await);
            drop(link.take());
            next += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Closes all sessions, some at a time.
pub(super) async fn close(links: Vec<Link>, at_a_time: usize) {
    let links = Rc::new(RefCell::new(links));
    let tasks: Vec<_> = (0..at_a_time)
        .map(|_| {
            let links = links.clone();
            tokio::task::spawn_local(async move {
                loop {
                    let link = links.borrow_mut().pop();
                    let Some(link) = link else { break };
                    link.close().await;
                }
            })
        })
        .collect();
    for task in tasks {
        drop(task.await);
    }
}
