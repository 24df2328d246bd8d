//! The `nos` program: arguments, progress, colours, JSON. The only crate that prints or reads the
//! environment; what it does is done by the libraries.
#![forbid(unsafe_code)]

mod args;
mod changes;
mod complete;
mod context;
mod failure;
mod help;
mod live;
mod lsp;
mod scratch;
mod shell;
mod tools;
mod units;
mod verbs;

use clap::FromArgMatches;
use clap_complete::CompleteEnv;
use context::Context;
use failure::Failure;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // A panic in here would end the program without a word, so a lost terminal is no reason.
        let _ = writeln!(
            std::io::stderr(),
            "error: this is a bug in nos: {panic}\nPlease report it with the command and the spec \
             that led here. Nothing was left half done."
        );
    }));
    let words: Vec<OsString> = std::env::args_os().collect();
    let asked = CompleteEnv::with_factory(|| complete::command(&words))
        .var(complete::VARIABLE)
        .try_complete(words.clone(), std::env::current_dir().ok().as_deref());
    match asked {
        Ok(false) => {}
        // A shell that no longer listens is no reason to complain.
        Ok(true) | Err(_) => return ExitCode::SUCCESS,
    }
    ExitCode::from(act(words))
}

/// Does what a command line says; gives the exit code.
fn act(words: Vec<OsString>) -> u8 {
    let matches = help::command().try_get_matches_from(words);
    let cli = match matches.and_then(|mut matches| args::Cli::from_arg_matches_mut(&mut matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output with exit code 0, usage errors to standard error.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let context = Context::from_environment(cli.global);
    let outcome = verbs::run(&context, cli.verb);
    context.shell.clear();
    match outcome {
        Ok(()) | Err(Failure::BrokenPipe) => 0,
        Err(failure) => {
            if let Some(message) = failure.message() {
                context.shell.failure(message);
            }
            failure.exit_code()
        }
    }
}
