//! What programs are known to open at run time without any trace that a linker left.
//!
//! A row adds files that the tree has; it never demands one. Each says why it is here.

/// What makes a row apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A kept file imports this symbol.
    Imports(&'static str),
    /// A kept library has this name.
    Library(&'static str),
    /// A kept program matches this glob.
    Program(&'static str),
}

/// What a row adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adds {
    /// A library, found as the loader finds it for the file that triggered.
    Library(&'static str),
    /// Every file that one of these globs matches.
    Paths(&'static [&'static str]),
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// When it applies.
    pub trigger: Trigger,
    /// What it adds.
    pub adds: Adds,
    /// Why, for people.
    pub why: &'static str,
}

const UNWINDER: Adds = Adds::Library("libgcc_s.so.1");

/// The table.
pub const KNOWN: &[Known] = &[
    Known {
        trigger: Trigger::Imports("pthread_cancel"),
        adds: UNWINDER,
        why: "glibc opens libgcc_s to unwind the stack of a cancelled thread, and aborts without it",
    },
    Known {
        trigger: Trigger::Imports("pthread_exit"),
        adds: UNWINDER,
        why: "glibc opens libgcc_s to unwind the stack of an exiting thread, and aborts without it",
    },
    Known {
        trigger: Trigger::Imports("backtrace"),
        adds: UNWINDER,
        why: "glibc opens libgcc_s for backtrace()",
    },
    Known {
        trigger: Trigger::Library("libpam.so.0"),
        adds: Adds::Paths(&[
            "/etc/pam.conf",
            "/etc/pam.d/*",
            "/etc/security/**",
            "/usr/lib/*/security/pam_*.so",
        ]),
        why: "PAM opens the modules that its configuration names",
    },
    Known {
        trigger: Trigger::Library("libsasl2.so.2"),
        adds: Adds::Paths(&["/usr/lib/*/sasl2/*.so*"]),
        why: "SASL opens every mechanism in its folder",
    },
    Known {
        trigger: Trigger::Library("libtinfo.so.6"),
        adds: Adds::Paths(&[
            "/etc/terminfo/**",
            "/usr/lib/terminfo/**",
            "/usr/share/terminfo/**",
        ]),
        why: "terminals are described by files",
    },
    Known {
        trigger: Trigger::Program("/usr/bin/perl*"),
        adds: Adds::Paths(&[
            "/etc/perl/**",
            "/usr/lib/*/perl*/**",
            "/usr/share/perl/**",
            "/usr/share/perl5/**",
        ]),
        why: "Perl loads its modules by name",
    },
    Known {
        trigger: Trigger::Program("/usr/bin/python3*"),
        adds: Adds::Paths(&["/etc/python3*/**", "/usr/lib/python3*/**"]),
        why: "Python loads its modules by name",
    },
    Known {
        trigger: Trigger::Program("/usr/bin/ruby*"),
        adds: Adds::Paths(&[
            "/usr/lib/ruby/**",
            "/usr/lib/*/ruby/**",
            "/usr/share/rubygems-integration/**",
        ]),
        why: "Ruby loads its libraries by name",
    },
    Known {
        trigger: Trigger::Program("/usr/bin/php*"),
        adds: Adds::Paths(&["/etc/php/**", "/usr/lib/php/**"]),
        why: "PHP opens the extensions that its configuration names",
    },
];
