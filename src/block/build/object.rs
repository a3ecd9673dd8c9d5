//! One object of a block on its way into the bucket: bytes go into a bounded queue, a task of its
//! own uploads them, so that whoever makes the bytes does not wait for each write.
//!
//! *Memory*: [`QUEUED`] pieces and what the upload holds.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::block::witness::Reader;
use crate::bucket::{Bucket, Upload};
use crate::error::{Error, Kind, Result};

/// Pieces that wait for the upload.
const QUEUED: usize = 4;
/// Small writes are joined up to this many bytes.
const JOINED_BYTES: usize = 1 << 20;

/// An object that is wholly in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its name within the block: `index`, `chunks/000001`.
    pub name: String,
    /// Its length.
    pub len_bytes: u64,
    /// SHA-256 in lower-case hex, where asked for.
    pub sha256: Option<String>,
}

/// What is read and sent at a time, in bytes.
const SLICE_BYTES: usize = 256 << 10;

enum Message {
    Bytes(Bytes),
    Finish,
}

/// Writes one object front to back. Dropped without [`ObjectWriter::finish`], nothing stays of it.
pub(crate) struct ObjectWriter {
    name: String,
    joined: BytesMut,
    position: u64,
    queue: mpsc::Sender<Message>,
    task: JoinHandle<Result<Written>>,
}

impl ObjectWriter {
    /// Begins `folder/name`, which will have at most `bound_bytes`; `reader` sees what is sent.
    pub(crate) fn begin(
        bucket: &Bucket,
        folder: &str,
        name: &str,
        bound_bytes: u64,
        sha256: bool,
        reader: Option<Reader>,
    ) -> Self {
        let (queue, messages) = mpsc::channel(QUEUED);
        let (bucket, key, own) = (bucket.clone(), format!("{folder}/{name}"), name.to_owned());
        let task = tokio::spawn(upload(bucket, key, own, (bound_bytes, sha256), reader, messages));
        ObjectWriter { name: name.to_owned(), joined: BytesMut::new(), position: 0, queue, task }
    }

    /// Bytes written so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Appends bytes that are handed over whole.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.position += bytes.len() as u64;
        if bytes.len() < JOINED_BYTES / 4 {
            self.joined.extend_from_slice(&bytes);
            if self.joined.len() < JOINED_BYTES {
                return Ok(());
            }
            return self.flush().await;
        }
        self.flush().await?;
        self.send(Message::Bytes(bytes)).await
    }

    async fn flush(&mut self) -> Result<()> {
        if self.joined.is_empty() {
            return Ok(());
        }
        let joined = self.joined.split().freeze();
        self.send(Message::Bytes(joined)).await
    }

    async fn send(&mut self, message: Message) -> Result<()> {
        if self.queue.send(message).await.is_ok() {
            return Ok(());
        }
        // the task has ended early and knows why
        match (&mut self.task).await {
            Ok(Err(error)) => Err(error),
            _ => Err(Error::new(Kind::Cancelled, "the upload was stopped").part(&*self.name)),
        }
    }

    /// Makes the object visible; returns when it is wholly and durably in the bucket.
    pub(crate) async fn finish(mut self) -> Result<Written> {
        self.flush().await?;
        self.send(Message::Finish).await?;
        self.task.await.map_err(|e| Error::new(Kind::Cancelled, "the upload was stopped").part(self.name).source(e))?
    }

    /// Drops what was written; returns when nothing of it is left.
    pub(crate) async fn abort(self) {
        drop(self.queue);
        // whatever happened to the upload is what we wanted
        let _ = self.task.await;
    }
}

async fn upload(
    bucket: Bucket,
    key: String,
    name: String,
    (bound_bytes, sha256): (u64, bool),
    mut reader: Option<Reader>,
    mut messages: mpsc::Receiver<Message>,
) -> Result<Written> {
    let mut upload = bucket.upload(&key, bound_bytes).await?;
    let mut hash = sha256.then(Sha256::new);
    loop {
        match messages.recv().await {
            Some(Message::Bytes(bytes)) => {
                #[cfg(test)]
                let bytes = tamper::pass(&name, upload.written(), bytes);
                if let Some(hash) = &mut hash {
                    hash.update(&bytes);
                }
                if let Err(error) = send(&mut upload, &mut reader, bytes).await {
                    let _ = upload.abort().await;
                    return Err(error);
                }
            }
            Some(Message::Finish) => {
                if let Some(Err(error)) = reader.as_mut().map(Reader::end) {
                    let _ = upload.abort().await;
                    return Err(error);
                }
                let len_bytes = upload.finish().await?;
                let sha256 = hash.map(|h| h.finalize().iter().map(|b| format!("{b:02x}")).collect());
                return Ok(Written { name, len_bytes, sha256 });
            }
            None => {
                upload.abort().await?;
                return Err(Error::new(Kind::Cancelled, "the upload was given up").part(key));
            }
        }
    }
}

/// Reads what is sent and sends it, in slices that stay in a core's cache from one to the other.
async fn send(upload: &mut Upload, reader: &mut Option<Reader>, mut bytes: Bytes) -> Result<()> {
    let Some(reader) = reader else { return upload.write(bytes).await };
    while !bytes.is_empty() {
        let slice = bytes.split_to(bytes.len().min(SLICE_BYTES));
        reader.read(&slice)?;
        upload.write(slice).await?;
    }
    Ok(())
}

/// Bytes that change between the encoder and the upload, for tests.
#[cfg(test)]
pub(crate) mod tamper {
    use std::cell::RefCell;

    use bytes::Bytes;

    thread_local! {
        /// Name of the object, and the byte of it that is flipped.
        static FLIP: RefCell<Option<(String, u64)>> = const { RefCell::new(None) };
    }

    /// Flips a bit in byte `at` of objects with this name that this thread uploads from now on; `None` ends it.
    pub(crate) fn flip(what: Option<(&str, u64)>) {
        FLIP.with(|f| *f.borrow_mut() = what.map(|(name, at)| (name.to_owned(), at)));
    }

    /// The bytes from `begin` of the object on, as they go out.
    pub(super) fn pass(name: &str, begin: u64, bytes: Bytes) -> Bytes {
        FLIP.with(|f| match &*f.borrow() {
            Some((of, at)) if of == name && (begin..begin + bytes.len() as u64).contains(at) => {
                let mut changed = bytes.to_vec();
                changed[(at - begin) as usize] ^= 0x10;
                changed.into()
            }
            _ => bytes,
        })
    }
}
