//! A walk over a subtree: parents before children, children in order, with many requests under way.

use std::{collections::VecDeque, future::poll_fn, pin::Pin};

use bytes::Bytes;
use conclave_protocol::stat::Stat;

use super::{
    error::{ShellError, at},
    printer::remark,
    render::safe::safe,
};
use crate::{
    client::{Answer, Client},
    error::ClientError,
};

/// Znodes that are asked for at once, at most: a round trip for each would take a busy machine minutes.
const ASKED_MAX: usize = 1024;

/// Znodes that are asked for at once, at least, however large their values are.
const ASKED_MIN: usize = 16;

/// Bytes of data that are asked for at once, were all values as long as those before.
const ASKED_LEN_BYTES: usize = 32 << 20;

/// Znodes that wait to be visited at most: beyond, memory would not be bounded by anything.
const WAITING_MAX: usize = 20_000_000;

/// Walks. What others delete meanwhile is left out.
#[derive(Debug)]
pub(super) struct Walk {
    client: Client,
    want: Want,
    depth_max: usize,
    /// Whether what may not be read is left out, and said.
    is_lenient: bool,
    /// How long values are of late, in bytes: as the longest, and less with each that is shorter.
    len_bytes: usize,
    /// The next to visit is the first.
    waiting: VecDeque<Waiting>,
    asked: usize,
}

/// What is read of each znode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// Its stat and its children.
    Stat,
    /// Its data too.
    Data,
}

#[derive(Debug)]
struct Waiting {
    path: String,
    depth: usize,
    is_last: bool,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    children: Answer<(Vec<String>, Stat)>,
    data: Option<Answer<(Bytes, Stat)>>,
}

/// A znode that was visited.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) path: String,
    /// 0 for the top.
    pub(super) depth: usize,
    /// Whether it is its parent's last child.
    pub(super) is_last: bool,
    pub(super) stat: Stat,
    pub(super) data: Option<Bytes>,
}

impl Walk {
    /// Begins at a znode; those deeper than `depth_max` below it are not visited.
    pub(super) fn new(client: &Client, top: &str, want: Want, depth_max: usize) -> Self {
        let path = top.to_owned();
        let waiting = VecDeque::from([Waiting { path, depth: 0, is_last: true, asked: None }]);
        Self {
            client: client.clone(),
            want,
            depth_max,
            is_lenient: false,
            // Few are asked for until it is known how long values are.
            len_bytes: ASKED_LEN_BYTES / 64,
            waiting,
            asked: 0,
        }
    }

    /// Leaves out what may not be read, and says so: for commands that only show.
    pub(super) const fn lenient(mut self) -> Self {
        self.is_lenient = true;
        self
    }

    /// Visits the next znode.
    pub(super) async fn next(&mut self) -> Result<Option<Visit>, ShellError> {
        loop {
            self.ask();
            let Some(Waiting { path, depth, is_last, asked }) = self.waiting.pop_front() else {
                return Ok(None);
            };
            let asked = match asked {
                Some(asked) => {
                    self.asked -= 1;
                    asked
                }
                None => ask(&self.client, &path, self.want),
            };
            let (children, stat, data) = match answers(asked).await {
                Ok(answers) => answers,
                Err(ClientError::NoNode) if depth > 0 => continue,
                Err(ClientError::NoAuth) if depth > 0 && self.is_lenient => {
                    remark(&format!(
                        "conclave: {}: left out, its ACL does not allow it",
                        safe(&path)
                    ));
                    continue;
                }
                Err(error) => return Err(at(&path)(error)),
            };
            let len_bytes = data.as_ref().map_or(0, Bytes::len);
            self.len_bytes = len_bytes.max(self.len_bytes - self.len_bytes.div_ceil(64));
            if depth < self.depth_max {
                self.wait_for(&path, depth + 1, &children)?;
            }
            return Ok(Some(Visit { path, depth, is_last, stat, data }));
        }
    }

    fn wait_for(&mut self, parent: &str, depth: usize, names: &[String]) -> Result<(), ShellError> {
        if self.waiting.len() + names.len() > WAITING_MAX {
            let text = format!("more than {WAITING_MAX} znodes at once: choose a smaller subtree");
            return Err(ShellError::Refused(text));
        }
        let base = parent.trim_end_matches('/');
        for (index, name) in names.iter().enumerate().rev() {
            let path = format!("{base}/{name}");
            let is_last = index + 1 == names.len();
            self.waiting.push_front(Waiting { path, depth, is_last, asked: None });
        }
        Ok(())
    }

    /// Asks for those that are visited next, many together: each batch is one write.
    fn ask(&mut self) {
        let asked_max = match self.want {
            Want::Stat => ASKED_MAX,
            Want::Data => (ASKED_LEN_BYTES / self.len_bytes.max(1)).clamp(ASKED_MIN, ASKED_MAX),
        };
        if self.asked > asked_max / 2 {
            return;
        }
        for waiting in self.waiting.iter_mut().take(asked_max) {
            if self.asked >= asked_max {
                return;
            }
            if waiting.asked.is_none() {
                waiting.asked = Some(ask(&self.client, &waiting.path, self.want));
                self.asked += 1;
            }
        }
    }
}

fn ask(client: &Client, path: &str, want: Want) -> Asked {
    let data = (want == Want::Data).then(|| client.get_data(path));
    Asked { children: client.get_children(path), data }
}

async fn answers(asked: Asked) -> Result<(Vec<String>, Stat, Option<Bytes>), ClientError> {
    let data = match asked.data {
        Some(data) => Some(data.await?.0),
        None => None,
    };
    let (children, stat) = asked.children.await?;
    Ok((children, stat, data))
}

/// Turns a walk around: children before parents.
#[derive(Debug)]
pub(super) struct PostOrder {
    walk: Walk,
    /// The next one's ancestors, and the last one visited.
    open: Vec<Visit>,
    /// The first that is not below the last of `open`.
    next: Option<Visit>,
    is_over: bool,
}

impl PostOrder {
    pub(super) const fn new(walk: Walk) -> Self {
        Self { walk, open: Vec::new(), next: None, is_over: false }
    }

    /// Returns the next znode below which nothing is left to visit.
    pub(super) async fn next(&mut self) -> Result<Option<Visit>, ShellError> {
        loop {
            if self.next.is_none() && !self.is_over {
                self.next = self.walk.next().await?;
                self.is_over = self.next.is_none();
            }
            match (&self.next, self.open.last()) {
                (None, _) => return Ok(self.open.pop()),
                (Some(next), Some(last)) if next.depth <= last.depth => return Ok(self.open.pop()),
                _ => self.open.extend(self.next.take()),
            }
        }
    }
}

/// Requests that are under way, in order; the oldest is waited for when there are too many.
pub(super) struct Flight<T, E = ClientError> {
    answers: VecDeque<Answer<T, E>>,
    len_max: usize,
}

impl<T, E> Flight<T, E> {
    pub(super) const fn new(len_max: usize) -> Self {
        Self { answers: VecDeque::new(), len_max }
    }

    /// Adds one, and returns how the oldest ended, if it had to make room.
    pub(super) async fn add(&mut self, answer: Answer<T, E>) -> Option<Result<T, E>> {
        self.answers.push_back(answer);
        if self.answers.len() > self.len_max { self.land().await } else { None }
    }

    /// Waits for the oldest; `None` when there is none.
    pub(super) async fn land(&mut self) -> Option<Result<T, E>> {
        let mut answer = self.answers.pop_front()?;
        Some(poll_fn(|context| Pin::new(&mut answer).poll(context)).await)
    }
}
