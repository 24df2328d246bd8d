//! Making things from sources: a command runs in a sandbox over declared inputs, and what it leaves
//! in `$out` becomes a tree of the store.

mod failure;
mod keep;
mod log;
mod output;
pub(crate) mod recipes;
pub mod tools;

use crate::checkout::{self, EPOCH, Order};
use crate::compose::output_tree;
use crate::error::BuildError;
use crate::realise::Builder;
pub(crate) use keep::FAILED;
pub(crate) use log::LOGS;
use log::Log;
use nos_sandbox::{Ending, Input, Job, Limits, Sandbox};
pub use nos_sandbox::{SandboxError, as_other_user, probe};
use nos_store::{ActionResult, Digest, KeyBuilder, Output};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The second in which every build takes place: the first of 2036. Later than anything that a source
/// may have been packed at, so that nothing is of the future, and early enough for programs that count
/// seconds in 32 bits.
const CLOCK_S: i64 = 2_082_758_400;

/// Another, in which each part of the date is another: 2037-05-04, 17:23:41.
const OTHER_CLOCK_S: i64 = 2_125_070_621;

/// The variable that says how many processors a build may use.
const CORES: &str = "NOS_CORES";

/// What is run, over which inputs. All of it but the limits is part of the action's key.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Recipe {
    /// What it makes, in a person's words: `build greeter`.
    pub name: String,
    /// Program and arguments. The program is an absolute path among the tools.
    pub command: Vec<String>,
    /// Working folder.
    pub folder: String,
    /// The environment besides what every build has.
    pub env: BTreeMap<String, String>,
    /// Where each of the action's inputs is to be seen, in their order.
    pub places: Vec<Place>,
    /// Files written before the command starts: path below `/build` → content.
    pub files: BTreeMap<String, String>,
    /// How much it may take. What a build gives does not depend on it.
    #[serde(skip)]
    pub limits: Limits,
}

impl Recipe {
    /// Whether it asks how many processors it may use. What does not is taken to use one.
    pub(crate) fn asks_for_cores(&self) -> bool {
        let asks = |text: &String| text.contains(CORES) || text.contains("nproc");
        self.command.iter().any(asks) || self.files.values().any(asks)
    }
}

/// Where a build sees an input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum Place {
    /// A tree whose top is the root: the tools.
    Root,
    /// A tree or file, read-only, at this absolute path.
    At(String),
    /// A tree as files of the build's own, below `/build`.
    Copy(String),
}

/// Runs a recipe. Output `tree`: what the command left in `$out`, owned by root, with modes 0755
/// and 0644 and without times.
///
/// Every build has `PATH`, `HOME=/build`, `TMPDIR=/tmp`, `LANG=C.UTF-8`, `TZ=UTC0`, `out=/out`,
/// `SOURCE_DATE_EPOCH`, and `NOS_CORES`, the number of processors it may use; this number is the
/// only thing in it that differs between machines.
///
/// # Errors
/// [`BuildError::Make`] where the command fails, with where its log is; [`BuildError::Sandbox`]
/// where this machine cannot make a sandbox.
pub(crate) fn run(
    builder: &Builder<'_>,
    recipe: &Recipe,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let name = log_name(recipe, inputs)?;
    let mut log = Log::create(builder.store.root(), &name)?;
    let sandbox = stand(builder, recipe, inputs, false)?;
    let ended = sandbox.run(&mut log)?;
    let log = log.finish()?;
    let failed = |reason: String| -> Result<ActionResult, BuildError> {
        let kept = match builder.options.keep_failed {
            true => Some(keep::keep(builder.store.root(), &name, &ended.scratch)?),
            false => None,
        };
        Err(BuildError::Make {
            reason,
            tail: log.tail.clone(),
            log: log.path.clone(),
            kept,
        })
    };
    if let Some(reason) = failure::reason(&ended, &recipe.limits, &log.tail) {
        return failed(reason);
    }
    let tree = output::take(builder.store, &ended.scratch.path().join("out"))?;
    if tree.is_empty() {
        return failed("it left nothing in $out; install what it makes there".into());
    }
    let digest = builder.store.add_tree(&tree)?;
    Ok(ActionResult::with_output("tree", Output::Tree(digest)))
}

/// Opens a shell where a recipe would run, on this process's own terminal. The recipe's lines are in
/// the file `/build/lines`. What is left in there is thrown away; gives the shell's status.
///
/// # Errors
/// As [`run`], but for [`BuildError::Make`].
pub(crate) fn look(
    builder: &Builder<'_>,
    recipe: &Recipe,
    inputs: &[&ActionResult],
) -> Result<i32, BuildError> {
    let mut recipe = recipe.clone();
    let lines = recipe.command.last().cloned().unwrap_or_default();
    recipe.files.insert("lines".into(), lines + "\n");
    recipe.command = vec!["/usr/bin/sh".into(), "-i".into()];
    recipe.env.insert("PS1".into(), "nos:$PWD$ ".into());
    recipe.limits.time = std::time::Duration::MAX;
    let sandbox = stand(builder, &recipe, inputs, true)?;
    let ended = sandbox.run(&mut io::sink())?;
    Ok(match ended.ending {
        Ending::Exited(status) => status,
        Ending::Killed(_) | Ending::Over(_) => 1,
    })
}

/// Makes the sandbox of a recipe and fills it.
fn stand(
    builder: &Builder<'_>,
    recipe: &Recipe,
    inputs: &[&ActionResult],
    interactive: bool,
) -> Result<Sandbox, BuildError> {
    let (root, seen, copied) = place_inputs(builder, recipe, inputs)?;
    let vary = builder.options.vary;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let usual = processors.min(builder.jobs.max(1));
    let another = |cores| if cores == 1 { 2 } else { 1 };
    let cores = if vary { another(usual) } else { usual };
    let mut env = recipe.env.clone();
    for (name, value) in [
        ("HOME", "/build".to_string()),
        ("LANG", "C.UTF-8".into()),
        (CORES, cores.to_string()),
        ("PATH", "/usr/bin:/usr/sbin:/bin:/sbin".into()),
        ("SOURCE_DATE_EPOCH", EPOCH.to_string()),
        ("TMPDIR", "/tmp".into()),
        ("TZ", "UTC0".into()),
        ("out", "/out".into()),
    ] {
        env.entry(name.into()).or_insert(value);
    }
    let job = Job {
        command: recipe.command.clone(),
        env,
        folder: recipe.folder.clone(),
        root,
        inputs: seen,
        limits: recipe.limits,
        cores: vary.then_some(another(processors)),
        clock_s: Some(match vary {
            false => CLOCK_S,
            true => OTHER_CLOCK_S,
        }),
        interactive,
    };
    let sandbox = Sandbox::new(&job)?;
    let scratch = sandbox.scratch()?;
    scratch.fill(|folder| fill(builder, recipe, &folder.join("build"), &copied))??;
    Ok(sandbox)
}

/// In which order the names of inputs are made.
fn order(builder: &Builder<'_>) -> Order {
    match builder.options.vary {
        true => Order::Reversed,
        false => Order::Names,
    }
}

type Placed = (Option<PathBuf>, Vec<Input>, Vec<(String, Digest)>);

/// Puts inputs on disk: the root, what is seen where it is, and what is copied.
fn place_inputs(
    builder: &Builder<'_>,
    recipe: &Recipe,
    inputs: &[&ActionResult],
) -> Result<Placed, BuildError> {
    let (mut root, mut seen, mut copied) = (None, Vec::new(), Vec::new());
    for (place, input) in recipe.places.iter().zip(inputs) {
        match place {
            Place::Root => {
                let tree = output_tree(input, "tree")?;
                root = Some(checkout::checkout(builder.store, &tree, order(builder))?);
            }
            Place::At(target) => {
                let source = match input.object("file") {
                    Some(blob) => builder.store.object_path(&blob.digest),
                    None => {
                        let tree = output_tree(input, "tree")?;
                        checkout::checkout(builder.store, &tree, order(builder))?
                    }
                };
                seen.push(Input {
                    source,
                    target: target.clone(),
                });
            }
            Place::Copy(below) => copied.push((below.clone(), output_tree(input, "tree")?)),
        }
    }
    Ok((root, seen, copied))
}

/// Writes what a build finds in its folder `build`.
fn fill(
    builder: &Builder<'_>,
    recipe: &Recipe,
    build: &Path,
    copied: &[(String, Digest)],
) -> Result<(), BuildError> {
    let full = |path: &str, error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => BuildError::NoSpace {
            name: recipe.name.clone(),
            space_bytes: recipe.limits.space_bytes,
        },
        _ => BuildError::Io {
            path: PathBuf::from("/build").join(path),
            error,
        },
    };
    for (below, tree) in copied {
        let folder = build.join(below);
        fs::create_dir_all(&folder).map_err(|error| full(below, error))?;
        checkout::copy_out(builder.store, tree, order(builder), &folder).map_err(|error| {
            match error {
                BuildError::Io { error, .. } => full(below, error),
                other => other,
            }
        })?;
    }
    for (below, text) in &recipe.files {
        fs::write(build.join(below), text).map_err(|error| full(below, error))?;
    }
    Ok(())
}

/// A name for the log that tells this build from others of the same name.
fn log_name(recipe: &Recipe, inputs: &[&ActionResult]) -> Result<String, BuildError> {
    let mut key = KeyBuilder::new("nos.log").bytes("recipe", &serde_json::to_vec(recipe)?);
    for output in inputs.iter().flat_map(|input| input.outputs.values()) {
        key = key.digest("input", &output.digest());
    }
    let digest = key.finish().to_string();
    let short = digest.get(..12).unwrap_or_default();
    Ok(format!("{}-{short}", recipe.name.replace([' ', '/'], "-")))
}
