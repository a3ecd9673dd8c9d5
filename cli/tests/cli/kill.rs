//! SIGKILL at any moment, again and again, until the work is done all the same: on a directory and on an S3 server.
//!
//! What is killed and when is drawn from a seed, which is printed; how far the program has come by then is not,
//! so a failure prints what lay in the bucket. `tests/kill` kills more often than a check of every change can.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use blockyard::bucket::Bucket;
use blockyard::job::catalog::{CatalogBlock, SyncOptions, Syncer};
use blockyard::model::BlockId;

use crate::moto::Moto;

/// Passes at once; two servers are a pair of replicas, and what is long enough is downsampled on the way.
const COMPACT: [&str; 4] =
    ["compact", "--consistency-delay=0s", "--deduplication.replica-label=replica", "--compact.concurrency=2"];

/// Kills of each test, where nothing else is asked for.
const KILLS: usize = 20;

/// A bucket, and the flag that names it.
struct Yard {
    bucket: Bucket,
    flag: String,
    runtime: tokio::runtime::Runtime,
}

impl Yard {
    fn new(yaml: &str) -> Yard {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bucket = runtime.block_on(Bucket::from_yaml(yaml)).unwrap().bucket;
        Yard { bucket, flag: format!("--objstore.config={yaml}"), runtime }
    }

    /// The demo's three servers, and a block that is due for both coarser levels.
    fn fill(&self) {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
        for (folder, labels) in [
            ("demo/a1", Some([("cluster", "eu1"), ("replica", "a")])),
            ("demo/a2", Some([("cluster", "eu1"), ("replica", "b")])),
            ("demo/b1", Some([("cluster", "us1"), ("replica", "a")])),
            ("downsample/special/input", None),
        ] {
            for block in std::fs::read_dir(data.join(folder)).unwrap() {
                let block = block.unwrap().path();
                let id = block.file_name().unwrap().to_str().unwrap();
                let mut meta: serde_json::Value =
                    serde_json::from_slice(&std::fs::read(block.join("meta.json")).unwrap()).unwrap();
                if let Some(labels) = labels {
                    let labels: BTreeMap<&str, &str> = labels.into_iter().collect();
                    meta["thanos"] = serde_json::json!({"labels": labels, "downsample": {"resolution": 0}, "source": "sidecar"});
                }
                for name in ["index", "chunks/000001"] {
                    self.put(&format!("{id}/{name}"), std::fs::read(block.join(name)).unwrap());
                }
                self.put(&format!("{id}/meta.json"), meta.to_string().into_bytes());
            }
        }
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        self.runtime.block_on(self.bucket.put(key, bytes.into())).unwrap();
    }

    fn get(&self, key: &str) -> Vec<u8> {
        self.runtime.block_on(self.bucket.get(key, 1 << 30)).unwrap().into()
    }

    /// Blocks with a meta that can be read, as a compactor of this bucket sees them.
    fn found(&self) -> Vec<CatalogBlock> {
        let catalog = self.runtime.block_on(Syncer::new(self.bucket.clone(), SyncOptions::default()).sync()).unwrap();
        catalog.check_complete().unwrap();
        catalog.blocks
    }

    /// Blocks that are to stay, told apart by all but their names, with hashes of what is in them.
    fn live(&self, found: &[CatalogBlock]) -> BTreeMap<String, Vec<(String, u64)>> {
        let mut live = BTreeMap::new();
        for block in found.iter().filter(|b| b.deletion.is_none()) {
            let meta = &block.meta;
            let name =
                format!("{}..{} {} {} {:?}", meta.min_time, meta.max_time, meta.resolution(), block.labels, meta.sources());
            let data = block.objects.iter().filter_map(|object| {
                let (_, name) = object.key.split_once('/')?;
                let mut hash = DefaultHasher::new();
                (name == "index" || name.starts_with("chunks/")).then(|| self.get(&object.key).hash(&mut hash))?;
                Some((name.to_owned(), hash.finish()))
            });
            assert_eq!(live.insert(name.clone(), data.collect()), None, "twice: {name}");
        }
        live
    }

    fn compact(&self, dir: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_blockyard"))
            .args(COMPACT)
            .args([&self.flag, "--data-dir=data", "--http-address="])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    /// What holds at every moment.
    fn check(&self, found: &[CatalogBlock], inputs: &BTreeSet<BlockId>) {
        for block in found {
            for file in block.meta.thanos.files.iter().filter(|f| f.rel_path != "meta.json") {
                let key = format!("{}/{}", block.id, file.rel_path);
                let there = block.objects.iter().find(|o| o.key == key).map(|o| o.len_bytes);
                assert_eq!(there, u64::try_from(file.size_bytes).ok(), "{key}: half a block is seen");
            }
        }
        for input in inputs {
            let kept = |b: &&CatalogBlock| b.deletion.is_none() && b.meta.resolution() == 0 && b.meta.sources().contains(input);
            assert!(found.iter().any(|b| kept(&b)), "no raw block has the samples of {input}: {found:#?}");
        }
    }
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    /// From 0 to before `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }
}

/// Kills until `BLOCKYARD_KILLS` (or 20) runs died at work; `yard` makes a new bucket.
fn kill(name: &str, mut yard: impl FnMut(usize, &Path) -> Yard) {
    let asked = |name: &str, or: u64| env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(or);
    let (kills, seed) = (asked("BLOCKYARD_KILLS", KILLS as u64) as usize, asked("BLOCKYARD_KILLS_SEED", 1));
    println!("{name}: {kills} kills, seed {seed}");
    let mut dice = Dice(seed);

    let dir = tempfile::tempdir().unwrap();
    let undisturbed = yard(0, dir.path());
    undisturbed.fill();
    let inputs: BTreeSet<BlockId> = undisturbed.found().iter().map(|b| b.id).collect();
    let began = Instant::now();
    assert!(undisturbed.compact(dir.path()).wait().unwrap().success());
    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
    let expected = undisturbed.live(&undisturbed.found());
    assert!(expected.len() >= 4 && expected.keys().any(|k| k.contains(" 3600000 ")), "{expected:#?}");

    let (mut killed, mut round) = (0, 0);
    while killed < kills {
        round += 1;
        let dir = tempfile::tempdir().unwrap();
        let yard = yard(round, dir.path());
        yard.fill();
        loop {
            let mut running = yard.compact(dir.path());
            std::thread::sleep(Duration::from_millis(dice.below(took + took / 4)));
            if let Some(ended) = running.try_wait().unwrap() {
                assert!(ended.success(), "{name}, seed {seed}, round {round}: {ended}");
                break;
            }
            running.kill().unwrap();
            running.wait().unwrap();
            killed += 1;
            yard.check(&yard.found(), &inputs);
            if killed >= kills {
                assert!(yard.compact(dir.path()).wait().unwrap().success());
                break;
            }
        }
        let found = yard.found();
        yard.check(&found, &inputs);
        assert_eq!(yard.live(&found), expected, "{name}, seed {seed}, round {round}");
    }
    println!("{name}: {killed} kills in {round} rounds; a run takes {took} ms");
}

#[test]
fn killed_on_a_directory_it_ends_as_if_it_had_not_been() {
    kill("directory", |_, dir| Yard::new(&format!("{{type: FILESYSTEM, config: {{directory: '{}/bucket'}}}}", dir.display())));
}

#[test]
fn killed_on_s3_it_ends_as_if_it_had_not_been() {
    let Some(moto) = Moto::shared("killed_on_s3_it_ends_as_if_it_had_not_been") else { return };
    kill("S3", |round, _| Yard::new(&moto.bucket(&format!("killed-{round}"))));
}
