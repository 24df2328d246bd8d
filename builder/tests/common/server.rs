//! A server on the loopback address that says whatever a test wants it to say.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(named)
            .map(|(_, value)| value.as_str())
    }

    /// The first byte of the range that is asked for.
    pub(crate) fn range(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body after which the connection ends.
    pub(crate) cut: Option<usize>,
    /// Whether the connection stays open after that, in silence, until whoever asked goes away.
    pub(crate) hangs: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            hangs: false,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The part of a file that is asked for.
    pub(crate) fn part(request: &Request, bytes: &[u8]) -> Self {
        let total = bytes.len();
        match request.range() {
            None => Self::new(200, bytes),
            Some(start) if start < total => Self::new(206, &bytes[start..]).with(
                "Content-Range",
                format!("bytes {start}-{}/{total}", total - 1),
            ),
            Some(_) => Self::new(416, ""),
        }
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    log: Mutex<Vec<Request>>,
    stop: AtomicBool,
}

/// Runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    is_secret: bool,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(handler, None)
    }

    /// Speaks HTTPS, with a certificate that only the authority of these tests has signed.
    pub(crate) fn start_tls(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem"));
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem"));
        let provider = rustls::crypto::ring::default_provider();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.unwrap()], key.unwrap());
        Self::serve(handler, Some(Arc::new(config.unwrap())))
    }

    fn serve(
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            log: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let is_secret = tls.is_some();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::Relaxed) {
                    break;
                }
                let (serving, tls) = (Arc::clone(&serving), tls.clone());
                // Who asks may be gone already: that is what some tests are about.
                std::thread::spawn(move || match (stream, tls) {
                    (Ok(stream), None) => answer(&serving, stream),
                    (Ok(stream), Some(tls)) => {
                        let tls = rustls::ServerConnection::new(tls).unwrap();
                        answer(&serving, rustls::StreamOwned::new(tls, stream))
                    }
                    (Err(error), _) => Err(error),
                });
            }
        });
        Self {
            address,
            shared,
            is_secret,
            thread: Some(thread),
        }
    }

    /// The address of a path on it.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.is_secret { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// What was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Answers one request and closes.
fn answer(shared: &Shared, stream: impl Read + Write) -> std::io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        request.headers.push((name.into(), value.trim().into()));
    }
    if let Some(length) = request.header("content-length") {
        request.body = vec![0; length.parse().unwrap()];
        input.read_exact(&mut request.body)?;
    }
    shared.log.lock().unwrap().push(request.clone());
    let reply = (shared.handler)(&request);
    let stream = input.get_mut();
    write!(stream, "HTTP/1.1 {} Said\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    let length = reply.body.len();
    let says_length = |(name, _): &(String, String)| name == "Content-Length";
    if !reply.headers.iter().any(says_length) {
        write!(stream, "Content-Length: {length}\r\n")?;
    }
    write!(stream, "Connection: close\r\n\r\n")?;
    stream.write_all(&reply.body[..reply.cut.unwrap_or(length).min(length)])?;
    stream.flush()?;
    if reply.hangs {
        // Ends when the other side closes.
        std::io::copy(&mut input, &mut std::io::sink())?;
    }
    Ok(())
}
