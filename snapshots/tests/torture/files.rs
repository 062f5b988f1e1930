//! The same damage on the system's disk.

use conclave_protocol::peer::zab::Standing;
use conclave_snapshots::{
    epochs,
    fs::{File, Fs, RealFs},
    recover::{NoLog, RecoverError, recover, recover_or_set_aside},
};

use crate::{
    common::{DATA, LOG, OPTIONS, Random, Sink},
    subject::Subject,
};

/// Writes all files of a disk in memory to a folder.
fn write_out(subject: &Subject, root: &str) {
    let fs = subject.pristine();
    for dir in [DATA, LOG] {
        RealFs.create_dir_all(&format!("{root}/{dir}")).unwrap();
        for name in fs.list(dir).unwrap() {
            put(&format!("{root}/{dir}/{name}"), &fs.contents(&format!("{dir}/{name}")).unwrap());
        }
    }
}

fn put(path: &str, bytes: &[u8]) {
    let mut file = RealFs.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
}

/// Damages one file in `root` and checks that it is named; then lets it be set aside.
fn check(subject: &Subject, root: &str, index: usize, bad: &[u8], offset: u64) {
    let file = &subject.files[index];
    let path = format!("{root}/{}", file.path);
    let (data, log) = (format!("{root}/{DATA}"), format!("{root}/{LOG}"));
    put(&path, bad);
    let refused = recover(&RealFs, &data, &log, OPTIONS, &mut Sink::default());
    let Err(RecoverError::Damaged(damage)) = refused else {
        panic!("{path} at {offset}: {refused:?}")
    };
    assert_eq!((damage.file.as_str(), damage.offset), (path.as_str(), offset));
    let mut sink = Sink::default();
    let lost = NoLog::Refused;
    let found = recover_or_set_aside(&RealFs, &data, &log, OPTIONS, lost, &mut sink).unwrap();
    let mut history = sink.0;
    history.extend(found.entries);
    assert!(history == subject.history[..history.len()], "{path} at {offset}");
    let standing = epochs::read(&RealFs, &data).unwrap().unwrap().standing;
    assert_eq!(standing, Standing::Repairing);
    let (dir, name) = file.path.split_once('/').unwrap();
    let kept = RealFs.open(&format!("{root}/{dir}/damaged.1/{name}")).unwrap();
    let mut bytes = vec![0; bad.len() + 1];
    assert_eq!(kept.read_at(0, &mut bytes).unwrap(), bad.len());
    assert!(bytes[..bad.len()] == *bad, "{path} at {offset}: another copy is kept");
}

fn damage_files(rounds: u64) {
    let mut random = Random(rounds);
    for (subject, name) in [(Subject::log(), "a log"), (Subject::snapshot(), "a snapshot")] {
        for round in 0..rounds {
            let root = tempfile::tempdir().unwrap();
            let root = root.path().to_str().unwrap();
            write_out(&subject, root);
            let index = random.below(subject.files.len() as u64) as usize;
            let file = &subject.files[index];
            let mut bad = file.bytes.clone();
            let at = random.below(file.end() as u64) as usize;
            let said = if round % 2 == 0 {
                bad[at] ^= 1 << random.below(8);
                file.said_of(at, &bad[at..=at])
            } else {
                bad.truncate(at);
                subject.said_of_cut(index, at)
            };
            let (path, offset) = said.expect("something is read there");
            // Of a segment that ends with a whole record only the next can tell.
            if path == file.path {
                check(&subject, root, index, &bad, offset as u64);
            }
        }
        println!("  damaged files on the system's disk, {name}: {rounds}");
    }
}

#[test]
fn damage_on_the_systems_disk_is_reported_and_set_aside() {
    damage_files(8);
}

#[test]
#[ignore = "a minute: many damages"]
fn much_damage_on_the_systems_disk_is_reported_and_set_aside() {
    damage_files(1000);
}
