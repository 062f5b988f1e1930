//! Applies over connections that break.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    bench::{Bench, conclave, ended},
    support::{Flow, Proxy},
};

const GENERATIONS: u64 = 10;

/// Goal: an apply whose connection breaks again and again, at any moment, is done once or not at all, and says which.
/// Method: a proxy cuts it at pseudo-random intervals; each generation's reason may be in the history at most once, and
/// must be in force when the command said so.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn over_a_broken_connection_an_apply_is_done_once_or_not_at_all() {
    let bench = Bench::new().await;
    let proxy = Arc::new(Proxy::start(bench.member.connect_string()).await);
    let (is_over, cutter) = (Arc::new(AtomicBool::new(false)), Arc::clone(&proxy));
    let until = Arc::clone(&is_over);
    let cuts = tokio::spawn(async move {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        while !until.load(Ordering::Relaxed) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            tokio::time::sleep(Duration::from_millis(5 + random % 60)).await;
            cutter.set(Flow::Cut);
            tokio::time::sleep(Duration::from_millis(2)).await;
            cutter.set(Flow::Open);
        }
    });
    let hosts = proxy.address.to_string();
    let (mut before, mut done) = (None, 0);
    for generation in 0..GENERATIONS {
        let text = generation.to_string();
        let files: Vec<(String, &str)> =
            (0..30).map(|n| (format!("k{n}"), text.as_str())).collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, data)| (name.as_str(), *data)).collect();
        let dir = bench.directory("in", &files);
        let words = ["config", "--server", &hosts, "apply", &dir, "/c", "--yes", "--reason", &text];
        let mut command = conclave(&words);
        let (code, _, error) =
            ended(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
        assert!(matches!(code, 0 | 3), "{code}: {error}");
        let mut found = Vec::new();
        for (name, _) in &files {
            found.push(bench.data(&format!("/c/{name}")).await);
        }
        assert!(found.iter().all(|data| *data == found[0]), "a mixture: {found:?}");
        let is_new = found[0].as_deref() == Some(&text);
        assert!(is_new || (code == 3 && found[0] == before), "{code}, {found:?}: {error}");
        (before, done) = (found[0].clone(), done + u64::from(is_new));
    }
    is_over.store(true, Ordering::Relaxed);
    cuts.await.unwrap();
    assert!(done > 0, "none went through");
    let mut reasons = BTreeMap::new();
    for entry in bench.json(&["history", "/c"]).as_array().unwrap() {
        *reasons.entry(entry["reason"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert!(reasons.values().all(|count| *count == 1), "{reasons:?}");
    assert_eq!(reasons.len() as u64, done);
}
