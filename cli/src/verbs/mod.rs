//! One module per verb, or per family of verbs.

mod build;
mod check;
mod diff;
mod disk;
mod doctor;
mod explain;
mod flash;
mod fmt;
mod hardware;
mod image;
pub(crate) mod lock;
mod log;
mod man;
mod plan;
mod prove;
mod record;
mod rescue;
mod run;
mod store;
mod system;
mod tree;
mod trim;
mod why;

use crate::args::Verb;
use crate::context::Context;
use crate::failure::Failure;

/// What a verb gives back.
pub(crate) type Outcome = Result<(), Failure>;

/// Runs a verb.
pub(crate) fn run(context: &Context, verb: Verb) -> Outcome {
    match verb {
        Verb::Flash(args) => flash::run(context, &args),
        Verb::Fmt(args) => fmt::run(context, &args),
        Verb::Check(args) => check::run(context, &args),
        Verb::Lock(args) => lock::lock(context, &args),
        Verb::Update(args) => lock::update(context, &args),
        Verb::Plan(args) => plan::run(context, &args),
        Verb::Build(args) => build::build(context, &args),
        Verb::Image(args) => image::image(context, &args),
        Verb::Run(args) => run::run(context, &args),
        Verb::Install(args) => disk::install(context, &args),
        Verb::Generations(args) => disk::generations(context, &args),
        Verb::Switch(args) => disk::switch(context, &args),
        Verb::Rollback(args) => disk::rollback(context, &args),
        Verb::Verify(args) => disk::verify(context, &args),
        Verb::Rescue(args) => rescue::run(context, &args),
        Verb::Gc(args) => disk::gc(context, &args),
        Verb::Remove(args) => disk::remove(context, &args),
        Verb::Pin(args) => disk::pin(context, &args),
        Verb::Unpin(args) => disk::unpin(context, &args),
        Verb::Grow(args) => disk::grow(context, &args),
        Verb::Store(verb) => store::run(context, verb),
        Verb::Doctor => doctor::run(context),
        Verb::Hardware(args) => hardware::run(context, &args),
        Verb::Trim(args) => trim::trim(context, &args),
        Verb::Tree(args) => tree::run(context, &args),
        Verb::Why(args) => why::run(context, &args),
        Verb::Diff(args) => diff::run(context, &args),
        Verb::Sbom(args) => record::sbom(context, &args),
        Verb::Provenance(args) => record::provenance(context, &args),
        Verb::Explain(args) => explain::explain(context, &args),
        Verb::Init(args) => explain::init(context, &args),
        Verb::Lsp => crate::lsp::run(context),
        Verb::Completions(args) => explain::completions(&args),
        Verb::Man(args) => man::run(context, &args),
        Verb::Log(args) => log::run(context, &args),
    }
}
