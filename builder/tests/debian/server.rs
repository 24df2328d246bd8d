//! A mirror on the loopback address that can misbehave.

use crate::common::server::{self as http, Reply, Request};
use std::path::Path;
use std::sync::{Arc, Mutex};

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

/// Ending of a path → fault of the next request for it.
type Faults = Arc<Mutex<Vec<(String, Fault)>>>;

pub(crate) struct Server {
    server: http::Server,
    faults: Faults,
}

impl Server {
    pub(crate) fn start(root: &Path) -> Self {
        let (root, faults) = (root.to_owned(), Faults::default());
        let coming = Arc::clone(&faults);
        let server = http::Server::start(move |request| {
            let fault = {
                let mut coming = coming.lock().unwrap();
                let at = coming
                    .iter()
                    .position(|(ending, _)| request.target.ends_with(ending.as_str()));
                at.map(|at| coming.remove(at).1)
            };
            respond(&root, request, fault)
        });
        Self { server, faults }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("")
    }

    /// The next request for a path that ends so goes wrong; faults of one path in turn.
    pub(crate) fn fail(&self, ending: &str, fault: Fault) {
        let mut faults = self.faults.lock().unwrap();
        faults.push((ending.to_owned(), fault));
    }

    /// `path` or `path from-byte` of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = self.server.requests().into_iter();
        let said = requests.map(|request| {
            let path = request.target.trim_start_matches('/').to_owned();
            match request.range() {
                Some(from) => format!("{path} {from}"),
                None => path,
            }
        });
        said.collect()
    }
}

fn respond(root: &Path, request: &Request, fault: Option<Fault>) -> Reply {
    match fault {
        Some(Fault::Status(status)) => return Reply::new(status, ""),
        Some(Fault::ToLocalFile) => {
            return Reply::new(302, "").with("Location", "file:///etc/passwd");
        }
        _ => {}
    }
    let Ok(bytes) = std::fs::read(root.join(request.target.trim_start_matches('/'))) else {
        return Reply::new(404, "");
    };
    match fault {
        Some(Fault::NoRange) => Reply::new(200, bytes),
        Some(Fault::CutAfter(cut)) => Reply {
            cut: Some(cut),
            ..Reply::part(request, &bytes)
        },
        _ => Reply::part(request, &bytes),
    }
}
