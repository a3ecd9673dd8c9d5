//! A real S3 server for tests: moto, one process for all tests of this binary.
//!
//! `BLOCKYARD_MOTO` names the `moto_server` to run; without it the one in `.venv` is taken, which
//! `tests/run` installs. When there is none, tests that want it are skipped by name.

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::skip::skip;

/// A server takes a second; a busy machine takes longer.
const READY: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A running server; it ends when the last test lets go of it.
pub(crate) struct Moto {
    process: Child,
    address: String,
}

impl Moto {
    /// The server that all tests share, or `None` when there is none to run.
    pub(crate) fn shared(what: &str) -> Option<Arc<Moto>> {
        static RUNNING: Mutex<Weak<Moto>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(moto) = running.upgrade() {
            return Some(moto);
        }
        let moto = Arc::new(Moto::start(what)?);
        *running = Arc::downgrade(&moto);
        Some(moto)
    }

    /// A server of one's own.
    pub(crate) fn start(what: &str) -> Option<Moto> {
        let Some(program) = program() else {
            skip(what, "moto_server not found (run tests/run)");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let address = format!("127.0.0.1:{port}");
        for _ in 0..READY.as_millis() / POLL.as_millis() {
            if TcpStream::connect(&address).is_ok() {
                return Some(Moto { process, address });
            }
            assert_eq!(process.try_wait().unwrap(), None, "moto_server ended at once");
            std::thread::sleep(POLL);
        }
        _ = process.kill();
        panic!("moto_server does not answer on {address}");
    }

    /// Makes a bucket and returns the configuration that opens it.
    pub(crate) fn bucket(&self, name: &str) -> String {
        assert_eq!(self.ask("PUT", &format!("/{name}"), b"").0, 200);
        self.config(name)
    }

    /// The configuration of a bucket that may be there or not.
    pub(crate) fn config(&self, name: &str) -> String {
        format!(
            "type: S3\nconfig:\n  bucket: {name}\n  endpoint: {}\n  insecure: true\n  access_key: AK\n  secret_key: SK\n",
            self.address
        )
    }

    /// One request as it is given, unsigned; status and body. `path` is percent-encoded.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let key = "AWS4-HMAC-SHA256 Credential=AK/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {key}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        (status.unwrap_or_else(|| panic!("no HTTP answer: {head}")), body.to_owned())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    let given = env::var_os("BLOCKYARD_MOTO").filter(|v| !v.is_empty()).map(PathBuf::from);
    // at the top, also for tests of a package below it
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().take(2);
    given.or_else(|| folders.find_map(|folder| Some(folder.join(".venv/bin/moto_server")).filter(|p| p.exists())))
}
