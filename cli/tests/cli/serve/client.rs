//! A waiting compactor in a process of its own, and an HTTP client of a few lines.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a test waits for what does not come before it fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A compactor that listens.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    child: Child,
    lines: Receiver<String>,
}

/// Starts the program in `dir` at a free port, and waits until it listens.
pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_blockyard"))
        .args(arguments)
        .arg("--http-address=127.0.0.1:0")
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (say, lines) = channel();
    let err = BufReader::new(child.stderr.take().expect("standard error"));
    std::thread::spawn(move || err.lines().map_while(Result::ok).for_each(|line| _ = say.send(line)));
    let mut running = Running { address: SocketAddr::from(([127, 0, 0, 1], 0)), child, lines };
    let line = running.wait_for("listening for requests and metrics");
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("address=")).expect("an address");
    running.address = address.trim_matches('"').parse().expect("an address");
    running
}

impl Running {
    /// The next log line that holds `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("no {text:?} after {before:#?}"),
            }
        }
    }

    /// Asks again and again until the body is as `is` wants it.
    pub(crate) fn until(&self, path: &str, is: impl Fn(&str) -> bool) {
        let mut last = String::new();
        for _ in 0..PATIENCE.as_millis() / 100 {
            last = get(self.address, path).body;
            if is(&last) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{path} answers {last}");
    }

    /// Log lines that nobody has read yet.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.lines.try_iter()
    }

    /// Of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for its end, and returns the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Asked {
    request(address, "GET", path, &[], "")
}

pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Asked {
    let stream = TcpStream::connect(address).expect("it listens");
    exchange(stream, method, path, headers, body).expect("an answer")
}

/// Asks, and waits for the answer no longer than `patience`; returns the status and how long it took.
pub(crate) fn probe(address: SocketAddr, path: &str, patience: Duration) -> io::Result<(u16, Duration)> {
    let began = Instant::now();
    let stream = TcpStream::connect_timeout(&address, patience)?;
    // for each read: an answer is one packet
    stream.set_read_timeout(Some(patience))?;
    let status = exchange(stream, "GET", path, &[], "")?.status;
    Ok((status, began.elapsed()))
}

/// One request over TCP to a server that may not want it.
pub(crate) fn try_plain(address: SocketAddr) -> io::Result<Asked> {
    exchange(TcpStream::connect(address)?, "GET", "/-/healthy", &[], "")
}

fn exchange(mut stream: impl Read + Write, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Asked> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).map_err(io::Error::other)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no HTTP"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| io::Error::other("no status"))?;
    Ok(Asked { status, head: head.to_lowercase().replace("basic", "Basic"), body: body.to_owned() })
}

/// Where certificates for tests lie.
pub(crate) fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls")
}

/// One request over TLS, with a certificate of our own if `own`.
pub(crate) fn secure(address: SocketAddr, path: &str, own: bool) -> io::Result<Asked> {
    let file = |name: &str| certificates().join(name);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).expect("a certificate")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match own {
        false => builder.with_no_client_auth(),
        true => {
            let chain = vec![CertificateDer::from_pem_file(file("client.pem")).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_file(file("client.key")).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("they go together")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    exchange(StreamOwned::new(connection, TcpStream::connect(address)?), "GET", path, &[], "")
}

/// The value of a metric, which is named with its labels as they are written.
pub(crate) fn value(page: &str, name: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no {name} in\n{page}"))
}
