//! Bodies: bytes that are there, bytes that are being fetched for many, and
//! bytes that pass by.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How a fetch stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    Running,
    Done,
    Failed,
}

#[derive(Debug)]
struct Inner {
    pieces: Vec<Bytes>,
    progress: Progress,
    waiting: Vec<Waker>,
}

/// A body that one fetch fills and many read from its start.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    inner: Rc<RefCell<Inner>>,
    len: u64,
}

impl Shared {
    pub(crate) fn new(len: u64) -> Shared {
        let inner = Inner { pieces: Vec::new(), progress: Progress::Running, waiting: Vec::new() };
        Shared { inner: Rc::new(RefCell::new(inner)), len }
    }

    pub(crate) fn push(&self, b: Bytes) {
        self.change(|i| i.pieces.push(b));
    }

    pub(crate) fn end(&self, p: Progress) {
        self.change(|i| i.progress = p);
    }

    fn change(&self, f: impl FnOnce(&mut Inner)) {
        let waiting = {
            let mut i = self.inner.borrow_mut();
            f(&mut i);
            std::mem::take(&mut i.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn whole(&self) -> Bytes {
        let i = self.inner.borrow();
        match &i.pieces[..] {
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }
}

/// A response's body.
pub(crate) enum Out {
    Bytes(Option<Bytes>),
    Shared { from: Shared, next: usize },
    Pass(Incoming),
}

impl Out {
    pub(crate) fn bytes(b: impl Into<Bytes>) -> Out {
        Out::Bytes(Some(b.into()).filter(|b| !b.is_empty()))
    }
}

impl Body for Out {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Out::Bytes(b) => Poll::Ready(b.take().map(|b| Ok(Frame::data(b)))),
            Out::Pass(b) => Pin::new(b).poll_frame(cx).map_err(io::Error::other),
            Out::Shared { from, next } => {
                let mut i = from.inner.borrow_mut();
                if let Some(p) = i.pieces.get(*next) {
                    *next += 1;
                    return Poll::Ready(Some(Ok(Frame::data(p.clone()))));
                }
                match i.progress {
                    Progress::Done => Poll::Ready(None),
                    Progress::Failed => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                    Progress::Running => {
                        i.waiting.push(cx.waker().clone());
                        Poll::Pending
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Out::Bytes(b) => SizeHint::with_exact(b.as_ref().map_or(0, |b| b.len() as u64)),
            Out::Pass(b) => b.size_hint(),
            Out::Shared { from, next: 0 } => SizeHint::with_exact(from.len),
            Out::Shared { .. } => SizeHint::default(),
        }
    }
}
