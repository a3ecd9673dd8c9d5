//! Makes the demo's folder: a bucket of type FILESYSTEM, its configuration, and a mark that says whose it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blockyard::bucket::Bucket;
use blockyard::{Error, Kind, Result};
use serde_json::{Value, json};

/// This file says that the folder around it may be made anew.
const MARK: &str = "made-by-blockyard-demo";

/// Servers by folder, with the external labels they had.
const SERVERS: [(&str, &str, &str); 3] = [("a1", "eu1", "a"), ("a2", "eu1", "b"), ("b1", "us1", "a")];

/// What was made.
pub(super) struct Made {
    /// The objstore configuration.
    pub(super) config: PathBuf,
    /// How many blocks.
    pub(super) blocks: usize,
    /// Of how many bytes.
    pub(super) bytes: u64,
}

/// Makes `dir` from the blocks of `from`.
///
/// # Errors
/// `Invalid` when `dir` is there and no demo made it; `Unavailable` when it cannot be written.
pub(super) async fn make(dir: &Path, from: &Path) -> Result<Made> {
    prepare(dir)?;
    let root = std::path::absolute(dir.join("bucket")).map_err(|e| cannot("make", dir, e))?;
    let bucket = Bucket::filesystem(&root, "")?;
    let (mut blocks, mut bytes) = (0, 0);
    for (server, cluster, replica) in SERVERS {
        let labels = json!({ "cluster": cluster, "replica": replica });
        for block in entries(&from.join(server))? {
            bytes += upload(&bucket, &block, &labels).await?;
            blocks += 1;
        }
    }
    let config = dir.join("bucket.yml");
    let text = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", Value::from(root.to_string_lossy()));
    fs::write(&config, text).map_err(|e| cannot("write", &config, e))?;
    Ok(Made { config, blocks, bytes })
}

/// An empty folder of ours, or an error.
fn prepare(dir: &Path) -> Result<()> {
    let mark = dir.join(MARK);
    match fs::symlink_metadata(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir(dir).map_err(|e| cannot("make", dir, e))?;
            let text = "blockyard demo made this folder and may delete bucket and data in it.\n";
            fs::write(&mark, text).map_err(|e| cannot("write", &mark, e))
        }
        Err(e) => Err(cannot("look at", dir, e)),
        Ok(_) if !mark.is_file() => {
            Err(Error::new(Kind::Invalid, format!("{} is there already, and no demo made it: it was not touched", dir.display()))
                .next("give another folder with --dir"))
        }
        Ok(_) => {
            for ours in [dir.join("bucket"), dir.join("data")] {
                match fs::remove_dir_all(&ours) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(cannot("delete", &ours, e)),
                    _ => {}
                }
            }
            Ok(())
        }
    }
}

/// Uploads a block as a sidecar would: `meta.json` with the external labels last, no tombstones.
async fn upload(bucket: &Bucket, block: &Path, labels: &Value) -> Result<u64> {
    let id = block.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    for segment in entries(&block.join("chunks"))? {
        files.push((format!("chunks/{}", segment.file_name().unwrap_or_default().to_string_lossy()), segment));
    }
    files.push(("index".to_owned(), block.join("index")));
    let (mut total, mut listed) = (0, Vec::new());
    for (name, path) in files {
        let content = read(&path)?;
        total += content.len() as u64;
        listed.push(json!({ "rel_path": name, "size_bytes": content.len() }));
        bucket.put(&format!("{id}/{name}"), content.into()).await?;
    }
    listed.push(json!({ "rel_path": "meta.json" }));

    let path = block.join("meta.json");
    let bad = |e: serde_json::Error| Error::new(Kind::Corrupt, "is no JSON object").part(path.display().to_string()).source(e);
    let mut meta: serde_json::Map<String, Value> = serde_json::from_slice(&read(&path)?).map_err(bad)?;
    let thanos = json!({
        "labels": labels,
        "downsample": { "resolution": 0 },
        "source": "sidecar",
        "segment_files": listed.iter().filter_map(|f| f["rel_path"].as_str()?.strip_prefix("chunks/")).collect::<Vec<_>>(),
        "files": listed,
    });
    meta.insert("thanos".to_owned(), thanos);
    let mut text = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(&meta, &mut serde_json::Serializer::with_formatter(&mut text, tabs)).map_err(bad)?;
    text.push(b'\n');
    bucket.put(&format!("{id}/meta.json"), text.into()).await?;
    Ok(total)
}

/// What lies in a folder, by name, without hidden files.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<io::Result<_>>()?;
        paths.retain(|p| p.file_name().is_some_and(|n| !n.to_string_lossy().starts_with('.')));
        paths.sort();
        Ok(paths)
    };
    read().map_err(|e| cannot("read", folder, e))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| cannot("read", path, e))
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("cannot {what} {}", path.display())).source(error)
}
