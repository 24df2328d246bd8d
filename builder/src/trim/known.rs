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
    /// The same, but for what one of the second globs matches.
    PathsBut(&'static [&'static str], &'static [&'static str]),
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

const SERVICES: Adds = Adds::Paths(&["/etc/protocols", "/etc/services"]);
const SERVICES_WHY: &str = "names of ports and protocols are looked up in it";
const PHP: Adds = Adds::Paths(&["/etc/php/**", "/usr/lib/php/**"]);
const PHP_WHY: &str = "PHP opens the extensions that its configuration names";
/// Zones and the lists of them, without what Debian's package has for leap seconds and for older
/// programs, and without `localtime`: PostgreSQL stumbles over a link that leads nowhere.
pub(super) const ZONE_GLOBS: &[&str] = &[
    "/usr/share/zoneinfo/[A-Zitz]*",
    "/usr/share/zoneinfo/[A-Z]*/**",
];
const ZONES: Adds = Adds::Paths(ZONE_GLOBS);
/// Folder of the time zones, as static programs name it.
pub(super) const ZONES_FOLDER: &[u8] = b"/usr/share/zoneinfo";
pub(super) const ZONES_WHY: &str = "it names the folder of time zones, and opens them by name";
const PHP_ZONES_WHY: &str = "PHP reads all time zones at its first date, and crashes without them";
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
        trigger: Trigger::Library("libcrypto.so.3"),
        adds: Adds::Paths(&[
            "/etc/ssl/openssl.cnf",
            "/usr/lib/ssl/cert.pem",
            "/usr/lib/ssl/certs",
            "/usr/lib/ssl/openssl.cnf",
        ]),
        why: "OpenSSL reads its settings, and finds the certificates it trusts, by these",
    },
    Known {
        trigger: Trigger::Imports("iconv_open"),
        adds: Adds::Paths(&[
            "/usr/lib/*/gconv/gconv-modules*",
            "/usr/lib/*/gconv/gconv-modules.d/*",
            "/usr/lib/*/gconv/CP125[0-2].so",
            "/usr/lib/*/gconv/ISO8859-1.so",
            "/usr/lib/*/gconv/ISO8859-15.so",
            "/usr/lib/*/gconv/UTF-*.so",
        ]),
        why: "iconv opens a module for each encoding; of 250 these are what most text is in",
    },
    Known {
        trigger: Trigger::Imports("getservbyname"),
        adds: SERVICES,
        why: SERVICES_WHY,
    },
    Known {
        trigger: Trigger::Imports("getservbyname_r"),
        adds: SERVICES,
        why: SERVICES_WHY,
    },
    Known {
        trigger: Trigger::Imports("getservbyport"),
        adds: SERVICES,
        why: SERVICES_WHY,
    },
    Known {
        trigger: Trigger::Imports("getprotobyname"),
        adds: SERVICES,
        why: SERVICES_WHY,
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
        // What programs in C are compiled with that have Perl in them is no module.
        adds: Adds::PathsBut(
            &[
                "/etc/perl/**",
                "/usr/lib/*/perl*/**",
                "/usr/share/perl/**",
                "/usr/share/perl5/**",
            ],
            &["/usr/lib/*/perl/*/CORE/**"],
        ),
        why: "Perl loads its modules by name",
    },
    Known {
        trigger: Trigger::Program("/usr/bin/python3*"),
        adds: Adds::Paths(&["/etc/python3*/**", "/usr/lib/python3*/**"]),
        why: "Python loads its modules by name",
    },
    Known {
        trigger: Trigger::Program("/usr/bin/python3*"),
        adds: ZONES,
        why: "Python opens time zones by name",
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
        adds: PHP,
        why: PHP_WHY,
    },
    Known {
        trigger: Trigger::Program("/usr/bin/php*"),
        adds: ZONES,
        why: PHP_ZONES_WHY,
    },
    Known {
        trigger: Trigger::Program("/usr/sbin/php*"),
        adds: ZONES,
        why: PHP_ZONES_WHY,
    },
    Known {
        trigger: Trigger::Program("/usr/sbin/php*"),
        adds: PHP,
        why: PHP_WHY,
    },
    Known {
        trigger: Trigger::Program("/usr/bin/node*"),
        adds: Adds::Paths(&[
            "/usr/lib/*/nodejs/**",
            "/usr/lib/nodejs/**",
            "/usr/share/node_modules/**",
            "/usr/share/nodejs/**",
        ]),
        why: "Node.js loads modules by name, Debian's also parts of itself",
    },
    Known {
        trigger: Trigger::Program("/usr/bin/lua*"),
        adds: Adds::Paths(&["/usr/lib/*/lua/**", "/usr/share/lua/**"]),
        why: "Lua loads its modules by name",
    },
    Known {
        trigger: Trigger::Program("/usr/lib/jvm/*/bin/*"),
        adds: Adds::Paths(&[
            "/etc/java*/**",
            "/usr/lib/jvm/*/conf/**",
            "/usr/lib/jvm/*/lib/**",
        ]),
        why: "Java loads its classes and libraries by name",
    },
    Known {
        trigger: Trigger::Program("/usr/sbin/nginx"),
        adds: Adds::Paths(&["/usr/lib/nginx/modules/*.so"]),
        why: "nginx opens the modules that its configuration names",
    },
    Known {
        trigger: Trigger::Program("/usr/sbin/lighttpd"),
        adds: Adds::Paths(&["/usr/lib/lighttpd/mod_*.so"]),
        why: "lighttpd opens the modules that its configuration names",
    },
    Known {
        trigger: Trigger::Program("/usr/lib/postgresql/*/bin/initdb"),
        adds: Adds::Paths(&[
            "/usr/lib/postgresql/*/bin/postgres",
            "/usr/share/postgresql/*/*",
        ]),
        why: "PostgreSQL makes a new database of these",
    },
    Known {
        trigger: Trigger::Program("/usr/lib/postgresql/*/bin/postgres"),
        adds: Adds::Paths(&[
            "/usr/lib/postgresql/*/lib/dict_*.so",
            "/usr/lib/postgresql/*/lib/libpqwalreceiver.so",
            "/usr/lib/postgresql/*/lib/plpgsql.so",
            "/usr/share/postgresql/*/extension/plpgsql*",
            "/usr/share/postgresql/*/timezonesets/*",
            "/usr/share/postgresql/*/tsearch_data/*",
        ]),
        why: "PostgreSQL opens these by name; of its extensions only the language it comes with",
    },
    Known {
        trigger: Trigger::Program("/usr/lib/postgresql/*/bin/postgres"),
        adds: ZONES,
        why: "queries name time zones, and PostgreSQL opens them",
    },
    Known {
        trigger: Trigger::Program("/usr/sbin/mariadbd"),
        adds: Adds::Paths(&["/usr/lib/mysql/plugin/*.so", "/usr/share/mysql/**"]),
        why: "MariaDB opens its messages, character sets and plug-ins by name",
    },
    Known {
        trigger: Trigger::Program("/usr/sbin/named"),
        adds: Adds::Paths(&["/usr/lib/*/bind/*.so", "/usr/share/dns/*"]),
        why: "BIND opens plug-ins and the root's addresses by name",
    },
];
