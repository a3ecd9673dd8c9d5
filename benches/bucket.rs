//! A FILESYSTEM bucket against the disk below it: one streamed object, its bytes read back.
//!
//! `cargo bench --bench bucket -- [FOLDER]`: FOLDER lies on the disk in question (default: the
//! system's folder for temporary files). 1 GiB is written in pieces of 1 MiB, synced at the end.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use blockyard::bucket::Bucket;
use bytes::Bytes;

const PIECE_BYTES: usize = 1 << 20;
const PIECES: u64 = 1 << 10;
const ROUNDS: usize = 3;

fn main() {
    let folder = std::env::args().skip(1).find(|a| !a.starts_with('-')).map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let piece: Bytes = (0..PIECE_BYTES).map(|n| (n * 31 % 251) as u8).collect::<Vec<_>>().into();
    for _ in 0..ROUNDS {
        let dir = tempfile::TempDir::new_in(&folder).expect("a folder");
        rate("raw write, fdatasync at the end", || raw(&dir.path().join("raw"), &piece));
        let bucket = Bucket::filesystem(dir.path().join("bucket"), "").expect("a bucket");
        rate("upload, synced", || runtime.block_on(upload(&bucket, &piece)));
        rate("get_range of 1 MiB, cached", || runtime.block_on(read(&bucket)));
    }
}

fn rate(what: &str, run: impl FnOnce()) {
    let begun = Instant::now();
    run();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{what:34} {:7.0} MiB/s ({seconds:.2} s)", PIECES as f64 / seconds);
}

fn raw(path: &Path, piece: &[u8]) {
    let mut file = File::create(path).expect("a file");
    (0..PIECES).try_for_each(|_| file.write_all(piece)).expect("write");
    file.sync_data().expect("sync");
}

async fn upload(bucket: &Bucket, piece: &Bytes) {
    let mut upload = bucket.upload("object", PIECES << 20).await.expect("an upload");
    for _ in 0..PIECES {
        upload.write(piece.clone()).await.expect("write");
    }
    upload.finish().await.expect("finish");
}

async fn read(bucket: &Bucket) {
    for n in 0..PIECES {
        let at = n << 20;
        let bytes = bucket.get_range("object", at..at + PIECE_BYTES as u64).await.expect("read");
        assert_eq!(bytes.len(), PIECE_BYTES);
    }
}
