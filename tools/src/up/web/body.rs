//! What a response carries: bytes that are there, or a part of a file that is read as it goes out.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response's content.
pub(super) enum Content {
    /// All at once; none when it was taken.
    Bytes(Option<Bytes>),
    /// So many bytes of a file, from where it stands.
    File { file: File, left: u64 },
}

impl Content {
    pub(super) fn bytes(bytes: impl Into<Bytes>) -> Content {
        Content::Bytes(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    /// A part of a file. Errors: it can't be sought in.
    pub(super) fn file(mut file: File, start: u64, len: u64) -> io::Result<Content> {
        file.seek(SeekFrom::Start(start))?;
        Ok(Content::File { file, left: len })
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    /// Reads the next block. The read is done here, on the machine's thread: from the page cache it takes some 20 µs,
    /// which is less than to hand it to another thread and back.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let block = match &mut *self {
            Content::Bytes(bytes) => Ok(bytes.take()),
            Content::File { left: 0, .. } => Ok(None),
            Content::File { file, left } => read_block(file, left).map(Some),
        };
        Poll::Ready(block.map(|block| block.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Content::Bytes(None) | Content::File { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Content::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Content::File { left, .. } => *left,
        })
    }
}

/// Errors: those of reading; `UnexpectedEof` where the file has become shorter than it was said to be.
fn read_block(file: &mut File, left: &mut u64) -> io::Result<Bytes> {
    let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(BLOCK_BYTES);
    let mut block = vec![0; wanted];
    let len = loop {
        match file.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    if len == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    block.truncate(len);
    *left -= len as u64;
    Ok(Bytes::from(block))
}

/// Bytes that are read at once.
const BLOCK_BYTES: usize = 128 << 10;
