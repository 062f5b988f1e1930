//! What goes wrong, and how it becomes well again.

use conclave_protocol::ids::ServerId;
use conclave_snapshots::fs::{self, CrashMode, Fs};

use crate::{
    coverage,
    machine::Machine,
    network::Way,
    scenario::Fault,
    world::{Happening, SILENCE_US, World},
};

/// What becomes well again.
#[derive(Debug)]
pub(crate) enum Mend {
    /// These ways are open again.
    Open(Vec<Way>),
    /// This way is as fast as others.
    Speed(Way),
    /// This disk is as fast as it was.
    Disk(ServerId),
    /// This disk has room.
    Room(ServerId),
    /// A flapping link changes again, so many times.
    Flap(Way, u32),
}

/// How long a process stands still, at most, in microseconds.
pub(crate) const PAUSE_US_MAX: u64 = 8_000_000;

impl World {
    pub(crate) fn note_fault(&mut self) {
        let range = self.scenario.fault_every_ms.clone();
        let in_ms = range.start + self.random.below(range.end - range.start);
        self.note(in_ms * 1000, Happening::Fault);
    }

    fn any_member(&mut self) -> ServerId {
        let ids = self.ids();
        *self.random.pick(&ids)
    }

    pub(crate) fn draw_us(&mut self, least_ms: u64, most_ms: u64) -> u64 {
        1000 * (least_ms + self.random.below(most_ms - least_ms))
    }

    pub(crate) fn fault(&mut self) {
        if self.is_calm {
            return;
        }
        self.note_fault();
        self.report.faults += 1;
        let faults: Vec<Fault> = self.scenario.faults.iter().copied().collect();
        let fault = *self.random.pick(&faults);
        let id = self.any_member();
        self.report.coverage.count(coverage::FAULTS, format!("{fault:?}"));
        self.trace(fault as u64);
        tracing::info!(at_ms = self.now_us / 1000, member = id.0, ?fault, "fault");
        match fault {
            Fault::Kill => self.end(id, CrashMode::Keep, true),
            Fault::PowerLoss => {
                let mode = *self.random.pick(&CrashMode::ALL);
                let is_told = self.random.below(2) == 0;
                self.end(id, mode, is_told);
            }
            Fault::Blackout => {
                for id in self.ids() {
                    let mode = *self.random.pick(&CrashMode::ALL);
                    self.end(id, mode, true);
                }
            }
            Fault::CrashPoint => {
                let disk = self.machines[&id].disk.clone();
                disk.power_off_at(disk.call_count() + self.random.below(40));
            }
            Fault::DiskError => {
                let disk = self.machines[&id].disk.clone();
                disk.fail_at(disk.call_count() + self.random.below(20), fs::Fault::Io);
            }
            Fault::SlowDisk => {
                let factor = *self.random.pick(&[10, 100, 1000]);
                self.machines.get_mut(&id).expect("a member").disk_factor = factor;
                let in_us = self.draw_us(500, 10_000);
                self.note(in_us, Happening::Mend(Mend::Disk(id)));
            }
            Fault::FullDisk => {
                let disk = &self.machines[&id].disk;
                let total = disk.room("data").map_or(0, |room| room.total_bytes - room.free_bytes);
                let used = if total > 1 << 30 { 0 } else { total };
                disk.set_capacity(Some(used.max(40 << 10)));
                let in_us = self.draw_us(500, 8000);
                self.note(in_us, Happening::Mend(Mend::Room(id)));
            }
            Fault::BitRot => self.rot(id),
            Fault::Replace => self.replace(id),
            Fault::Cut => {
                let other = self.any_member();
                self.hang_up(id, other);
            }
            Fault::OneWay => {
                let other = self.any_member();
                self.shut(vec![(id, other)]);
            }
            Fault::Isolation => self.cut_off(&[id]),
            Fault::Partition => {
                let ids = self.ids();
                let group: Vec<ServerId> =
                    ids.into_iter().filter(|_| self.random.below(2) == 0).collect();
                self.cut_off(&group);
            }
            Fault::Flapping => {
                let other = self.any_member();
                self.mend(Mend::Flap((id, other), 6));
            }
            Fault::SlowLink => {
                let way = (id, self.any_member());
                let by_us = self.draw_us(5, 300);
                self.network.slow_down(way, by_us);
                let in_us = self.draw_us(500, 10_000);
                self.note(in_us, Happening::Mend(Mend::Speed(way)));
            }
            Fault::Pause => {
                let until_us = self.now_us + self.draw_us(100, PAUSE_US_MAX / 1000);
                self.machines.get_mut(&id).expect("a member").paused_until_us = until_us;
            }
            Fault::ClockJump => {
                let by_ms = self.random.below(20_000) as i64 - 10_000;
                self.machines.get_mut(&id).expect("a member").wall_offset_ms += by_ms;
            }
            Fault::ClientCut => {
                let index = self.random.below(self.clients.len() as u64) as usize;
                self.break_client(index);
            }
            Fault::GrayDisk => {
                let for_us = self.draw_us(1000, 12_000);
                self.turn_gray(id, for_us);
                self.note(for_us, Happening::Mend(Mend::Disk(id)));
            }
            Fault::HalfOpen => self.half_open(),
            Fault::PromiseLost => {
                self.machines.get_mut(&id).expect("a member").loses_promise = true;
                // Those who look for a leader promise.
                let leader = self.leader().unwrap_or(id);
                if leader != id {
                    self.end(leader, CrashMode::Drop, true);
                }
            }
        }
    }

    /// Breaks a leader's connections. The others are told and choose another, while it hears nothing of
    /// anybody and takes itself for the leader.
    fn half_open(&mut self) {
        let Some(leader) = self.leader() else { return };
        self.cut_off(&[leader]);
        for other in self.ids() {
            self.hang_up(other, leader);
        }
    }

    /// Ends a process and has it started again.
    pub(crate) fn end(&mut self, id: ServerId, mode: CrashMode, is_told: bool) {
        self.crash(id, mode, is_told);
        let in_us = if self.random.below(4) == 0 {
            self.draw_us(2000, 15_000)
        } else {
            self.draw_us(50, 2000)
        };
        self.note(in_us, Happening::Start(id));
    }

    /// Turns a bit, unless another member has something to be made up for: what a quorum's disks lose
    /// is lost.
    fn rot(&mut self, id: ServerId) {
        let is_alone = self.scenario.voters == 1;
        if is_alone || !self.machines.values().all(Machine::is_whole) {
            return;
        }
        self.end(id, CrashMode::Keep, true);
        let disk = self.machines[&id].disk.clone();
        let names = disk.list("data").unwrap_or_default();
        let files: Vec<String> = names
            .into_iter()
            .filter(|name| name.starts_with("log.") || name.starts_with("snapshot."))
            .collect();
        if files.is_empty() {
            return;
        }
        let path = format!("data/{}", self.random.pick(&files));
        let len = disk.contents(&path).map_or(0, |bytes| bytes.len() as u64);
        if len > 0 {
            let (byte, bit) = (self.random.below(len), self.random.below(8) as u8);
            disk.flip(&path, byte, bit);
            self.machines.get_mut(&id).expect("a member").is_rotten = true;
        }
    }

    /// Gives an observer an empty disk: it has no vote to break a promise with.
    fn replace(&mut self, id: ServerId) {
        let seed = self.random.draw();
        if id.0 <= self.scenario.voters {
            return;
        }
        self.end(id, CrashMode::Keep, true);
        let machine = self.machines.get_mut(&id).expect("a member");
        machine.replace_disk(seed);
    }

    fn cut_off(&mut self, group: &[ServerId]) {
        let ids = self.ids();
        let outside: Vec<ServerId> = ids.into_iter().filter(|id| !group.contains(id)).collect();
        let both = |(a, b): (ServerId, ServerId)| [(a, b), (b, a)];
        let pairs = group.iter().flat_map(|a| outside.iter().map(|b| (*a, *b)));
        let ways = pairs.flat_map(both).collect();
        self.shut(ways);
    }

    fn shut(&mut self, ways: Vec<Way>) {
        for way in &ways {
            self.shut_one(*way);
        }
        let in_us = self.draw_us(200, 10_000);
        self.note(in_us, Happening::Mend(Mend::Open(ways)));
    }

    fn shut_one(&mut self, way: Way) {
        self.network.shut(way);
        if let Some(number) = self.network.number(way) {
            let silence = Happening::Silence { at: way.1, peer: way.0, number };
            self.note(SILENCE_US, silence);
        }
    }

    pub(crate) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Open(ways) => ways.into_iter().for_each(|way| self.network.open(way)),
            Mend::Speed(way) => self.network.speed_up(way),
            // One that is gray on purpose stays so, whatever was noted before.
            Mend::Disk(id) if self.gray == Some(id) => {}
            Mend::Disk(id) => {
                self.machines.get_mut(&id).expect("a member").mend_disk();
            }
            Mend::Room(id) => self.machines[&id].disk.set_capacity(None),
            Mend::Flap(way, left) => {
                if self.is_calm {
                    return;
                }
                if left % 2 == 0 {
                    self.shut_one(way);
                } else {
                    self.network.open(way);
                }
                if left > 0 {
                    let in_us = self.draw_us(50, 3000);
                    self.note(in_us, Happening::Mend(Mend::Flap(way, left - 1)));
                }
            }
        }
    }

    /// Makes everything well, but for the links that do not touch the hub, and starts all machines.
    pub(crate) fn mend_all(&mut self, hub: Option<ServerId>) {
        self.network.heal();
        if let Some(hub) = hub {
            let ids = self.ids();
            let pairs = ids.iter().flat_map(|a| ids.iter().map(|b| (*a, *b)));
            let apart: Vec<Way> = pairs.filter(|(a, b)| a != b && *a != hub && *b != hub).collect();
            for way in apart {
                self.shut_one(way);
            }
        }
        for id in self.ids() {
            let machine = self.machines.get_mut(&id).expect("a member");
            machine.mend_disk();
            machine.loses_promise = false;
            machine.paused_until_us = 0;
            machine.disk.set_capacity(None);
            machine.disk.calm();
            if machine.running.is_none() {
                self.note(0, Happening::Start(id));
            }
        }
    }
}
