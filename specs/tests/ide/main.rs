//! What an editor asks: tables of texts with a cursor, `$0`, and what is answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod completion;
mod hover;
mod navigation;
mod random;
mod renaming;

use nos_specs::check::Loader;
use nos_specs::ide::Outside;
use nos_specs::source::{FileId, Span};
use nos_specs::{NoFiles, Spec};
use std::collections::BTreeMap;

/// Marks the cursor.
const CURSOR: &str = "$0";

/// A spec with a cursor in one of its files.
struct Fixture {
    spec: Spec,
    file: FileId,
    offset: u32,
}

/// Reads a text with a cursor. A line `# file: NAME` begins another file.
fn fixture(text: &str) -> Fixture {
    let mut files: Vec<(String, String)> = vec![("main.nos".into(), String::new())];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("# file: ") {
            Some(name) => files.push((name.trim().into(), String::new())),
            None => files.last_mut().unwrap().1.push_str(line),
        }
    }
    let mut place = None;
    for (name, text) in &mut files {
        if let Some(at) = text.find(CURSOR) {
            text.replace_range(at..at + CURSOR.len(), "");
            place = Some((name.clone(), at));
        }
    }
    let (name, at) = place.expect("a cursor");
    let main = files.remove(0).1;
    let others: BTreeMap<String, String> = files.into_iter().collect();
    let spec = Spec::load("main.nos", &main, &others);
    let file = spec
        .sources()
        .iter()
        .find(|(_, source)| source.name == name)
        .map(|(id, _)| id)
        .expect("the file with the cursor is used");
    Fixture {
        spec,
        file,
        offset: u32::try_from(at).unwrap(),
    }
}

impl Fixture {
    /// A place as `file:line:column` with its text.
    fn show(&self, span: Span) -> String {
        let sources = self.spec.sources();
        let at = sources.line_column(span.file, span.start);
        format!(
            "{}:{}:{} {}",
            sources.get(span.file).name,
            at.line,
            at.column,
            sources.slice(span)
        )
    }
}

/// A folder with a page, a configuration and a part of the spec, and a lock with two packages.
struct Around;

impl Outside for Around {
    fn packages(&self) -> Vec<(String, String)> {
        vec![
            ("libc6".into(), "2.41-12".into()),
            ("nginx".into(), "1.26.3-3".into()),
        ]
    }

    fn source_packages(&self) -> Vec<(String, String)> {
        vec![("dropbear".into(), "2025.88-2".into())]
    }

    fn entries(&self, folder: &str) -> Vec<(String, bool)> {
        match folder {
            "" => vec![
                ("main.nos".into(), false),
                ("nginx.conf".into(), false),
                ("nos.lock".into(), false),
                ("shared".into(), true),
                ("site".into(), true),
            ],
            "shared/" => vec![("web.nos".into(), false)],
            "site/" => vec![("index.html".into(), false)],
            _ => Vec::new(),
        }
    }
}

#[test]
fn a_loader_that_has_nothing_is_no_trouble() {
    let spec = Spec::load("a.nos", "use missing\n", &NoFiles as &dyn Loader);
    let found = nos_specs::ide::definition(&spec, FileId(0), 6).unwrap();
    assert_eq!(spec.sources().slice(found), "missing");
}
