//! A tiny HTTP server on the loopback address that can misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How an answer goes wrong.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// The connection breaks after so many bytes of the body.
    CutAfter(usize),
    /// A status and no body.
    Status(u16),
    /// The whole file, whatever range was asked for.
    NoRange,
    /// A redirection to `file:`.
    ToLocalFile,
}

struct Shared {
    root: PathBuf,
    /// Ending of a path → fault of the next request for it.
    faults: Mutex<Vec<(String, Fault)>>,
    log: Mutex<Vec<String>>,
    stop: AtomicBool,
}

pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            faults: Mutex::default(),
            log: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::Relaxed) {
                    break;
                }
                if let Ok(stream) = stream {
                    let serving = Arc::clone(&serving);
                    std::thread::spawn(move || answer(&serving, stream));
                }
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request for a path that ends so goes wrong; faults of one path in turn.
    pub(crate) fn fail(&self, ending: &str, fault: Fault) {
        self.shared
            .faults
            .lock()
            .unwrap()
            .push((ending.to_owned(), fault));
    }

    /// `path` or `path from-byte` of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request and closes.
fn answer(shared: &Shared, mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    let path = request
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();
    let mut from = None;
    for line in lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        let line = line.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let entry = from.map_or(path.clone(), |from| format!("{path} {from}"));
    shared.log.lock().unwrap().push(entry);
    let fault = {
        let mut faults = shared.faults.lock().unwrap();
        let at = faults
            .iter()
            .position(|(ending, _)| path.ends_with(ending.as_str()));
        at.map(|at| faults.remove(at).1)
    };
    let _ = respond(shared, &mut stream, &path, from, fault);
}

fn respond(
    shared: &Shared,
    stream: &mut TcpStream,
    path: &str,
    from: Option<usize>,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let from = if matches!(fault, Some(Fault::NoRange)) {
        None
    } else {
        from
    };
    match fault {
        Some(Fault::Status(status)) => {
            return write!(
                stream,
                "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Some(Fault::ToLocalFile) => {
            return write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        _ => {}
    }
    let Ok(bytes) = std::fs::read(shared.root.join(path)) else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let total = bytes.len();
    let start = from.unwrap_or(0);
    if start > total {
        return write!(
            stream,
            "HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let body = &bytes[start..];
    if from.is_some() {
        let last = total.saturating_sub(1);
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}\r\n"
        )?;
    } else {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
    }
    write!(
        stream,
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    let sent = match fault {
        Some(Fault::CutAfter(bytes)) => bytes.min(body.len()),
        _ => body.len(),
    };
    stream.write_all(&body[..sent])
}
