//! Response bodies: bytes, or a part of a file read piece by piece.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes read at one go: a few of a connection's windows.
const PIECE: u64 = 64 * 1024;

/// A response's body.
pub(crate) enum Out {
    /// All of it.
    Bytes(Full<Bytes>),
    /// Bytes `at` to `end` of a file.
    File { file: File, at: u64, end: u64 },
}

impl Out {
    pub(crate) fn bytes(b: impl Into<Bytes>) -> Out {
        Out::Bytes(Full::new(b.into()))
    }
}

impl Body for Out {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Out::Bytes(b) => Pin::new(b).poll_frame(cx).map_err(|e| match e {}),
            Out::File { file, at, end } => {
                if at >= end {
                    return Poll::Ready(None);
                }
                let mut piece = vec![0; usize::try_from(PIECE.min(*end - *at)).unwrap_or(0)];
                Poll::Ready(Some(match file.read_at(&mut piece, *at) {
                    // Shorter than promised: the connection must break, or the
                    // receiver would take the next answer for the rest.
                    Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(n) => {
                        piece.truncate(n);
                        *at += n as u64;
                        Ok(Frame::data(piece.into()))
                    }
                    Err(e) => Err(e),
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Out::Bytes(b) => b.is_end_stream(),
            Out::File { at, end, .. } => at >= end,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Out::Bytes(b) => b.size_hint(),
            Out::File { at, end, .. } => SizeHint::with_exact(end - at),
        }
    }
}
