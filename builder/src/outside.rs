//! Diagnostics about what a spec names outside of itself: files and folders beside it, packages
//! of the archive. The language knows where they are named; only here is it known whether they
//! are there.

use crate::debian::DebianError;
use crate::error::BuildError;
use crate::kernel::minimal::Refused;
use crate::sources;
use crate::trim::TrimError;
use nos_formats::tree::TreePath;
use nos_specs::check::{Checked, Mention, MentionKind};
use nos_specs::codes;
use nos_specs::diagnostic::Diagnostic;
use nos_specs::source::{Sources, Span};
use nos_specs::suggest::nearest;
use std::collections::BTreeSet;
use std::path::Path;

/// One message for each source that the spec names and that is not there, is of the wrong kind,
/// or leads out of `folder`, the spec's. Looks at names alone, reads no content.
pub fn bad_sources(folder: &Path, checked: &Checked) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for mention in &checked.mentions {
        let wanted = match mention.kind {
            MentionKind::File => sources::Kind::File,
            MentionKind::Folder => sources::Kind::Folder,
            MentionKind::Package
            | MentionKind::SourcePackage
            | MentionKind::Program
            | MentionKind::Image
            | MentionKind::KernelOption => continue,
        };
        let Err(trouble) = sources::find(folder, &mention.name, wanted) else {
            continue;
        };
        let message = format!("{:?} {}", mention.name, trouble.what);
        let diagnostic =
            Diagnostic::new(codes::BAD_SOURCE_FILE, mention.span, message, trouble.help);
        found.push(
            match trouble
                .missing
                .then(|| near(folder, &mention.name, wanted))
                .flatten()
            {
                Some(near) => offer(diagnostic, mention, &near, &checked.sources),
                None => diagnostic,
            },
        );
    }
    found
}

/// The messages that say the same as `error`, at the places of the spec that lead to it; empty
/// where it comes from no place of the spec.
pub fn explain(checked: &Checked, error: &BuildError) -> Vec<Diagnostic> {
    match error {
        BuildError::Action { label, error } => match &**error {
            BuildError::Trim(TrimError::NoRoot { path, nearest }) => {
                missing_program(checked, label, path, nearest)
            }
            error => explain(checked, error),
        },
        BuildError::Debian(error) => explain_packages(checked, error),
        // Only where all have a place: the others would go unsaid.
        BuildError::Several { errors, .. } => {
            let places: Vec<_> = errors.iter().map(|error| explain(checked, error)).collect();
            match places.iter().any(Vec::is_empty) {
                true => Vec::new(),
                false => places.concat(),
            }
        }
        BuildError::KernelOptions(refused) => kernel_options(checked, refused),
        _ => Vec::new(),
    }
}

/// A message for each place that names a program which the image that `label` is about lacks.
fn missing_program(
    checked: &Checked,
    label: &str,
    path: &TreePath,
    nearest: &[TreePath],
) -> Vec<Diagnostic> {
    let image = label.strip_prefix("compose ").unwrap_or_default();
    let path = absolute(path);
    let mut found: Vec<Diagnostic> = Vec::new();
    for mention in &checked.mentions {
        let is_it = mention.kind == MentionKind::Program && mention.name == path;
        let is_said = found.iter().any(|d| d.span() == mention.span);
        if !is_it || mention.image != image || is_said {
            continue;
        }
        let message = format!("{path} is not in the image {image}");
        let near = nearest.first().map(absolute);
        let help = match &near {
            Some(near) => format!("did you mean {near:?}?"),
            None => "add the package or file that brings it, or correct the path".into(),
        };
        let diagnostic = Diagnostic::new(codes::MISSING_PROGRAM, mention.span, message, help);
        found.push(match near {
            Some(near) if is_literal(mention, &checked.sources) => {
                diagnostic.fix(mention.span, format!("{near:?}"))
            }
            _ => diagnostic,
        });
    }
    found
}

/// A message for each place of each option; empty where one of them is named nowhere: it is one of
/// our own then.
fn kernel_options(checked: &Checked, refused: &[Refused]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for option in refused {
        let named = |m: &&Mention| m.kind == MentionKind::KernelOption && m.name == option.name;
        let before = found.len();
        for mention in checked.mentions.iter().filter(named) {
            let code = codes::KERNEL_OPTION;
            let diagnostic = Diagnostic::new(code, mention.span, option.problem(), option.help());
            found.push(diagnostic);
        }
        if found.len() == before {
            return Vec::new();
        }
    }
    found
}

/// A path in an image as a spec writes it.
fn absolute(path: &TreePath) -> String {
    format!("/{}", path.to_string().trim_start_matches('/'))
}

/// As [`explain`], for an error of the archive.
pub fn explain_packages(checked: &Checked, error: &DebianError) -> Vec<Diagnostic> {
    match error {
        DebianError::UnknownPackages(unknown) => {
            let unknown = unknown.iter().map(|package| Unknown {
                kind: MentionKind::Package,
                name: &package.name,
                suite: &package.suite,
                nearest: &package.nearest,
            });
            unknown_packages(checked, &unknown.collect::<Vec<_>>())
        }
        DebianError::UnknownSources(unknown) => {
            let unknown = unknown.iter().map(|source| Unknown {
                kind: MentionKind::SourcePackage,
                name: &source.name,
                suite: &source.suite,
                nearest: &source.nearest,
            });
            unknown_packages(checked, &unknown.collect::<Vec<_>>())
        }
        DebianError::Conflict { chain, .. } => {
            let message = format!("these packages cannot be together: {}", chain.join("; "));
            let help = "leave out one of them, name another package that does the same, or put \
                        them into the images of two services";
            let named = |name: &str| chain.iter().any(|link| names(link, name));
            together(checked, named, message, help)
        }
        DebianError::FileConflict {
            path,
            first,
            second,
        } => {
            let message = format!("{path} is in both {first} and {second}, and they differ");
            let help = "leave out one of the packages, or put them into the images of two services";
            together(
                checked,
                |name| name == first || name == second,
                message,
                help,
            )
        }
        _ => Vec::new(),
    }
}

/// What does not exist in the archive.
struct Unknown<'a> {
    kind: MentionKind,
    name: &'a String,
    suite: &'a str,
    nearest: &'a [String],
}

impl Unknown<'_> {
    /// What is wrong, and what to do.
    fn said(&self) -> (String, String) {
        let (what, find) = match self.kind {
            MentionKind::SourcePackage => ("source package", "apt-cache showsrc"),
            _ => ("package", "apt-cache search"),
        };
        let help = match self.nearest {
            [] => format!("correct the name; `{find}` finds packages by words"),
            [one] => format!("did you mean {one:?}?"),
            many => format!("did you mean one of {}?", many.join(", ")),
        };
        let message = format!("there is no {what} {:?} in {}", self.name, self.suite);
        (message, help)
    }
}

/// A message for each place of each unknown package; empty where one of them is named nowhere.
fn unknown_packages(checked: &Checked, unknown: &[Unknown<'_>]) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for unknown in unknown {
        if !seen.insert(unknown.name) {
            continue;
        }
        let before = found.len();
        let is_it = |m: &&Mention| m.kind == unknown.kind && &m.name == unknown.name;
        for mention in checked.mentions.iter().filter(is_it) {
            let (message, help) = unknown.said();
            let diagnostic = Diagnostic::new(codes::UNKNOWN_PACKAGE, mention.span, message, help);
            let near = unknown.nearest.first();
            found.push(match (near, is_literal(mention, &checked.sources)) {
                (Some(near), true) => diagnostic.fix(mention.span, format!("{near:?}")),
                _ => diagnostic,
            });
        }
        if found.len() == before {
            return Vec::new();
        }
    }
    found
}

/// One message with every place that names a package for which `is_part` holds.
fn together(
    checked: &Checked,
    is_part: impl Fn(&str) -> bool,
    message: String,
    help: &str,
) -> Vec<Diagnostic> {
    let mut places: Vec<Span> = packages(checked)
        .filter(|mention| is_part(&mention.name))
        .map(|m| m.span)
        .collect();
    places.sort_unstable();
    places.dedup();
    let Some((first, others)) = places.split_first() else {
        return Vec::new();
    };
    let diagnostic = Diagnostic::new(codes::PACKAGES_CONFLICT, *first, message, help);
    vec![
        others
            .iter()
            .fold(diagnostic, |diagnostic, span| diagnostic.label(*span, "")),
    ]
}

fn packages(checked: &Checked) -> impl Iterator<Item = &Mention> {
    checked
        .mentions
        .iter()
        .filter(|mention| mention.kind == MentionKind::Package)
}

/// Whether `name` is a word of a sentence about packages.
fn names(sentence: &str, name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || "+-.:".contains(c);
    sentence.split(|c| !part(c)).any(|word| word == name)
}

/// Whether the place holds the name as it is, so that the place can be replaced.
fn is_literal(mention: &Mention, sources: &Sources) -> bool {
    sources.slice(mention.span) == format!("{:?}", mention.name)
}

/// The name of its kind that is nearest, in the folder where it was looked for.
fn near(folder: &Path, name: &str, wanted: sources::Kind) -> Option<String> {
    let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(folder.join(parent)).ok()?.flatten() {
        let is_folder = entry.path().is_dir();
        if is_folder == (wanted == sources::Kind::Folder)
            && let Ok(name) = entry.file_name().into_string()
        {
            there.insert(name);
        }
    }
    nearest(last, there.iter().map(String::as_str)).map(str::to_string)
}

/// Offers another last part of a path.
fn offer(diagnostic: Diagnostic, mention: &Mention, near: &str, sources: &Sources) -> Diagnostic {
    let last = mention.name.rsplit('/').next().unwrap_or_default();
    let written = sources.slice(mention.span);
    let help = format!("did you mean {near:?}? Else {}", diagnostic.help);
    let fix = written
        .strip_suffix(&format!("{last}\""))
        .map(|head| format!("{head}{near}\""));
    let diagnostic = Diagnostic { help, ..diagnostic };
    match fix {
        Some(fix) => diagnostic.fix(mention.span, fix),
        None => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::{UnknownPackage, UnknownSource};
    use nos_specs::{NoFiles, check};

    const SPEC: &str = r#"
service web {
  packages = ["ngnix", "apache2"]
  files    = { "/a" = file("site/indx.html"), "/b" = folder("site/index.html") }
  run      = ["/usr/sbin/nginx"]
}
host edge { services = [web] }
"#;

    fn shown(checked: &Checked, found: &[Diagnostic]) -> Vec<String> {
        let place = |d: &Diagnostic| checked.sources.slice(d.span()).to_string();
        found
            .iter()
            .map(|d| format!("{} {}: {}; {}", d.code, place(d), d.message, d.help))
            .collect()
    }

    #[test]
    fn sources_that_are_not_there_are_shown_where_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("site")).unwrap();
        std::fs::write(folder.path().join("site/index.html"), "").unwrap();
        let checked = check("a.nos", SPEC, &NoFiles);
        assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
        let found = bad_sources(folder.path(), &checked);
        assert_eq!(
            shown(&checked, &found),
            [
                "E0702 \"site/indx.html\": \"site/indx.html\" is not there; did you mean \
                 \"index.html\"? Else create it, or correct the path; it counts from the folder of \
                 the file that names it",
                "E0702 \"site/index.html\": \"site/index.html\" is a file; write \
                 file(\"site/index.html\")",
            ]
        );
        assert_eq!(
            found[0].fix.as_ref().unwrap().replacement,
            "\"site/index.html\""
        );
    }

    #[test]
    fn packages_that_are_wrong_are_shown_where_they_are_named() {
        let checked = check("a.nos", SPEC, &NoFiles);
        let unknown = |name: &str| UnknownPackage {
            group: "image web".into(),
            name: name.into(),
            suite: "trixie".into(),
            nearest: vec!["nginx".into()],
        };
        let error = DebianError::UnknownPackages(vec![unknown("ngnix")]);
        let found = explain(&checked, &BuildError::Debian(error));
        assert_eq!(
            shown(&checked, &found),
            ["E0701 \"ngnix\": there is no package \"ngnix\" in trixie; did you mean \"nginx\"?"]
        );
        assert_eq!(found[0].fix.as_ref().unwrap().replacement, "\"nginx\"");
        // The kernel's package is named by the library: there is no place to show.
        let error = DebianError::UnknownPackages(vec![unknown("ngnix"), unknown("linux-image")]);
        assert_eq!(explain(&checked, &BuildError::Debian(error)), []);

        let spec = SPEC.replace("service web {", "service web {\n  builds = [app]");
        let build = "build app {\n  source = debian(\"dnsmsq\")\n  using = make()\n}\n";
        let checked_source = check("a.nos", &format!("{build}{spec}"), &NoFiles);
        let error = DebianError::UnknownSources(vec![UnknownSource {
            name: "dnsmsq".into(),
            suite: "trixie".into(),
            nearest: vec!["dnsmasq".into()],
        }]);
        let found = explain(&checked_source, &BuildError::Debian(error));
        assert_eq!(
            shown(&checked_source, &found),
            [
                "E0701 \"dnsmsq\": there is no source package \"dnsmsq\" in trixie; did you mean \"dnsmasq\"?"
            ]
        );

        let chain = vec![
            "image web wants ngnix".into(),
            "ngnix 1 conflicts with apache2".into(),
        ];
        let error = DebianError::Conflict {
            group: "image web".into(),
            chain,
        };
        let found = explain(&checked, &BuildError::Debian(error));
        assert_eq!(found.len(), 1);
        let places: Vec<_> = found[0]
            .labels
            .iter()
            .map(|l| checked.sources.slice(l.span))
            .collect();
        assert_eq!(places, ["\"ngnix\"", "\"apache2\""]);
    }

    #[test]
    fn a_missing_program_is_shown_where_it_is_named() {
        let checked = check("a.nos", SPEC, &NoFiles);
        let error = |label: &str, nearest: &[&str]| BuildError::Action {
            label: label.into(),
            error: Box::new(BuildError::Trim(TrimError::NoRoot {
                path: TreePath::new("usr/sbin/nginx").unwrap(),
                nearest: nearest.iter().map(|p| TreePath::new(*p).unwrap()).collect(),
            })),
        };
        let found = explain(&checked, &error("compose web", &["usr/bin/nginx"]));
        assert_eq!(
            shown(&checked, &found),
            [
                "E0704 \"/usr/sbin/nginx\": /usr/sbin/nginx is not in the image web; did you mean \
                 \"/usr/bin/nginx\"?"
            ]
        );
        assert_eq!(
            found[0].fix.as_ref().unwrap().replacement,
            "\"/usr/bin/nginx\""
        );
        let found = explain(&checked, &error("compose web", &[]));
        assert!(found[0].help.starts_with("add the package"), "{found:?}");
        // The same path in another image was not written here.
        assert_eq!(explain(&checked, &error("compose other", &[])), []);
    }
}
