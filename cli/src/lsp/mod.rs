//! `nos lsp`: the language server protocol on standard input and output.
//!
//! What there is to say about a spec comes from [`nos_specs::ide`]; here are the protocol's
//! shapes, the documents that are open, and the conversation.

mod answer;
mod outside;
mod report;
mod server;
mod shape;
#[cfg(test)]
mod tests;
mod text;
mod transport;
mod uri;
mod workspace;

use crate::context::Context;
use crate::failure::Failure;
use server::{Ended, Out, Shared};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// Serves an editor until it says goodbye.
///
/// # Errors
/// Where the editor goes away without that, or standard input cannot be read.
pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let (out, messages) = channel();
    let shared = Arc::new(Shared::new(out.clone()));
    let failed = |error: io::Error| {
        Failure::failed(format_args!(
            "the editor cannot be talked to: {error}; start `nos lsp` from an editor"
        ))
    };
    let writer = std::thread::Builder::new().name("output".into());
    let writer = writer.spawn(move || write(&messages)).map_err(failed)?;
    let library = context
        .cache
        .as_ref()
        .map(|cache| cache.join(concat!("nos/std-", env!("CARGO_PKG_VERSION"))));
    let ended = server::converse(&mut io::stdin().lock(), &shared, library);
    // What was answered is written before the end.
    let _ = out.send(Out::End);
    let _ = writer.join();
    match ended.map_err(failed)? {
        Ended::Well => Ok(()),
        Ended::Badly => Err(Failure::failed(
            "the editor went away without `shutdown` and `exit`; nothing is lost, start it again",
        )),
    }
}

/// Writes messages until the end, or until nobody reads.
fn write(messages: &Receiver<Out>) {
    let mut stdout = io::stdout().lock();
    for message in messages {
        let Out::Message(message) = message else {
            return;
        };
        if transport::write(&mut stdout, &message).is_err() {
            return;
        }
    }
}
