//! Build blocks → builds.

use super::conform::arguments;
use super::{Checker, MentionKind, unsigned};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::eval::value::{BlockId, Fields, Value};
use crate::schema::{self, defaults};
use crate::source::Span;
use crate::system::{Build, BuildLimits, BuildSource, Cargo, Fetch, Git, Using};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A build with what it stands on.
pub(super) struct BuildParts {
    pub(super) build: Build,
    needs: Vec<(BlockId, Span)>,
}

impl Checker<'_> {
    /// The build that a block declares; `None` where it is wrong and that is reported.
    pub(super) fn build(&mut self, id: BlockId) -> Option<Rc<BuildParts>> {
        if let Some(known) = self.builds.get(&id) {
            return known.clone();
        }
        let fields = self.fields(id);
        let parts = self.in_block(id, |checker| checker.build_parts(id, &fields));
        let parts = parts.map(Rc::new);
        self.builds.insert(id, parts.clone());
        if let Some(parts) = &parts {
            self.needs_circle(id, parts);
        }
        parts
    }

    fn build_parts(&mut self, id: BlockId, fields: &Fields) -> Option<BuildParts> {
        let name_span = self.evaluator.block(id).name_span;
        let given = self.evaluator.fields(id);
        let source = match fields.get("source") {
            Some(value) => Some(self.build_source(value)?),
            None => None,
        };
        let using = using(fields.get("using")?)?;
        if source.is_none()
            && given.get("source").is_none()
            && !given.incomplete
            && !matches!(using, Using::Script { .. })
        {
            self.report(Diagnostic::new(
                codes::NO_SOURCE,
                name_span,
                "this build has no source",
                "add `source = folder(\"…\")`; only a script can do without",
            ));
            return None;
        }
        if let Some(tools) = fields.get("tools") {
            self.mention_all(tools, MentionKind::Package);
        }
        let needs = blocks(fields.get("needs"));
        let build = Build {
            source,
            using,
            tools: fields.get("tools").map(Value::texts).unwrap_or_default(),
            needs: fields
                .get("needs")
                .map(|needs| self.block_names(needs))
                .unwrap_or_default(),
            env: texts(fields.get("env")),
            limits: limits(fields.get("limits")),
        };
        Some(BuildParts { build, needs })
    }

    fn build_source(&mut self, value: &Value) -> Option<BuildSource> {
        let call = value.as_call()?;
        match call.name {
            "fetch" => {
                let arguments = arguments(call, &schema::FETCH);
                fetch(&arguments).map(BuildSource::Fetch)
            }
            "git" => {
                let arguments = arguments(call, &schema::GIT);
                git(&arguments).map(BuildSource::Git)
            }
            "debian" => {
                let arguments = arguments(call, &schema::DEBIAN);
                let package = arguments.get("package")?;
                self.mention(package, MentionKind::SourcePackage);
                let patches = arguments.get("patches").and_then(Value::as_bool);
                Some(BuildSource::Debian {
                    package: package.as_text()?.to_owned(),
                    patches: patches.unwrap_or(true),
                })
            }
            name => {
                let known = schema::CALLS.iter().find(|known| known.name == name)?;
                let arguments = arguments(call, known);
                let path = self.path_of(value, arguments.get("path")?, MentionKind::Folder)?;
                Some(BuildSource::Folder { path })
            }
        }
    }

    /// Reports builds that need each other. Called for each build once its own parts are known, so
    /// the last one of a circle finds it.
    fn needs_circle(&mut self, start: BlockId, parts: &BuildParts) {
        for (need, span) in &parts.needs {
            if self.leads_to(*need, start) {
                let name = self.evaluator.block(start).name.to_string();
                let other = self.evaluator.block(*need).name.to_string();
                let (message, help) = match *need == start {
                    true => (
                        format!("the build `{name}` needs itself"),
                        "take it out of its own `needs`",
                    ),
                    false => (
                        format!("the builds `{name}` and `{other}` need each other"),
                        "take one of the two out of the other's `needs`",
                    ),
                };
                self.report(Diagnostic::new(codes::NEEDS_CYCLE, *span, message, help));
                return;
            }
        }
    }

    /// Whether `from` is `to`, or needs it by way of others.
    fn leads_to(&self, from: BlockId, to: BlockId) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(id) = open.pop() {
            if id == to {
                return true;
            }
            let known = self.builds.get(&id).and_then(Option::as_ref);
            if let (true, Some(parts)) = (seen.insert(id), known) {
                open.extend(parts.needs.iter().map(|(need, _)| *need));
            }
        }
        false
    }

    /// The builds that some are, with all that these need: name → build. Two of one name are
    /// reported; `None` where any of them is wrong.
    pub(super) fn builds_of(
        &mut self,
        wanted: Vec<(BlockId, Span)>,
    ) -> Option<BTreeMap<String, Build>> {
        let mut found: BTreeMap<String, (BlockId, Span, Build)> = BTreeMap::new();
        let mut open = wanted;
        let mut good = true;
        while let Some((id, span)) = open.pop() {
            let name = self.evaluator.block(id).name.to_string();
            match found.get(&name) {
                Some((known, ..)) if *known == id => continue,
                Some((_, first, _)) => {
                    let first = *first;
                    let message = format!("two builds of this host are called `{name}`");
                    let help = "give one of the two another name where it is defined";
                    self.report(
                        Diagnostic::new(codes::SAME_NAME_ON_HOST, span, message, help)
                            .label(first, "the other one"),
                    );
                    good = false;
                    continue;
                }
                None => {}
            }
            match self.build(id) {
                Some(parts) => {
                    open.extend(parts.needs.iter().copied());
                    found.insert(name, (id, span, parts.build.clone()));
                }
                None => good = false,
            }
        }
        let found = found.into_iter().map(|(name, (_, _, build))| (name, build));
        good.then(|| found.collect())
    }

    /// The names of the blocks in a list.
    pub(super) fn block_names(&self, list: &Value) -> Vec<String> {
        blocks(Some(list))
            .iter()
            .map(|(id, _)| self.evaluator.block(*id).name.to_string())
            .collect()
    }
}

/// The blocks in a list, with where they are named.
pub(super) fn blocks(list: Option<&Value>) -> Vec<(BlockId, Span)> {
    list.map_or(&[][..], Value::elements)
        .iter()
        .filter_map(|value| Some((value.as_block()?, value.span)))
        .collect()
}

/// `fetch(…)`
pub(super) fn fetch(arguments: &Fields) -> Option<Fetch> {
    Some(Fetch {
        url: arguments.get("url")?.as_text()?.to_owned(),
        mirrors: arguments
            .get("mirrors")
            .map(Value::texts)
            .unwrap_or_default(),
        sha256: arguments.get("sha256")?.as_text()?.to_owned(),
    })
}

/// `git(…)`
fn git(arguments: &Fields) -> Option<Git> {
    let submodules = arguments.get("submodules").and_then(Value::as_bool);
    Some(Git {
        url: arguments.get("url")?.as_text()?.to_owned(),
        mirrors: arguments
            .get("mirrors")
            .map(Value::texts)
            .unwrap_or_default(),
        commit: arguments.get("commit")?.as_text()?.to_owned(),
        submodules: submodules.unwrap_or(true),
    })
}

fn using(value: &Value) -> Option<Using> {
    let call = value.as_call()?;
    let known = schema::CALLS.iter().find(|known| known.name == call.name)?;
    let arguments = arguments(call, known);
    let list = |name| arguments.get(name).map(Value::texts).unwrap_or_default();
    let truth = |name| arguments.get(name).and_then(Value::as_bool);
    Some(match call.name {
        "script" => Using::Script { run: list("run") },
        "make" => Using::Make {
            flags: list("flags"),
        },
        "autotools" => Using::Autotools {
            flags: list("flags"),
        },
        "cmake" => Using::Cmake {
            flags: list("flags"),
        },
        _ => Using::Cargo(Cargo {
            is_static: truth("static").unwrap_or(false),
            package: arguments
                .get("package")
                .and_then(Value::as_text)
                .map(str::to_owned),
            features: list("features"),
            default_features: truth("default-features").unwrap_or(true),
        }),
    })
}

fn texts(record: Option<&Value>) -> BTreeMap<String, String> {
    let fields = record.and_then(Value::as_record);
    let fields = fields.map(Fields::iter).into_iter().flatten();
    fields
        .filter_map(|f| Some((f.name.to_string(), f.value.as_text()?.to_owned())))
        .collect()
}

fn limits(value: Option<&Value>) -> BuildLimits {
    let none = Fields::default();
    let limits = value.and_then(Value::as_record).unwrap_or(&none);
    let number = |name| unsigned(limits.get(name));
    BuildLimits {
        time_ms: number("time").unwrap_or(defaults::BUILD_TIME_MS),
        memory_bytes: number("memory").unwrap_or(defaults::BUILD_BYTES),
        space_bytes: number("space").unwrap_or(defaults::BUILD_BYTES),
        processes: number("processes").unwrap_or(defaults::BUILD_PROCESSES),
    }
}
