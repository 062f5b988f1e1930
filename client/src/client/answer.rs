//! What a call returns: a future of its answer, though the request is on its way already.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use conclave_protocol::response::Response;
use tokio::sync::oneshot;

use super::{chroot::Chroot, status::Status};
use crate::{error::ClientError, session::over};

/// The answer of the session's task.
pub(super) type Answered = Result<Response, ClientError>;

/// Makes of the answer what the caller asked for.
type Read<T, E> = Box<dyn FnOnce(Answered) -> Result<T, E> + Send>;

/// A request on its way. It is sent when the call is made, and done whether or not this is awaited;
/// keep the [`super::Client`] until then.
pub struct Answer<T, E = ClientError> {
    sent: Result<oneshot::Receiver<Answered>, ClientError>,
    chroot: Arc<Chroot>,
    status: Arc<Status>,
    read: Option<Read<T, E>>,
}

impl<T, E> Answer<T, E> {
    pub(super) fn new(
        sent: Result<oneshot::Receiver<Answered>, ClientError>,
        chroot: Arc<Chroot>,
        status: Arc<Status>,
        read: impl FnOnce(Answered) -> Result<T, E> + Send + 'static,
    ) -> Self {
        Self { sent, chroot, status, read: Some(Box::new(read)) }
    }
}

impl<T, E> Future for Answer<T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answered = match &mut this.sent {
            Err(error) => Err(error.clone()),
            Ok(receiver) => match ready!(Pin::new(receiver).poll(context)) {
                Ok(answered) => answered.map(|response| this.chroot.outward(response)),
                // The session's task has ended, and says by the state why.
                Err(_) => Err(over(this.status.state())),
            },
        };
        let read = this.read.take().expect("a future is not polled after it is ready");
        Poll::Ready(read(answered))
    }
}

impl<T, E> fmt::Debug for Answer<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("sent", &self.sent).finish_non_exhaustive()
    }
}
