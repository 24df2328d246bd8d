//! Bringing the suites' indexes: signed, current, complete, and then short.

use super::download::{self, Failure, Wanted};
use super::environment::{ARCHITECTURE, Environment};
use super::error::{DebianError, ReleaseError, TransportError};
use super::mirror::{Base, Mirror};
use super::progress::Event;
use super::release::{Compression, IndexFile, MAX_INDEX_BYTES, Release, SOURCES_PATH};
use super::transport::Transport;
use super::{date, index, sources};
use nos_specs::lock::{Lock, SuitePin};
use nos_store::{ActionKey, ActionResult, Digest, KeyBuilder, Output};
use std::io::Read;

/// Largest `InRelease` accepted, in bytes; Debian's are some 150 kB.
const MAX_RELEASE_BYTES: u64 = 16 << 20;

/// Fact under which the newest date of a suite is kept.
const DATE_FACT: &str = "date";

/// One suite, verified.
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) pin: SuitePin,
    /// Its packages, as [`index::condense`] gives them.
    pub(crate) packages: String,
    /// Its sources, as [`sources::condense`] gives them; empty where nobody asks for them.
    pub(crate) sources: String,
}

/// The suites that together serve one release: the release itself, its updates and its security
/// updates. Rolling ones stand alone.
pub(crate) fn suites_of(release: &str) -> Vec<String> {
    match release {
        "sid" | "unstable" | "experimental" => vec![release.to_owned()],
        _ => ["", "-updates", "-security"]
            .map(|ending| format!("{release}{ending}"))
            .to_vec(),
    }
}

/// Fetches and verifies all suites of a release, side by side. None may be older than what the
/// lock or the store has seen of it. Indexes of sources are large, and fetched only where
/// `with_sources`.
pub(crate) fn load(
    env: &Environment<'_>,
    release: &str,
    old: Option<&Lock>,
    with_sources: bool,
) -> Result<Vec<Suite>, DebianError> {
    let mirror = mirror(env, release)?;
    let transport = Transport::new(env.connections);
    let loader = Loader {
        env,
        mirror,
        transport: &transport,
    };
    let names = suites_of(release);
    let loaded: Vec<_> = std::thread::scope(|scope| {
        let start = |name: &String| {
            let (name, loader) = (name.clone(), &loader);
            scope.spawn(move || {
                let seen = old.and_then(|lock| lock.suites.get(&name));
                loader.suite(&name, seen, with_sources)
            })
        };
        let threads: Vec<_> = names.iter().map(start).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    });
    let loaded: Vec<Loaded> = loaded.into_iter().collect::<Result<_, DebianError>>()?;
    let results: Vec<_> = loaded
        .iter()
        .flat_map(|l| l.results.iter().cloned())
        .collect();
    env.store.put_results(&results)?;
    Ok(loaded.into_iter().map(|l| l.suite).collect())
}

/// Asks the mirror for the signed index of a release and judges it, which is what every lock
/// begins with. Keeps nothing.
///
/// # Errors
/// As [`super::lock`], for that part.
pub fn probe(env: &Environment<'_>, release: &str) -> Result<(), DebianError> {
    let mirror = mirror(env, release)?;
    let transport = Transport::new(env.connections);
    let loader = Loader {
        env,
        mirror,
        transport: &transport,
    };
    loader
        .release(mirror.base(release), release, None)
        .map(drop)
}

fn mirror<'e>(env: &Environment<'e>, release: &str) -> Result<&'e Mirror, DebianError> {
    env.mirror.clone().map_err(|reason| DebianError::NoMirror {
        reason,
        needed: vec![format!("today's package index of {release}")],
    })
}

/// What an index lists.
struct Kind {
    /// In a person's words.
    item: &'static str,
    /// Under which the store keeps its short form. A change of that must change this word.
    key: &'static str,
    condense: fn(&str) -> String,
}

const PACKAGES: Kind = Kind {
    item: "packages",
    key: "debian-index/1",
    condense: index::condense,
};

const SOURCES: Kind = Kind {
    item: "sources",
    key: "debian-sources/1",
    condense: sources::condense,
};

/// A suite and what the store should remember of it.
struct Loaded {
    suite: Suite,
    results: Vec<(ActionKey, ActionResult)>,
}

struct Loader<'a> {
    env: &'a Environment<'a>,
    mirror: &'a Mirror,
    transport: &'a Transport,
}

impl Loader<'_> {
    fn suite(
        &self,
        name: &str,
        locked: Option<&SuitePin>,
        with_sources: bool,
    ) -> Result<Loaded, DebianError> {
        let base = self.mirror.base(name);
        let (text, release) = self.release(base, name, locked)?;
        let mut results = Vec::new();
        let mut list = |kind: &Kind, file: &IndexFile| {
            self.list(base, name, kind, file, release.by_hash, &mut results)
        };
        let packages = list(&PACKAGES, &release.packages)?;
        let sources = match (with_sources, &release.sources) {
            (false, _) => String::new(),
            (true, Some(file)) => list(&SOURCES, file)?,
            (true, None) => {
                return Err(DebianError::Release {
                    suite: name.to_owned(),
                    mirror: base.to_string(),
                    reason: ReleaseError::NoIndex(SOURCES_PATH.to_owned()),
                });
            }
        };
        let date = date::rfc3339(release.date);
        let mut seen = ActionResult::default();
        seen.facts.insert(DATE_FACT.to_owned(), date.clone());
        results.push((newest_key(name), seen));
        Ok(Loaded {
            suite: Suite {
                name: name.to_owned(),
                pin: SuitePin {
                    date,
                    sha256: Digest::of(text.as_bytes()).to_string(),
                },
                packages,
                sources,
            },
            results,
        })
    }

    /// The signed text of a suite's release and what it says, both judged.
    fn release(
        &self,
        base: &Base,
        name: &str,
        locked: Option<&SuitePin>,
    ) -> Result<(String, Release), DebianError> {
        let text = self.signed_text(base, name)?;
        let refused = |reason| DebianError::Release {
            suite: name.to_owned(),
            mirror: base.to_string(),
            reason,
        };
        let release = Release::parse(&text, name, ARCHITECTURE).map_err(refused)?;
        self.judge(&release, &newest_key(name), locked)
            .map_err(|e| match e {
                Judged::Refused(reason) => refused(reason),
                Judged::Failed(error) => error,
            })?;
        Ok((text, release))
    }

    /// The text of a suite's `InRelease`, its signature verified.
    fn signed_text(&self, base: &Base, name: &str) -> Result<String, DebianError> {
        let item = format!("InRelease of {name}");
        let path = format!("dists/{name}/InRelease");
        self.started(&item, None);
        let bytes = self.env.retry.run(
            || self.transport.read(base, &path, MAX_RELEASE_BYTES),
            TransportError::is_passing,
            |attempt, error| {
                let (item, reason) = (item.as_str(), error.to_string());
                self.env.progress.event(Event::Retrying {
                    item,
                    attempt,
                    reason: &reason,
                });
            },
        );
        let bytes = bytes.map_err(|e| no_network(e, base, || vec![item.clone()]))?;
        let message = String::from_utf8_lossy(&bytes);
        let text = self.env.trust.verify(&message, self.env.now);
        let text = text.map_err(|reason| DebianError::Signature {
            suite: name.to_owned(),
            mirror: base.to_string(),
            reason,
        })?;
        self.env.progress.event(Event::Finished { item: &item });
        Ok(text)
    }

    /// Checks a release's times against the present, the lock and the store.
    fn judge(
        &self,
        release: &Release,
        newest: &ActionKey,
        locked: Option<&SuitePin>,
    ) -> Result<(), Judged> {
        let env = self.env;
        let stale = |outcome: Result<(), ReleaseError>| match outcome {
            Err(error @ (ReleaseError::Expired { .. } | ReleaseError::Downgrade { .. }))
                if env.accept_stale =>
            {
                let text = error.to_string();
                env.progress.event(Event::Warning { text: &text });
                Ok(())
            }
            other => other.map_err(Judged::Refused),
        };
        stale(release.check_time(env.now))?;
        if let Some(pin) = locked {
            let seen = date::parse_rfc3339(&pin.date).ok_or_else(|| {
                Judged::Failed(DebianError::BadLock {
                    reason: format!("the date {:?} of a suite is not RFC 3339 in UTC", pin.date),
                })
            })?;
            stale(release.check_newer(seen, "nos.lock"))?;
        }
        let seen = env
            .store
            .result(newest)
            .map_err(|e| Judged::Failed(e.into()))?;
        let seen = seen.and_then(|result| date::parse_rfc3339(result.facts.get(DATE_FACT)?));
        match seen {
            Some(seen) => stale(release.check_newer(seen, "the store")),
            None => Ok(()),
        }
    }

    /// An index in short form: from the store, or fetched, verified and shortened.
    fn list(
        &self,
        base: &Base,
        suite: &str,
        kind: &Kind,
        file: &IndexFile,
        by_hash: bool,
        results: &mut Vec<(ActionKey, ActionResult)>,
    ) -> Result<String, DebianError> {
        let store = self.env.store;
        let key = KeyBuilder::new(kind.key)
            .digest("packages", &file.compressed.digest)
            .finish();
        let known = store
            .result(&key)?
            .and_then(|result| result.object("condensed"));
        // Damaged or foreign bytes are no reason to stop: the index can be had again.
        if let Some(blob) = known
            && let Ok(bytes) = store.read_object(&blob.digest)
            && let Ok(text) = String::from_utf8(bytes)
        {
            return Ok(text);
        }
        let item = format!("{} of {suite}", kind.item);
        let plain_path = format!("dists/{suite}/{}", file.path);
        let mut paths = vec![plain_path.clone()];
        if by_hash {
            paths.insert(0, format!("dists/{suite}/{}", file.by_hash_path()));
        }
        let wanted = Wanted {
            item: &item,
            paths: &paths,
            digest: file.compressed.digest,
            size: file.compressed.size,
        };
        let wrong = |reason| DebianError::WrongIndex {
            suite: suite.to_owned(),
            path: plain_path.clone(),
            reason,
        };
        match download::fetch(self.env, self.transport, base, &wanted) {
            Ok(()) => {}
            Err(Failure::Store(error)) => return Err(error.into()),
            Err(Failure::Mismatch { reason, .. }) => return Err(wrong(reason)),
            Err(Failure::Transport(e)) => return Err(no_network(e, base, || vec![item.clone()])),
        }
        let bytes = store.read_object(&file.compressed.digest)?;
        let text = decompress(file, &bytes).map_err(wrong)?;
        let condensed = (kind.condense)(&text);
        let digest = store.add_bytes(condensed.as_bytes())?;
        let blob = nos_store::Blob {
            digest,
            size: condensed.len() as u64,
        };
        let result = ActionResult::with_output("condensed", Output::Object(blob));
        results.push((key, result));
        Ok(condensed)
    }

    fn started(&self, item: &str, total_bytes: Option<u64>) {
        self.env.progress.event(Event::Started {
            item,
            done_bytes: 0,
            total_bytes,
        });
    }
}

enum Judged {
    Refused(ReleaseError),
    Failed(DebianError),
}

fn newest_key(suite: &str) -> ActionKey {
    KeyBuilder::new("debian-newest-release/1")
        .text("suite", suite)
        .finish()
}

/// Turns "nobody answers" into the error that lists what was needed.
pub(crate) fn no_network(
    error: TransportError,
    base: &Base,
    needed: impl FnOnce() -> Vec<String>,
) -> DebianError {
    match error {
        TransportError::Unreachable { reason, .. } => DebianError::NoNetwork {
            mirror: base.to_string(),
            reason,
            needed: needed(),
        },
        other => other.into(),
    }
}

/// Decompresses an index whose compressed form was verified, to no more than its listed size.
fn decompress(file: &IndexFile, bytes: &[u8]) -> Result<String, String> {
    let limit = file.plain.map_or(MAX_INDEX_BYTES, |plain| plain.size);
    let mut reader: Box<dyn Read> = match file.compression {
        Compression::Xz => Box::new(liblzma::read::XzDecoder::new(bytes)),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Compression::None => Box::new(bytes),
    };
    let mut plain = Vec::new();
    let mut limited = reader.by_ref().take(limit.saturating_add(1));
    limited
        .read_to_end(&mut plain)
        .map_err(|error| format!("it cannot be decompressed: {error}"))?;
    if plain.len() as u64 > limit {
        return Err(format!("it is longer than {limit} bytes when decompressed"));
    }
    if let Some(listed) = file.plain
        && (plain.len() as u64 != listed.size || Digest::of(&plain) != listed.digest)
    {
        return Err("what it decompresses to is not what the Release names".to_owned());
    }
    String::from_utf8(plain).map_err(|error| format!("it is not UTF-8: {error}"))
}
