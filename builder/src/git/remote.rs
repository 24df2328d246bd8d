//! Asking a server for one commit: git's smart protocol over HTTP (gitprotocol-http), version 2 and,
//! for servers that know nothing newer, version 0.

use super::error::GitError;
use super::id::Id;
use super::pktline::{self, DELIMITER, FLUSH, Packet, Packets, Trouble};
use crate::debian::{Question, Transport};
use std::fs::File;
use std::io::{BufReader, Read, Write};

/// Longest list of branches and tags read, in packets.
const MAX_REFS: usize = 1 << 20;

/// Most branches and tags that are asked for at once.
const MAX_WANTS: usize = 1 << 16;

/// Largest pack, in bytes.
const MAX_PACK_BYTES: u64 = 8 << 30;

const SERVICE: &str = "/info/refs?service=git-upload-pack";

/// What a server said of itself.
struct Greeting {
    /// Its address, after redirections.
    address: String,
    /// What it can do, one a line of version 2, or the words of version 0.
    capabilities: Vec<String>,
    /// The commits of branches and tags, in version 0.
    refs: Option<Vec<Id>>,
}

impl Greeting {
    /// What comes behind `name` and `=`; empty where only the name is there.
    fn capability(&self, name: &str) -> Option<&str> {
        self.capabilities.iter().find_map(|capability| {
            let rest = capability.strip_prefix(name)?;
            match rest.strip_prefix('=') {
                Some(value) => Some(value),
                None => rest.is_empty().then_some(""),
            }
        })
    }
}

/// Where a pack comes from and who hears of it.
pub(super) struct Remote<'a> {
    pub(super) transport: &'a Transport,
    /// Address of the repository, without `/` at its end.
    pub(super) address: &'a str,
    /// Told how many bytes there are so far.
    pub(super) progress: &'a dyn Fn(u64),
}

impl Remote<'_> {
    /// Writes a pack with `commit` and all that its files need into `spool`.
    ///
    /// # Errors
    /// [`GitError`].
    pub(super) fn pack(&self, commit: Id, spool: &mut File) -> Result<(), GitError> {
        let greeting = self.greet()?;
        let format = greeting.capability("object-format").unwrap_or("sha1");
        if format != "sha1" {
            return Err(GitError::Sha256 {
                address: self.address.into(),
            });
        }
        let body = match &greeting.refs {
            None => modern(&greeting, commit),
            Some(refs) => self.classic(&greeting, refs, commit)?,
        };
        let mut headers = vec![
            ("Content-Type", "application/x-git-upload-pack-request"),
            ("Accept", "application/x-git-upload-pack-result"),
        ];
        if greeting.refs.is_none() {
            headers.push(("Git-Protocol", "version=2"));
        }
        let address = format!("{}/git-upload-pack", greeting.address);
        let answer = self.transport.ask(&Question {
            address: &address,
            headers: &headers,
            body: Some(&body),
        });
        let answer = answer.map_err(GitError::of_transport)?;
        self.look_at(answer.status)?;
        let mut packets = Packets::new(BufReader::with_capacity(1 << 16, answer.reader));
        self.take(&mut packets, commit, spool)
    }

    /// Asks what the server can do.
    fn greet(&self) -> Result<Greeting, GitError> {
        let answer = self.transport.ask(&Question {
            address: &format!("{}{SERVICE}", self.address),
            headers: &[("Git-Protocol", "version=2")],
            body: None,
        });
        let answer = answer.map_err(GitError::of_transport)?;
        self.look_at(answer.status)?;
        if answer.content_type != "application/x-git-upload-pack-advertisement" {
            let reason = format!("it answers with {:?}", answer.content_type);
            return Err(self.no_repository(reason));
        }
        let Some(address) = answer.address.strip_suffix(SERVICE) else {
            let reason = format!("it sends on to {}", answer.address);
            return Err(self.no_repository(reason));
        };
        let mut packets = Packets::new(BufReader::new(answer.reader));
        let mut greeting = Greeting {
            address: address.to_owned(),
            capabilities: Vec::new(),
            refs: None,
        };
        let (mut lines, mut is_modern) = (0, false);
        loop {
            let packet = packets.next().map_err(|trouble| self.wire(trouble))?;
            let Packet::Data(line) = packet else {
                // The first part of version 0 and 1 only names the service.
                if lines == 0 && packet == Packet::Flush {
                    lines = 1;
                    continue;
                }
                break;
            };
            let line = pktline::text(line);
            if line.starts_with(b"# service=") {
                continue;
            }
            lines += 1;
            if lines > MAX_REFS {
                return Err(self.protocol("its list of branches has no end"));
            }
            if let Some(reason) = line.strip_prefix(b"ERR ") {
                return Err(self.refused(reason));
            }
            let text = String::from_utf8_lossy(line);
            match text.as_ref() {
                "version 2" => is_modern = true,
                "version 1" => {}
                capability if is_modern => greeting.capabilities.push(capability.to_owned()),
                line => self.advertised(line, &mut greeting)?,
            }
        }
        if !is_modern && greeting.refs.is_none() {
            return Err(self.no_repository("it says nothing of itself".into()));
        }
        Ok(greeting)
    }

    /// A line of version 0: an object's name and what it is called; behind the first of them, what
    /// the server can do.
    fn advertised(&self, line: &str, greeting: &mut Greeting) -> Result<(), GitError> {
        let (line, capabilities) = line.split_once('\0').unwrap_or((line, ""));
        let words = capabilities.split(' ').filter(|word| !word.is_empty());
        greeting.capabilities.extend(words.map(str::to_owned));
        let refs = greeting.refs.get_or_insert_default();
        let (id, name) = line.split_once(' ').unwrap_or((line, ""));
        let counts =
            name == "HEAD" || name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
        match id.parse() {
            Ok(id) if counts => refs.push(id),
            Ok(_) => {}
            // Names of SHA-256 are longer; that is said of the whole repository.
            Err(()) if id.len() == 64 => greeting.capabilities.push("object-format=sha256".into()),
            Err(()) if id == "shallow" => {}
            Err(()) => return Err(self.protocol(&format!("{line:?} among its branches"))),
        }
        Ok(())
    }

    /// The question of version 0. Such servers give what a branch or tag stands for; for any other
    /// commit everything must come, and the commit is looked for in that.
    fn classic(&self, greeting: &Greeting, refs: &[Id], commit: Id) -> Result<Vec<u8>, GitError> {
        if greeting.capability("side-band-64k").is_none() {
            return Err(self.protocol("it is too old to speak with"));
        }
        let any = ["allow-reachable-sha1-in-want", "allow-any-sha1-in-want"];
        let gives = refs.contains(&commit) || any.iter().any(|c| greeting.capability(c).is_some());
        let mut wants = match gives {
            true => vec![commit],
            false => refs.to_vec(),
        };
        wants.sort_unstable();
        wants.dedup();
        if wants.is_empty() || wants.len() > MAX_WANTS {
            return Err(GitError::NoCommit {
                address: self.address.into(),
                commit,
            });
        }
        let wanted = ["side-band-64k", "ofs-delta", "no-progress"];
        let known = wanted.iter().filter(|c| greeting.capability(c).is_some());
        let mut words: String = known.map(|c| format!(" {c}")).collect();
        let mut body = Vec::new();
        for want in wants {
            pktline::line(&mut body, &format!("want {want}{words}"));
            words.clear();
        }
        if gives && greeting.capability("shallow").is_some() {
            pktline::line(&mut body, "deepen 1");
        }
        body.extend_from_slice(FLUSH);
        pktline::line(&mut body, "done");
        Ok(body)
    }

    /// Reads the answer up to its pack, and the pack.
    fn take(
        &self,
        packets: &mut Packets<impl Read>,
        commit: Id,
        spool: &mut File,
    ) -> Result<(), GitError> {
        let mut bytes = 0u64;
        let mut lines = 0;
        loop {
            let packet = packets.next().map_err(|trouble| self.wire(trouble))?;
            let data = match packet {
                Packet::Data(data) => data,
                Packet::Flush | Packet::End if bytes > 0 => return Ok(()),
                _ => &[],
            };
            match data.split_first() {
                Some((1, piece)) => {
                    bytes += piece.len() as u64;
                    if bytes > MAX_PACK_BYTES {
                        return Err(GitError::TooLarge {
                            what: "the repository",
                            limit: format!("{} GiB", MAX_PACK_BYTES >> 30),
                        });
                    }
                    spool.write_all(piece).map_err(GitError::Scratch)?;
                    (self.progress)(bytes);
                }
                Some((2, _)) => {}
                Some((3, reason)) => return Err(self.refused(reason)),
                _ => {
                    if let Some(reason) = data.strip_prefix(b"ERR ") {
                        let text = String::from_utf8_lossy(reason);
                        return Err(match text.contains("not our ref") {
                            true => GitError::NoCommit {
                                address: self.address.into(),
                                commit,
                            },
                            false => self.refused(reason),
                        });
                    }
                    // What comes before: sections' names, where history was cut, NAK.
                    lines += 1;
                    if lines > MAX_REFS {
                        return Err(self.protocol("it does not come to the point"));
                    }
                }
            }
        }
    }

    fn look_at(&self, status: u16) -> Result<(), GitError> {
        match status {
            200 => Ok(()),
            401 | 403 => Err(GitError::Closed {
                address: self.address.into(),
            }),
            404 | 410 => Err(self.no_repository("there is nothing".into())),
            500.. => Err(GitError::Network {
                address: self.address.into(),
                reason: format!("failed with HTTP status {status}"),
            }),
            status => Err(self.no_repository(format!("it answers with HTTP status {status}"))),
        }
    }

    fn wire(&self, trouble: Trouble) -> GitError {
        match trouble {
            Trouble::Io(error) => GitError::Network {
                address: self.address.into(),
                reason: format!("broke off: {error}"),
            },
            Trouble::NoPacket(reason) => self.protocol(&reason),
        }
    }

    fn no_repository(&self, reason: String) -> GitError {
        GitError::NotARepository {
            address: self.address.into(),
            reason,
        }
    }

    fn protocol(&self, reason: &str) -> GitError {
        GitError::Protocol {
            address: self.address.into(),
            reason: reason.into(),
        }
    }

    /// The server's own words, without what would do something to a terminal.
    fn refused(&self, reason: &[u8]) -> GitError {
        let text = String::from_utf8_lossy(pktline::text(reason));
        let shown = text.chars().filter(|c| !c.is_control()).take(500);
        GitError::Refused {
            address: self.address.into(),
            reason: shown.collect(),
        }
    }
}

/// The question of version 2. Its servers give any commit that they have.
fn modern(greeting: &Greeting, commit: Id) -> Vec<u8> {
    let mut body = Vec::new();
    pktline::line(&mut body, "command=fetch");
    if greeting.capability("agent").is_some() {
        let agent = concat!("agent=nos/", env!("CARGO_PKG_VERSION"));
        pktline::line(&mut body, agent);
    }
    if greeting.capability("object-format").is_some() {
        pktline::line(&mut body, "object-format=sha1");
    }
    body.extend_from_slice(DELIMITER);
    pktline::line(&mut body, "no-progress");
    pktline::line(&mut body, "ofs-delta");
    let fetch = greeting.capability("fetch").unwrap_or_default();
    if fetch.split(' ').any(|feature| feature == "shallow") {
        pktline::line(&mut body, "deepen 1");
    }
    pktline::line(&mut body, &format!("want {commit}"));
    pktline::line(&mut body, "done");
    body.extend_from_slice(FLUSH);
    body
}
