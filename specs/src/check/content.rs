//! What images are made of.

use super::build::fetch;
use super::conform::arguments;
use super::{Checker, Mention, MentionKind};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::eval::value::{Fields, Value};
use crate::schema;
use crate::source::Span;
use crate::system::{Base, Image, Source};
use std::collections::BTreeMap;

/// The attributes that make an image.
pub(super) const CONTENT: &[&str] = &[
    "packages",
    "builds",
    "from",
    "files",
    "links",
    "directories",
    "keep",
    "drop",
    "trim",
];

/// What there is at a path of an image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thing {
    File,
    Folder,
    Link,
    Directory,
}

impl Thing {
    fn describe(self) -> &'static str {
        match self {
            Thing::File => "a file",
            Thing::Folder => "a folder",
            Thing::Link => "a link",
            Thing::Directory => "a directory",
        }
    }
}

impl Checker<'_> {
    /// The image that `fields` of an image or service block declare.
    pub(super) fn content(&mut self, fields: &Fields) -> Image {
        let mut image = Image {
            trim: true,
            ..Image::default()
        };
        let mut places: BTreeMap<String, (Thing, Span)> = BTreeMap::new();
        if let Some(packages) = fields.get("packages") {
            self.mention_all(packages, MentionKind::Package);
            image.packages = packages.texts();
        }
        if let Some(builds) = fields.get("builds") {
            image.builds = self.block_names(builds);
        }
        image.from = fields.get("from").and_then(|from| self.base(from));
        if let Some(files) = fields.get("files").and_then(Value::as_record) {
            for field in files.iter() {
                if let Some(source) = self.source(&field.value) {
                    let thing = match source {
                        Source::Folder { .. } => Thing::Folder,
                        _ => Thing::File,
                    };
                    self.place(&mut places, &field.name, thing, field.name_span);
                    image.files.insert(field.name.to_string(), source);
                }
            }
        }
        if let Some(links) = fields.get("links").and_then(Value::as_record) {
            for field in links.iter() {
                if let Some(target) = field.value.as_text() {
                    self.place(&mut places, &field.name, Thing::Link, field.name_span);
                    image
                        .links
                        .insert(field.name.to_string(), target.to_owned());
                }
            }
        }
        for name in ["directories", "state"] {
            for path in fields.get(name).map_or(&[][..], Value::elements) {
                if let Some(text) = path.as_text() {
                    self.place(&mut places, text, Thing::Directory, path.span);
                }
            }
        }
        image.directories = fields
            .get("directories")
            .map(Value::texts)
            .unwrap_or_default();
        image.keep = fields.get("keep").map(Value::texts).unwrap_or_default();
        image.drop = fields.get("drop").map(Value::texts).unwrap_or_default();
        // What an image made elsewhere holds was chosen there already.
        let trim = fields.get("trim").and_then(Value::as_bool);
        image.trim = trim.unwrap_or(image.from.is_none());
        self.nothing_below_files(&places);
        image
    }

    pub(super) fn mention_all(&mut self, list: &Value, kind: MentionKind) {
        for value in list.elements() {
            self.mention(value, kind);
        }
    }

    pub(super) fn mention(&mut self, value: &Value, kind: MentionKind) {
        if let Some(name) = value.as_text() {
            self.mentions.push(Mention {
                kind,
                name: name.to_owned(),
                span: value.span,
                image: String::new(),
            });
        }
    }

    /// The folder, relative to the spec's, of the file in which `place` is.
    fn folder_of(&self, place: Span) -> String {
        self.evaluator
            .module_of(place)
            .map(|module| module.folder.clone())
            .unwrap_or_default()
    }

    /// `oci(…)` or `pull(…)`
    fn base(&mut self, value: &Value) -> Option<Base> {
        let call = value.as_call()?;
        if call.name == "pull" {
            let arguments = arguments(call, &schema::PULL);
            return Some(Base::Registry {
                url: arguments.get("url")?.as_text()?.to_owned(),
                sha256: arguments.get("sha256")?.as_text()?.to_owned(),
            });
        }
        let arguments = arguments(call, &schema::OCI);
        let path = self.path_of(value, arguments.get("path")?, MentionKind::Image)?;
        Some(Base::Oci { path })
    }

    /// A path in a call, relative to the spec's folder, and told to those who can look.
    pub(super) fn path_of(
        &mut self,
        call: &Value,
        path: &Value,
        kind: MentionKind,
    ) -> Option<String> {
        let full = format!("{}{}", self.folder_of(call.origin), path.as_text()?);
        self.mentions.push(Mention {
            kind,
            name: full.clone(),
            span: path.span,
            image: String::new(),
        });
        Some(full)
    }

    /// `file(…)`, `folder(…)`, `text(…)`, `fetch(…)` or `nos()`; names of files count from where they are written.
    fn source(&mut self, value: &Value) -> Option<Source> {
        let call = value.as_call()?;
        let known = schema::CALLS.iter().find(|known| known.name == call.name)?;
        let arguments = arguments(call, known);
        let mode = arguments
            .get("mode")
            .and_then(Value::as_text)
            .and_then(|mode| u32::from_str_radix(mode, 8).ok());
        if call.name == "text" {
            let text = arguments.get("text")?.as_text()?.to_owned();
            return Some(Source::Text { text, mode });
        }
        if call.name == "nos" {
            return Some(Source::Nos);
        }
        if call.name == "fetch" {
            return Some(Source::Fetch(fetch(&arguments)?));
        }
        let path = arguments.get("path")?;
        let folder = call.name == "folder";
        let kind = if folder {
            MentionKind::Folder
        } else {
            MentionKind::File
        };
        let full = self.path_of(value, path, kind)?;
        Some(match folder {
            true => Source::Folder { path: full },
            false => Source::File { path: full, mode },
        })
    }

    fn place(
        &mut self,
        places: &mut BTreeMap<String, (Thing, Span)>,
        path: &str,
        thing: Thing,
        span: Span,
    ) {
        if let Some((first, first_span)) = places.insert(path.to_owned(), (thing, span)) {
            self.report(
                Diagnostic::new(
                    codes::PATHS_COLLIDE,
                    span,
                    format!(
                        "`{path}` is {} here and {} elsewhere",
                        thing.describe(),
                        first.describe()
                    ),
                    "take one of the two out, or give it another path",
                )
                .label(first_span, format!("{} here", first.describe())),
            );
        }
    }

    /// Nothing can lie below a file or a link.
    fn nothing_below_files(&mut self, places: &BTreeMap<String, (Thing, Span)>) {
        for (path, (thing, span)) in places {
            let parents = path.match_indices('/').skip(1).map(|(at, _)| &path[..at]);
            for parent in parents {
                if let Some((above @ (Thing::File | Thing::Link), above_span)) = places.get(parent)
                {
                    self.report(
                        Diagnostic::new(
                            codes::PATHS_COLLIDE,
                            *span,
                            format!(
                                "`{path}`, {}, lies below {}",
                                thing.describe(),
                                above.describe()
                            ),
                            "give one of the two another path",
                        )
                        .label(*above_span, format!("`{parent}` is {}", above.describe())),
                    );
                    break;
                }
            }
        }
    }
}
