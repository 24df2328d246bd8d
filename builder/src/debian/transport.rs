//! Getting one file from a mirror: over HTTP, from a folder, or from the first of a list that
//! has it.

use super::error::TransportError;
use super::mirror::Base;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use ureq::ResponseExt;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest silence within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest list of mirrors read, in bytes.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// How often and how patiently a mirror is asked.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Wait before the second attempt; it doubles each time.
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            backoff: Duration::from_millis(300),
        }
    }
}

impl Retry {
    /// Runs `attempt` until it succeeds, fails for good, or has been tried often enough.
    /// `retrying` is told the number of the coming attempt and the reason.
    pub(crate) fn run<T, E>(
        &self,
        mut attempt: impl FnMut() -> Result<T, E>,
        is_passing: impl Fn(&E) -> bool,
        mut retrying: impl FnMut(u32, &E),
    ) -> Result<T, E> {
        let mut number = 1;
        loop {
            match attempt() {
                Err(error) if number < self.attempts && is_passing(&error) => {
                    number += 1;
                    retrying(number, &error);
                    std::thread::sleep(self.backoff * 2u32.saturating_pow((number - 2).min(8)));
                }
                outcome => return outcome,
            }
        }
    }
}

/// A file on its way.
pub(crate) struct Incoming {
    /// Its full address, for messages.
    pub(crate) address: String,
    /// Offset of the first byte that comes: what was asked for, or 0 from servers that cannot.
    pub(crate) offset: u64,
    /// How many bytes come, where the server says so.
    pub(crate) length: Option<u64>,
    /// The bytes.
    pub(crate) reader: Box<dyn Read + Send>,
}

/// A question that is more than the name of a file.
pub(crate) struct Question<'a> {
    /// Full address.
    pub(crate) address: &'a str,
    /// Headers besides those that every question has.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// What is sent along; redirections are not followed then.
    pub(crate) body: Option<&'a [u8]>,
}

/// What a server says to a [`Question`], whatever its status.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// The address that answered, after redirections.
    pub(crate) address: String,
    /// Kind of the content, without parameters.
    pub(crate) content_type: String,
    /// How the server wants to be told who asks.
    pub(crate) challenge: String,
    /// The content.
    pub(crate) reader: Box<dyn Read + Send>,
}

/// Speaks with mirrors; keeps connections open between files. Shared by threads.
pub(crate) struct Transport {
    agent: ureq::Agent,
    /// Sent with every question for a file, but to no other host that a server sends on to.
    authorization: Option<String>,
}

impl Transport {
    /// For `connections` files at once: each keeps its connection, so that names are looked up
    /// and secrets agreed on once and not for every file.
    pub(crate) fn new(connections: usize) -> Self {
        Self::with_patience(connections, READ_TIMEOUT)
    }

    /// The same with another longest silence within an answer.
    pub(crate) fn with_patience(connections: usize, silence: Duration) -> Self {
        // The proxy comes from the environment, as ureq reads it. Redirects are followed within
        // HTTP only: no other scheme is compiled in.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .max_redirects(5)
            .max_idle_connections(2 * connections)
            .max_idle_connections_per_host(connections)
            .tls_config(TlsConfig::builder().root_certs(trusted()).build())
            .user_agent(concat!("nos/", env!("CARGO_PKG_VERSION")))
            .build();
        let connector = DefaultConnector::default();
        Self {
            agent: ureq::Agent::with_parts(config, connector, OneLookup::default()),
            authorization: None,
        }
    }

    /// Says who asks, in the words of HTTP's header.
    pub(crate) fn authorize(&mut self, authorization: String) {
        self.authorization = Some(authorization);
    }

    /// Opens a file below a mirror's root, from `offset` on where that is possible.
    pub(crate) fn open(
        &self,
        base: &Base,
        path: &str,
        offset: u64,
    ) -> Result<Incoming, TransportError> {
        match base {
            Base::Http(root) => self.open_http(format!("{root}/{path}"), offset),
            Base::Folder(root) => open_local(&root.join(path), offset),
            Base::List(list) => {
                let mut last = TransportError::EmptyList { path: list.clone() };
                for base in read_list(list)? {
                    match self.open(&base, path, offset) {
                        Ok(incoming) => return Ok(incoming),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn open_http(&self, address: String, offset: u64) -> Result<Incoming, TransportError> {
        let mut request = self.agent.get(&address);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Err(no_answer(address, &error)),
        };
        let status = response.status().as_u16();
        let offset = match status {
            200 => 0,
            206 => {
                let range = response.headers().get("content-range");
                let start = range.and_then(|r| range_start(r.to_str().ok()?));
                if start != Some(offset) {
                    let reason = "it sent another range than asked for".to_owned();
                    return Err(TransportError::Broken { address, reason });
                }
                offset
            }
            // What is there already is as long as the file, or longer: begin again.
            416 if offset > 0 => return self.open_http(address, 0),
            404 | 410 => return Err(TransportError::NotFound { address }),
            status => return Err(TransportError::Status { address, status }),
        };
        let length = response.body().content_length();
        let body = response.into_body().into_with_config().limit(u64::MAX);
        Ok(Incoming {
            address,
            offset,
            length,
            reader: Box::new(body.reader()),
        })
    }

    /// Asks, and gives the answer whatever it is.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] and [`TransportError::Unusable`].
    pub(crate) fn ask(&self, question: &Question<'_>) -> Result<Answer, TransportError> {
        let address = question.address;
        let known = self.authorization.as_deref();
        let known = known.map(|value| ("Authorization", value));
        let headers = || question.headers.iter().copied().chain(known);
        let answer = match question.body {
            None => {
                let request = self.agent.get(address);
                let request = headers().fold(request, |r, (name, value)| r.header(name, value));
                request.call()
            }
            Some(body) => {
                let request = self.agent.post(address);
                let request = headers().fold(request, |r, (name, value)| r.header(name, value));
                request.config().max_redirects(0).build().send(body)
            }
        };
        let answer = answer.map_err(|error| no_answer(address.to_owned(), &error))?;
        let header = |name| {
            let value = answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let content_type = header("content-type");
        Ok(Answer {
            challenge: header("www-authenticate"),
            status: answer.status().as_u16(),
            address: answer.get_uri().to_string(),
            content_type: content_type
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .into(),
            reader: Box::new(
                answer
                    .into_body()
                    .into_with_config()
                    .limit(u64::MAX)
                    .reader(),
            ),
        })
    }

    /// Reads a whole small file.
    pub(crate) fn read(
        &self,
        base: &Base,
        path: &str,
        limit: u64,
    ) -> Result<Vec<u8>, TransportError> {
        let incoming = self.open(base, path, 0)?;
        let mut bytes = Vec::new();
        let mut reader = incoming.reader.take(limit.saturating_add(1));
        match reader.read_to_end(&mut bytes) {
            Ok(read) if read as u64 > limit => Err(TransportError::TooLarge {
                address: incoming.address,
                limit,
            }),
            Ok(_) => Ok(bytes),
            Err(error) => Err(TransportError::Broken {
                address: incoming.address,
                reason: error.to_string(),
            }),
        }
    }
}

/// What it means that there is no answer.
fn no_answer(address: String, error: &ureq::Error) -> TransportError {
    let reason = error.to_string();
    match error {
        // What the other side says of itself is data, and is refused as such.
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            let reason = error.to_string();
            match reason.contains("certificate") {
                true => TransportError::Untrusted { address, reason },
                false => TransportError::Unusable { address, reason },
            }
        }
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::RedirectFailed
        | ureq::Error::TooManyRedirects
        | ureq::Error::InvalidProxyUrl
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_) => TransportError::Unusable { address, reason },
        _ => TransportError::Unreachable { address, reason },
    }
}

/// Where distributions keep the authorities that this machine trusts.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The file that [`trust_only`] named.
static ONLY: OnceLock<PathBuf> = OnceLock::new();

/// Makes the certificates of a file (PEM) the only authorities that servers are trusted by, for all
/// that this process fetches from now on: to be called before anything is. A file that cannot be
/// read has none.
pub fn trust_only(authorities: PathBuf) {
    // The first to say it counts.
    let _ = ONLY.set(authorities);
}

/// The authorities that this machine trusts, and those that travel with the program where it says
/// nothing. Not a matter of results: digests and signatures say what is fetched.
fn trusted() -> RootCerts {
    static KNOWN: OnceLock<RootCerts> = OnceLock::new();
    let read = || {
        let text = match ONLY.get() {
            Some(path) => std::fs::read(path).unwrap_or_default(),
            None => AUTHORITIES
                .iter()
                .find_map(|path| std::fs::read(path).ok())?,
        };
        let found = parse_pem(&text).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        let found: Vec<_> = found.collect();
        let is_said = ONLY.get().is_some() || !found.is_empty();
        is_said.then(|| RootCerts::new_with_certs(&found))
    };
    KNOWN
        .get_or_init(|| read().unwrap_or(RootCerts::WebPki))
        .clone()
}

/// Looks each host up once. ureq alone would do it for every request, even on a connection that
/// is open already, and many name servers drop what comes so fast.
#[derive(Debug, Default)]
struct OneLookup {
    resolver: DefaultResolver,
    known: Mutex<BTreeMap<String, Vec<SocketAddr>>>,
}

impl Resolver for OneLookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = format!("{:?} {:?}", uri.scheme_str(), uri.authority());
        // Held while looking up: those who wait for the same host find it known.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(addresses) = known.get(&host) {
            let mut found = self.empty();
            addresses.iter().for_each(|address| found.push(*address));
            return Ok(found);
        }
        let found = self.resolver.resolve(uri, config, timeout)?;
        known.insert(host, found.iter().copied().collect());
        Ok(found)
    }
}

/// `bytes 100-199/200` → 100.
fn range_start(value: &str) -> Option<u64> {
    let (start, _) = value.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}

fn open_local(path: &Path, offset: u64) -> Result<Incoming, TransportError> {
    let address = path.display().to_string();
    let mut file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => TransportError::NotFound {
            address: address.clone(),
        },
        _ => TransportError::Local {
            path: path.to_owned(),
            source,
        },
    })?;
    let local = |source| TransportError::Local {
        path: path.to_owned(),
        source,
    };
    let length = file.metadata().map_err(local)?.len();
    let offset = if offset <= length { offset } else { 0 };
    file.seek(SeekFrom::Start(offset)).map_err(local)?;
    Ok(Incoming {
        address,
        offset,
        length: Some(length - offset),
        reader: Box::new(file),
    })
}

/// The mirrors of a list: one address a line, `#` comments, anything after a blank is apt's own
/// ranking and not looked at.
fn read_list(path: &Path) -> Result<Vec<Base>, TransportError> {
    let local = |source| TransportError::Local {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(local)?;
    let mut limited = file.take(MAX_LIST_BYTES);
    limited.read_to_string(&mut text).map_err(local)?;
    let addresses = text
        .lines()
        .filter_map(|line| line.split('#').next()?.split_ascii_whitespace().next());
    let bases = addresses.filter_map(Base::parse);
    Ok(bases
        .filter(|base| !matches!(base, Base::List(_)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_failures_are_retried_and_others_are_not() {
        let retry = Retry {
            attempts: 3,
            backoff: Duration::ZERO,
        };
        for (passing, want) in [(true, 3), (false, 1)] {
            let mut calls = 0;
            let mut told = Vec::new();
            let outcome: Result<(), &str> = retry.run(
                || {
                    calls += 1;
                    Err("no")
                },
                |_| passing,
                |number, _| told.push(number),
            );
            assert_eq!((outcome, calls), (Err("no"), want));
            assert_eq!(told.len(), want - 1);
        }
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(range_start("bytes 100-199/200"), Some(100));
        assert_eq!(range_start("bytes */200"), None);
        assert_eq!(range_start(""), None);
    }

    #[test]
    fn a_list_gives_the_first_mirror_that_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (empty, full) = (folder.path().join("empty"), folder.path().join("full"));
        std::fs::create_dir_all(&empty).unwrap();
        std::fs::create_dir_all(&full).unwrap();
        std::fs::write(full.join("file"), "content").unwrap();
        let list = folder.path().join("debian.list");
        let text = format!(
            "# ours\n{}\tpriority:1\nfile:{}\n",
            empty.display(),
            full.display()
        );
        std::fs::write(&list, text).unwrap();
        let transport = Transport::new(1);
        let bytes = transport
            .read(&Base::List(list.clone()), "file", 100)
            .unwrap();
        assert_eq!(bytes, b"content");
        let error = transport
            .read(&Base::List(list), "missing", 100)
            .unwrap_err();
        assert!(matches!(error, TransportError::NotFound { .. }));
        let error = transport.read(&Base::Folder(full), "file", 3).unwrap_err();
        assert!(matches!(error, TransportError::TooLarge { .. }));
    }
}
