//! A load generator for any ensemble that speaks ZooKeeper's protocol: `conclave bench`.
//!
//! One thread and a raw client of its own, so that what is measured is the server: requests are written straight
//! into the bytes that go out, and of answers the header is read. It says how much processor time it took itself.
//!
//! Without a rate each connection keeps a number of requests in flight, and what does not come back in time
//! delays what would be asked next: latencies under such a load flatter a server that stalls. With `--rate` every
//! request has its time, and is measured from then.
//!
//! `plan` reads the arguments, `workload` makes requests, `wire` writes them, `pipe` keeps them in order, `pace` in
//! time, `tally` and `report` count; all these are without IO. `link` has the socket; `load`, `sessions` and
//! `fan_out` are the three kinds of runs.

mod fan_out;
mod link;
mod load;
mod pace;
mod pipe;
mod plan;
mod report;
mod run;
mod sessions;
mod tally;
mod wire;
mod workload;

use std::{io::Write, process::ExitCode, rc::Rc};

use tokio::{sync::watch, task::LocalSet};

pub use self::plan::BenchArguments;
use self::{
    link::{BenchError, Link},
    plan::{Output, Plan},
    report::Results,
    run::Run,
    workload::Workload,
};
use crate::clock;

/// Exit code of a run that came to no result.
const FAILED: u8 = 1;

/// Exit code of arguments that were not understood.
const USAGE: u8 = 2;

/// Sessions closed at a time.
const CLOSING_MAX: usize = 64;

/// Runs the load generator and returns its exit code.
pub fn main(arguments: BenchArguments) -> ExitCode {
    let plan = match Plan::new(arguments, clock::seed()) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("conclave: {error}");
            return ExitCode::from(USAGE);
        }
    };
    allow_many_files();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("conclave: no runtime: {error}");
            return ExitCode::from(FAILED);
        }
    };
    match LocalSet::new().block_on(&runtime, bench(plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conclave: {error}");
            ExitCode::from(FAILED)
        }
    }
}

async fn bench(plan: Plan) -> Result<(), BenchError> {
    let (interrupt, interrupted) = watch::channel(false);
    let run = Rc::new(Run::new(plan, interrupted));
    tokio::task::spawn_local(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated() => {}
        }
        interrupt.send_replace(true);
        // A second one ends the process at once.
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(FAILED.into());
        }
    });
    let (results, mut links) = match run.plan.shape.workload {
        Workload::Sessions => sessions::run(&run).await?,
        Workload::Watch => fan_out::run(&run).await?,
        _ => (load::run(&run).await?, Vec::new()),
    };
    print(&run.plan, &results);
    close(&run, &mut links).await;
    Ok(())
}

async fn close(run: &Run, links: &mut Vec<Link>) {
    sessions::hold(run, links, run.plan.hold).await;
    sessions::close(std::mem::take(links), CLOSING_MAX).await;
}

/// Returns when the process is told to end; never, where that cannot be known.
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

fn print(plan: &Plan, results: &Results) {
    let text = match plan.output {
        Output::Text => results.to_text(plan),
        Output::Json => format!("{}\n", results.to_json(plan)),
    };
    // A reader that has gone wants no more.
    let mut out = std::io::stdout();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Lifts the limit of open files as far as this process may: each session is one.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
