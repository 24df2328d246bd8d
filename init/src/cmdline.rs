//! The words of the kernel's command line that init reads too.

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

#[cfg(test)]
mod tests {
    use super::*;

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
