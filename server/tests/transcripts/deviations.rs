//! Where a member answers otherwise than the real server did, on purpose. Each is argued in
//! `protocol/COMPATIBILITY.md`, under the name that the table gives.

use self::Ours::{Frame, Silence};

/// One step of a recording in whose place a member does something else.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// Which recording.
    pub(crate) scenario: &'static str,
    /// Which line of it, from 1.
    pub(crate) line: usize,
    /// What a member does.
    pub(crate) ours: Ours,
    /// The heading in `protocol/COMPATIBILITY.md`.
    pub(crate) heading: &'static str,
}

/// What a member does in place of what was recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ours {
    /// It sends this frame, in hexadecimal with its length; two points stand for a byte that differs from
    /// run to run.
    Frame(&'static str),
    /// It waits for more.
    Silence,
}

/// Every deviation that the recordings show.
pub(crate) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        scenario: "check_alone",
        line: 26,
        ours: Frame("00000010 0000000b ................ 00000000"),
        heading: "A check outside a multi is answered",
    },
    Deviation {
        scenario: "check_alone",
        line: 30,
        ours: Frame("00000010 0000000d ................ 00000000"),
        heading: "A check outside a multi is answered",
    },
    Deviation {
        scenario: "ensemble_readonly",
        line: 26,
        ours: Frame(
            "00000025 00000000 00007530 ................ 00000010 \
               ................................ 01",
        ),
        heading: "Read-only clients are served without local sessions",
    },
    Deviation {
        scenario: "frames",
        line: 21,
        ours: Silence,
        heading: "A request that is too long is refused, and its connection goes on",
    },
    Deviation {
        scenario: "frames",
        line: 26,
        ours: Silence,
        heading: "A request that is too long is refused, and its connection goes on",
    },
    Deviation {
        scenario: "frames",
        line: 48,
        ours: Frame("00000010 00000002 ................ fffffffc"),
        heading: "A request that is too long is refused, and its connection goes on",
    },
    Deviation {
        scenario: "multi_odd",
        line: 54,
        ours: Frame("00000010 00000001 ................ fffffffb"),
        heading: "A refused multi or multiRead is answered by its error alone",
    },
    Deviation {
        scenario: "multi_odd",
        line: 70,
        ours: Frame("00000010 00000001 ................ fffffffb"),
        heading: "A refused multi or multiRead is answered by its error alone",
    },
    Deviation {
        scenario: "paths_null",
        line: 126,
        ours: Frame("00000010 00000001 ................ fffffffb"),
        heading: "A refused multi or multiRead is answered by its error alone",
    },
    Deviation {
        scenario: "paths_other_ops",
        line: 18,
        ours: Frame("00000014 00000007 ................ 00000000 00000004"),
        heading: "The empty path counts as the root does",
    },
    Deviation {
        scenario: "paths_other_ops",
        line: 32,
        ours: Frame("00000010 0000000e ................ 00000000"),
        heading: "checkWatches finds the watches of every path",
    },
    Deviation {
        scenario: "paths_other_ops",
        line: 60,
        ours: Frame("00000010 0000001c ................ 00000000"),
        heading: "checkWatches finds the watches of every path",
    },
];
