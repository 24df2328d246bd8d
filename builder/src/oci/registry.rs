//! Images in registries, by the OCI distribution specification 1.1: what a digest names comes, and
//! whatever comes must have that digest, so the registry is not trusted with anything.

use super::{Descriptor, Document, MAX_DEPTH, MAX_JSON_BYTES, MAX_LAYERS, choose};
use crate::debian::{Answer, Question, Transport};
use crate::error::BuildError;
use crate::fetch;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{ActionResult, Blob, Digest, Output};
use std::io::Read;

/// The kinds of descriptions that are understood: of OCI, and those that docker had before.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
                        application/vnd.oci.image.manifest.v1+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json, \
                        application/vnd.docker.distribution.manifest.v2+json";

/// Fetches an image; see [`crate::work::Work::Pull`].
///
/// # Errors
/// [`BuildError::Fetch`] with what the registry said or sent.
pub(crate) fn pull(
    builder: &Builder<'_>,
    url: &str,
    sha256: &str,
) -> Result<ActionResult, BuildError> {
    let top = digest_of(url, sha256)?;
    let mut registry = Registry::of(builder, url);
    if builder.options.offline {
        let reason = "it is not in the store, and --offline was asked for; leave that out once";
        return Err(registry.failed(reason));
    }
    let mut files = Tree::new();
    let mut next = top;
    for _ in 0..MAX_DEPTH {
        let (blob, document) = registry.description(&next)?;
        place(&mut files, &format!("blobs/sha256/{next}"), blob)?;
        if document.manifests.is_empty() {
            for blob in registry.layers(&document)? {
                place(&mut files, &format!("blobs/sha256/{}", blob.digest), blob)?;
            }
            let index = format!("{{\"manifests\":[{{\"digest\":\"sha256:{top}\"}}]}}");
            let blob = builder.store.add_reader(&mut index.as_bytes())?;
            place(&mut files, "index.json", blob)?;
            let digest = builder.store.add_tree(&files)?;
            return Ok(ActionResult::with_output("tree", Output::Tree(digest)));
        }
        let chosen = choose(&document.manifests).map_err(|reason| registry.failed(reason))?;
        next = registry.digest(chosen)?;
    }
    Err(registry.failed("its indexes lie too deep in each other; name one image alone"))
}

/// The digest that an image must have.
pub(crate) fn digest_of(url: &str, sha256: &str) -> Result<Digest, BuildError> {
    sha256.parse().map_err(|_| BuildError::Fetch {
        name: url.into(),
        reason: "its sha256 is none; correct it in the spec".into(),
    })
}

fn place(files: &mut Tree<Blob>, path: &str, blob: Blob) -> Result<(), BuildError> {
    let node = Node {
        metadata: Metadata::with_mode(0o644),
        kind: Kind::File(blob),
    };
    Ok(files.insert_with_parents(TreePath::new(path)?, node)?)
}

/// One image's place in a registry.
struct Registry<'a> {
    builder: &'a Builder<'a>,
    url: &'a str,
    /// What its descriptions and layers are below.
    base: String,
    transport: Transport,
    /// How the registry wants to be told who asks, where it does.
    challenge: Option<String>,
}

impl<'a> Registry<'a> {
    fn of(builder: &'a Builder<'a>, url: &'a str) -> Self {
        let url = url.trim_end_matches('/');
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let name = url[after_scheme..].find('/').map(|at| after_scheme + at);
        let (host, name) = url.split_at(name.unwrap_or(url.len()));
        Self {
            builder,
            url,
            base: format!("{host}/v2{name}"),
            transport: Transport::new(1),
            challenge: None,
        }
    }

    fn failed(&self, reason: impl Into<String>) -> BuildError {
        BuildError::Fetch {
            name: format!("image {}", self.url),
            reason: reason.into(),
        }
    }

    fn digest(&self, wanted: &Descriptor) -> Result<Digest, BuildError> {
        let digest = wanted.digest.strip_prefix("sha256:");
        digest.and_then(|d| d.parse().ok()).ok_or_else(|| {
            self.failed(format!(
                "{:?} is not a digest of SHA-256; take another image",
                wanted.digest
            ))
        })
    }

    /// An index or manifest, by its digest.
    fn description(&mut self, digest: &Digest) -> Result<(Blob, Document), BuildError> {
        let address = format!("{}/manifests/sha256:{digest}", self.base);
        let mut answer = self.ask(&address)?;
        if answer.status == 401 && self.challenge.is_none() {
            self.challenge = Some(answer.challenge);
            self.authorize()?;
            answer = self.ask(&address)?;
        }
        match answer.status {
            200 => {}
            401 | 403 => {
                return Err(self.failed(
                    "the registry does not give it to everybody; save it with `skopeo copy` and \
                     name the result by oci(\"…\")",
                ));
            }
            404 => {
                return Err(self.failed(format!(
                    "the registry has no sha256:{digest}; correct address and digest"
                )));
            }
            status => {
                let reason = format!("{address} was answered with HTTP status {status}; try again");
                return Err(self.failed(reason));
            }
        }
        let bytes = self.small(answer)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(self.failed(format!(
                "{address} gave something with the SHA-256 {found}; ask whoever runs the registry"
            )));
        }
        let document = serde_json::from_slice(&bytes).map_err(|error| {
            self.failed(format!(
                "sha256:{digest} does not describe an image ({error}); correct the digest"
            ))
        })?;
        let blob = self.builder.store.add_reader(&mut bytes.as_slice())?;
        Ok((blob, document))
    }

    /// The layers of a manifest, in the store.
    fn layers(&mut self, document: &Document) -> Result<Vec<Blob>, BuildError> {
        let count = document.layers.len();
        if count == 0 || count > MAX_LAYERS {
            return Err(self.failed(format!("it has {count} layers; take another image")));
        }
        let mut blobs = Vec::new();
        for (at, layer) in document.layers.iter().enumerate() {
            // What a registry gives for the asking is good for some minutes only.
            if at > 0 && self.challenge.is_some() {
                self.authorize()?;
            }
            let digest = self.digest(layer)?;
            let address = format!("{}/blobs/sha256:{digest}", self.base);
            let name = format!("{} (layer {} of {count})", self.url, at + 1);
            blobs.push(fetch::file(
                self.builder,
                &self.transport,
                &name,
                &[address],
                &digest,
            )?);
        }
        Ok(blobs)
    }

    fn ask(&self, address: &str) -> Result<Answer, BuildError> {
        let question = Question {
            address,
            headers: &[("Accept", ACCEPTED)],
            body: None,
        };
        let answer = self.transport.ask(&question);
        answer.map_err(|error| self.failed(error.to_string()))
    }

    /// Asks for the right to read, as anybody.
    fn authorize(&mut self) -> Result<(), BuildError> {
        let challenge = self.challenge.clone().unwrap_or_default();
        let Some(address) = token_address(&challenge) else {
            return Err(self.failed(
                "the registry wants a name and password; save it with `skopeo copy` and name the \
                 result by oci(\"…\")",
            ));
        };
        // The right to ask must not be asked for with the right that is about to end.
        let question = Question {
            address: &address,
            headers: &[],
            body: None,
        };
        let answer = Transport::new(1).ask(&question);
        let answer = answer.map_err(|error| self.failed(error.to_string()))?;
        let status = answer.status;
        let bytes = self.small(answer)?;
        #[derive(serde::Deserialize)]
        struct Token {
            #[serde(alias = "access_token")]
            token: String,
        }
        match (status, serde_json::from_slice::<Token>(&bytes)) {
            (200, Ok(Token { token })) if token.bytes().all(|b| b.is_ascii_graphic()) => {
                self.transport.authorize(format!("Bearer {token}"));
                Ok(())
            }
            _ => Err(self.failed(format!(
                "{address} gives no right to read it (HTTP status {status}); save it with `skopeo \
                 copy` and name the result by oci(\"…\")"
            ))),
        }
    }

    fn small(&self, answer: Answer) -> Result<Vec<u8>, BuildError> {
        let mut bytes = Vec::new();
        let mut reader = answer.reader.take(MAX_JSON_BYTES + 1);
        match reader.read_to_end(&mut bytes) {
            Ok(read) if read as u64 > MAX_JSON_BYTES => {
                Err(self.failed("one of its descriptions is larger than 4 MiB; take another image"))
            }
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.failed(format!("{} broke off: {error}; try again", self.base))),
        }
    }
}

/// Where the right to read is given: `Bearer realm="…",service="…",scope="…"`.
fn token_address(challenge: &str) -> Option<String> {
    let (scheme, mut rest) = challenge.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut query) = (None, String::new());
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        rest = after;
        match name.trim_matches([',', ' ']) {
            "realm" => realm = Some(value),
            name @ ("service" | "scope") => {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(name);
                query.push('=');
                query.extend(value.bytes().map(|byte| match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        char::from(byte).to_string()
                    }
                    _ => format!("%{byte:02X}"),
                }));
            }
            _ => {}
        }
    }
    let realm = realm.filter(|realm| realm.starts_with("https://") || realm.starts_with("http://"));
    realm.map(|realm| format!("{realm}{query}"))
}

#[cfg(test)]
mod tests {
    use super::super::import;
    use super::super::tests::{RESULT, hex, layers};
    use super::*;
    use crate::testing::{Reply, Request, Server, Warnings, builder};
    use nos_store::Store;
    use std::collections::BTreeMap;

    /// What a registry has, by path below the image.
    type Held = BTreeMap<String, Vec<u8>>;

    /// An image of two layers in an index for two processors; gives the digest of the index.
    fn image() -> (Held, String) {
        let mut held = Held::new();
        let mut list = Vec::new();
        for layer in layers() {
            let digest = hex(&layer);
            list.push(format!("{{\"digest\":\"sha256:{digest}\"}}"));
            held.insert(format!("blobs/sha256:{digest}"), layer);
        }
        let manifest = format!("{{\"layers\":[{}]}}", list.join(",")).into_bytes();
        let ours = hex(&manifest);
        held.insert(format!("manifests/sha256:{ours}"), manifest);
        let index = format!(
            "{{\"manifests\":[{{\"digest\":\"sha256:{}\",\"platform\":{{\"os\":\"linux\",\
             \"architecture\":\"arm64\"}}}},{{\"digest\":\"sha256:{ours}\",\"platform\":{{\"os\":\
             \"linux\",\"architecture\":\"amd64\"}}}}]}}",
            "0".repeat(64)
        );
        let top = hex(index.as_bytes());
        held.insert(format!("manifests/sha256:{top}"), index.into_bytes());
        (held, top)
    }

    fn give(held: &Held, request: &Request) -> Reply {
        let path = request.target.strip_prefix("/v2/team/app/");
        match path.and_then(|path| held.get(path)) {
            Some(bytes) => Reply::part(request, bytes),
            None => Reply::new(404, "{}"),
        }
    }

    /// The files of the image `app` of a server.
    fn pulled(server: &Server, digest: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let warnings = Warnings::default();
        let builder = builder(&store, folder.path(), &warnings);
        let layout = pull(&builder, &server.url("/team/app"), digest);
        let layout = layout.map_err(|error| error.to_string())?;
        let result = import(&builder, "app", &[&layout]).map_err(|error| error.to_string())?;
        let tree = store.read_tree(&result.tree("tree").unwrap()).unwrap();
        Ok(tree.iter().map(|(path, _)| path.to_string()).collect())
    }

    fn paths() -> Vec<&'static str> {
        RESULT
            .iter()
            .map(|line| line.split(' ').next().unwrap())
            .collect()
    }

    #[test]
    fn an_image_comes_by_its_digest() {
        let (held, top) = image();
        let server = Server::start(move |request| give(&held, request));
        assert_eq!(pulled(&server, &top).unwrap(), paths());
        let asked = server.requests();
        assert!(
            asked[0]
                .header("accept")
                .unwrap()
                .contains("oci.image.index")
        );
        assert_eq!(asked.len(), 4, "an index, a manifest and two layers");
    }

    #[test]
    fn whoever_must_ask_for_a_right_asks() {
        let (held, top) = image();
        let challenge = |host: &str| {
            format!(
                "Bearer realm=\"http://{host}/token\",service=\"a b\",scope=\"repository:team/app:pull\""
            )
        };
        let server = Server::start(move |request| {
            if let Some(query) = request.target.strip_prefix("/token") {
                assert_eq!(query, "?service=a%20b&scope=repository%3Ateam%2Fapp%3Apull");
                assert_eq!(request.header("authorization"), None);
                return Reply::new(200, "{\"access_token\":\"right\"}");
            }
            match request.header("authorization") {
                Some("Bearer right") => give(&held, request),
                _ => {
                    let host = request.header("host").unwrap();
                    Reply::new(401, "").with("WWW-Authenticate", challenge(host))
                }
            }
        });
        assert_eq!(pulled(&server, &top).unwrap(), paths());
    }

    #[test]
    fn registries_that_give_nothing_are_named() {
        let top = "0".repeat(64);
        for (reply, reason) in [
            (
                (401, "Basic realm=\"x\""),
                "wants a name and password; save it with",
            ),
            (
                (401, "Bearer realm=\"file:///etc/passwd\""),
                "wants a name and password; save it",
            ),
            ((403, ""), "does not give it to everybody; save it"),
            ((404, ""), "has no sha256:0000"),
            ((500, ""), "HTTP status 500; try again"),
        ] {
            let server =
                Server::start(move |_| Reply::new(reply.0, "").with("WWW-Authenticate", reply.1));
            let error = pulled(&server, &top).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
            assert!(error.contains(&server.url("/team/app")), "{error}");
        }
    }

    #[test]
    fn what_is_not_what_its_digest_says_is_refused() {
        let (good, top) = image();
        let other = |wanted: &str, change: fn(&mut Held, &str)| {
            let mut held = good.clone();
            let path = held.keys().find(|path| path.starts_with(wanted)).cloned();
            let path = path.unwrap();
            change(&mut held, &path);
            let server = Server::start(move |request| give(&held, request));
            (path, pulled(&server, &top).unwrap_err())
        };
        let lie = |held: &mut Held, path: &str| drop(held.insert(path.into(), b"lie".to_vec()));
        let (path, error) = other("blobs/", lie);
        let digest = path.rsplit(':').next().unwrap();
        assert!(
            error.contains(digest) && error.contains(&hex(b"lie")),
            "{error}"
        );
        let (_, error) = other(&format!("manifests/sha256:{top}"), lie);
        assert!(
            error.contains(&top) && error.contains(&hex(b"lie")),
            "{error}"
        );
        let (path, error) = other("blobs/", |held, path| drop(held.remove(path)));
        assert!(error.contains(&format!("{path} does not exist")), "{error}");

        for (text, reason) in [
            ("{}", "it has 0 layers"),
            ("7", "does not describe an image"),
            (
                "{\"manifests\":[{\"digest\":\"sha512:00\"}]}",
                "is not a digest of SHA-256",
            ),
            (
                "{\"manifests\":[{\"digest\":\"x\",\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}}]}",
                "no image for linux on amd64",
            ),
        ] {
            let held = Held::from([(
                format!("manifests/sha256:{}", hex(text.as_bytes())),
                text.into(),
            )]);
            let server = Server::start(move |request| give(&held, request));
            let error = pulled(&server, &hex(text.as_bytes())).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
