//! The words of the kernel's command line that init reads too.

use alloc::string::String;

/// What init takes from the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// `nos.log=debug`: say details.
    pub debug: bool,
    /// `nos.off=reset`: the machine ends when it is reset and has no other switch.
    pub off_by_reset: bool,
    /// `nos.trace`: say what services open ([`crate::trace`]).
    pub trace: bool,
    /// `panic=N`: seconds before a restart after a fatal error; below 0: at once; 0 or absent:
    /// no restart.
    pub panic_seconds: i64,
}

impl Options {
    /// Reads a command line; the last word of a kind counts, unknown words are the kernel's.
    pub fn parse(line: &str) -> Self {
        let mut options = Self::default();
        for word in line.split_ascii_whitespace() {
            options.trace |= word == nos_manifest::TRACE_WORD;
            match word.split_once('=') {
                Some(("nos.log", level)) => options.debug = level == "debug",
                Some(("nos.off", how)) => options.off_by_reset = how == "reset",
                Some(("panic", seconds)) => {
                    options.panic_seconds = seconds.parse().unwrap_or_default();
                }
                _ => {}
            }
        }
        options
    }
}

/// The parameters that a command line has for a module (`virtio_blk.queue_depth=128`), as the kernel
/// takes them when it loads one. It applies those of its own parts only, and leaves those of modules to
/// who loads them; in names, `-` and `_` are the same.
pub fn parameters(line: &str, module: &str) -> String {
    let plain = |name: &str| name.replace('-', "_");
    let module = plain(module);
    let mut found = String::new();
    for word in line.split_ascii_whitespace() {
        let Some((of, parameter)) = word.split_once('.') else {
            continue;
        };
        if plain(of) == module {
            if !found.is_empty() {
                found.push(' ');
            }
            found.push_str(parameter);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_modules_are_found() {
        let line =
            "quiet virtio_blk.queue_depth=128 a.b=1 virtio-blk.num_request_queues=2 root=x.y\n";
        let found = parameters(line, "virtio_blk");
        assert_eq!(found, "queue_depth=128 num_request_queues=2");
        assert_eq!(parameters(line, "virtio-blk"), found);
        assert_eq!(parameters(line, "virtio_net"), "");
        assert_eq!(parameters("a.b=1", "a"), "b=1");
        assert_eq!(parameters("a=b.c", "b"), "");
    }

    #[test]
    fn words_are_found_among_others() {
        let read = Options::parse("quiet nos.off=reset panic=10 nos.log=debug root=/dev/ram\n");
        assert_eq!(
            read,
            Options {
                debug: true,
                off_by_reset: true,
                trace: false,
                panic_seconds: 10
            }
        );
        assert!(Options::parse("quiet nos.trace\n").trace);
        assert_eq!(Options::parse("panic=-1").panic_seconds, -1);
        assert_eq!(
            Options::parse("panic=x panic nos.log nos.log=info nos.trace=1"),
            Options::default()
        );
    }
}
