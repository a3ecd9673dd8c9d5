//! Buckets in directories.

use std::fs;

use blockyard::Kind;
use blockyard::bucket::Bucket;
use tempfile::TempDir;

use super::conformance::{self, keys};

fn at(dir: &TempDir) -> Bucket {
    Bucket::filesystem(dir.path().join("bucket"), "").unwrap()
}

#[tokio::test]
async fn a_directory_does_what_every_bucket_does() {
    let dir = TempDir::new().unwrap();
    conformance::run(&at(&dir)).await;
    assert!(dir.path().join("bucket").read_dir().unwrap().next().is_none(), "no file and no folder is left");
}

#[tokio::test]
async fn a_prefix_in_a_directory_does_what_every_bucket_does() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("beside"), "x").unwrap();
    conformance::run(&Bucket::filesystem(dir.path(), "/some/prefix/").unwrap()).await;
    assert_eq!(fs::read(dir.path().join("beside")).unwrap(), b"x");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_an_empty_bucket() {
    let dir = TempDir::new().unwrap();
    let bucket = at(&dir);
    bucket.check().await.unwrap();
    assert_eq!(keys(&bucket, "").await, [""; 0]);
    assert_eq!(bucket.list_folder("").await.unwrap(), Default::default());
    assert!(!dir.path().join("bucket").exists(), "reading makes nothing");

    fs::write(dir.path().join("bucket"), "a file").unwrap();
    assert_eq!(bucket.check().await.unwrap_err().kind(), Kind::Invalid);
}

#[tokio::test]
async fn half_written_files_are_hidden_and_found() {
    let dir = TempDir::new().unwrap();
    let bucket = at(&dir);
    bucket.put("a/whole", "x".into()).await.unwrap();
    let mut upload = bucket.upload("b/chunks/000001", 100).await.unwrap();
    upload.write("half".into()).await.unwrap();

    assert_eq!(keys(&bucket, "").await, ["a/whole"]);
    assert_eq!(bucket.list_folder("").await.unwrap().folders, ["a", "b"], "b holds a folder");
    assert_eq!(bucket.list_folder("b").await.unwrap(), Default::default(), "of nothing that is whole");
    let found = bucket.list_unfinished_uploads("").await.unwrap();
    assert_eq!((found.len(), found[0].key.as_str()), (1, "b/chunks/000001"));
    assert_eq!(bucket.list_unfinished_uploads("a").await.unwrap(), []);

    std::mem::forget(upload); // as if the process had been killed
    bucket.abort_unfinished(&found[0]).await.unwrap();
    bucket.abort_unfinished(&found[0]).await.unwrap();
    assert_eq!(bucket.list_unfinished_uploads("").await.unwrap(), []);
    assert_eq!(bucket.list_folder("").await.unwrap().folders, ["a"]);
    assert_eq!(bucket.put("name#12", "x".into()).await.unwrap_err().kind(), Kind::Invalid);
}

#[tokio::test]
async fn a_dropped_upload_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let bucket = at(&dir);
    let mut upload = bucket.upload("b/c", 100).await.unwrap();
    upload.write("half".into()).await.unwrap();
    drop(upload);
    assert_eq!(bucket.list_unfinished_uploads("").await.unwrap(), []);
    assert_eq!(fs::read_dir(dir.path().join("bucket")).unwrap().count(), 0);
}

#[tokio::test]
async fn empty_folders_are_not_listed_and_go_with_their_last_object() {
    let dir = TempDir::new().unwrap();
    let bucket = at(&dir);
    fs::create_dir_all(dir.path().join("bucket/empty/below")).unwrap();
    assert_eq!(bucket.list_folder("empty").await.unwrap().folders, [""; 0]);
    bucket.put("x/y/z", "z".into()).await.unwrap();
    bucket.delete("x/y").await.unwrap();
    assert_eq!(keys(&bucket, "").await, ["x/y/z"], "a folder is no object that could be deleted");
    bucket.delete("x/y/z").await.unwrap();
    assert!(!dir.path().join("bucket/x").exists());
    bucket.delete_folder_marker("empty/below").await.unwrap();
    assert!(!dir.path().join("bucket/empty").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_a_file_is_an_object_and_a_link_to_a_folder_is_not_followed() {
    let dir = TempDir::new().unwrap();
    let bucket = at(&dir);
    bucket.put("real/file", "x".into()).await.unwrap();
    let root = dir.path().join("bucket");
    std::os::unix::fs::symlink(root.join("real/file"), root.join("link")).unwrap();
    std::os::unix::fs::symlink(&root, root.join("real/loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("broken")).unwrap();
    assert_eq!(keys(&bucket, "").await, ["link", "real/file"]);
    assert_eq!(bucket.list_folder("").await.unwrap().folders, ["real"]);
}
