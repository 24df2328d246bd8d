//! What is made from sources: the attributes of `build` and the calls that only it takes.

use super::calls::{FOLDER, argument, option};
use super::rules::*;
use super::{Attribute, Call, Type};

const MIB: i64 = 1 << 20;
const TIB: i64 = 1 << 40;

const FLAGS: Attribute = option(
    "flags",
    &Type::List {
        of: &Type::Text(&ARGUMENT),
        empty: true,
        repeats: true,
    },
    "none",
    "Further arguments.",
);

/// `fetch("https://…", sha256 = "…")`
pub(crate) const FETCH: Call = Call {
    name: "fetch",
    doc: "A file from the network, which is what its digest says and nothing else. As the source of \
          a build an archive (tar, also packed by gzip, bzip2, xz or zstd) is unpacked; a single folder at \
          its top is left out.",
    arguments: &[
        argument("url", &Type::Text(&MIRROR), "Where it is."),
        argument("sha256", &Type::Text(&SHA256), "SHA-256 of the file."),
        option(
            "mirrors",
            &Type::List {
                of: &Type::Text(&MIRROR),
                empty: true,
                repeats: false,
            },
            "none",
            "Other places where the same file is, asked in turn.",
        ),
    ],
};

/// `git("https://…", commit = "…")`
pub(crate) const GIT: Call = Call {
    name: "git",
    doc: "The files of one commit of a git repository, as git has them: nothing of the repository \
          runs, and no filter or conversion changes them. `nos lock` pins their SHA-256, so that \
          more than git's SHA-1 decides what is built.",
    arguments: &[
        argument("url", &Type::Text(&REPOSITORY), "Where the repository is."),
        argument(
            "commit",
            &Type::Text(&COMMIT),
            "Name of the commit. `git ls-remote URL` prints those of branches and tags.",
        ),
        option(
            "submodules",
            &Type::Bool,
            "true",
            "Whether the files of submodules come along, each at the commit that is pinned.",
        ),
        option(
            "mirrors",
            &Type::List {
                of: &Type::Text(&REPOSITORY),
                empty: true,
                repeats: false,
            },
            "none",
            "Other places where the same repository is, asked in turn.",
        ),
    ],
};

/// `debian("dropbear")`
pub(crate) const DEBIAN: Call = Call {
    name: "debian",
    doc: "The source of a Debian package, from the archive that packages come from: what upstream \
          published, with the patches that Debian's own package is built with (security fixes among \
          them). `nos lock` pins it by the signed index; `nos update` takes the archive's latest.",
    arguments: &[
        argument(
            "package",
            &Type::Text(&SOURCE_PACKAGE),
            "Name of the source package. `apt-cache showsrc PACKAGE` prints that of a package.",
        ),
        option(
            "patches",
            &Type::Bool,
            "true",
            "Whether Debian's patches are applied. Without them it is upstream's alone, and has no \
             folder `debian`.",
        ),
    ],
};

/// `script(run = ["make", "make install DESTDIR=$out"])`
pub(crate) const SCRIPT: Call = Call {
    name: "script",
    doc: "Lines for the shell, in the source's folder, until one fails.",
    arguments: &[argument(
        "run",
        &Type::List {
            of: &Type::Text(&ARGUMENT),
            empty: false,
            repeats: true,
        },
        "The lines. What they put into `$out` is the result.",
    )],
};

/// `make()`
pub(crate) const MAKE: Call = Call {
    name: "make",
    doc: "A Makefile: `make`, then `make install`, with `PREFIX=/usr` and `DESTDIR`. gcc and make \
          are among the tools.",
    arguments: &[FLAGS],
};

/// `autotools()`
pub(crate) const AUTOTOOLS: Call = Call {
    name: "autotools",
    doc: "`./configure` for `/usr`, then `make` and `make install`. gcc and make are among the tools.",
    arguments: &[FLAGS],
};

/// `cmake()`
pub(crate) const CMAKE: Call = Call {
    name: "cmake",
    doc: "A CMake project, as a release, installed to `/usr`. gcc, make and cmake are among the \
          tools.",
    arguments: &[FLAGS],
};

/// `cargo(static = true)`
pub(crate) const CARGO: Call = Call {
    name: "cargo",
    doc: "A Rust package with its `Cargo.lock`: each crate is fetched by its checksum, and programs \
          go to `/usr/bin`. rustc, cargo and gcc are among the tools.",
    arguments: &[
        option(
            "static",
            &Type::Bool,
            "false",
            "Whether programs carry the C library in them.",
        ),
        option(
            "package",
            &Type::Text(&CRATE),
            "the package at the top, or all of the workspace",
            "Which package of a workspace. Of the others it sees only those that it needs.",
        ),
        option(
            "features",
            &Type::List {
                of: &Type::Text(&FEATURE),
                empty: true,
                repeats: false,
            },
            "none",
            "Features to switch on.",
        ),
        option(
            "default-features",
            &Type::Bool,
            "true",
            "Whether the package's default features are on.",
        ),
    ],
};

/// `oci("image.tar")`
pub(crate) const OCI: Call = Call {
    name: "oci",
    doc: "An image of the Open Container Initiative beside the spec: a folder in its layout, an \
          archive of one, or what `docker save` writes.",
    arguments: &[argument(
        "path",
        &Type::Text(&SOURCE),
        "Path relative to the spec's folder.",
    )],
};

/// `pull("https://registry.example/app", sha256 = "…")`
pub(crate) const PULL: Call = Call {
    name: "pull",
    doc: "An image in a registry, which is what its digest says and nothing else.",
    arguments: &[
        argument(
            "url",
            &Type::Text(&IMAGE_ADDRESS),
            "The registry and the name of the image in it.",
        ),
        argument(
            "sha256",
            &Type::Text(&SHA256),
            "Digest of the image's manifest, or of an index that has one for this processor. \
             `skopeo inspect docker://IMAGE` prints it.",
        ),
    ],
};

const NOTHING: Attribute = Attribute {
    name: "",
    ty: &Type::Bool,
    required: false,
    default: None,
    doc: "",
    example: "",
    aliases: &[],
};

const LIMITS: &[Attribute] = &[
    Attribute {
        name: "time",
        ty: &Type::Time(1000, 24 * 3_600_000),
        default: Some("2h"),
        doc: "Time after which it is ended.",
        example: "time = 30min",
        aliases: &["timeout"],
        ..NOTHING
    },
    Attribute {
        name: "memory",
        ty: &Type::Size(16 * MIB, TIB),
        default: Some("8GiB"),
        doc: "Memory of all its processes together.",
        example: "memory = 2GiB",
        aliases: &["ram"],
        ..NOTHING
    },
    Attribute {
        name: "space",
        ty: &Type::Size(MIB, TIB),
        default: Some("8GiB"),
        doc: "What its folders hold together, sources and result included. They lie in memory.",
        example: "space = 2GiB",
        aliases: &["disk", "output"],
        ..NOTHING
    },
    Attribute {
        name: "processes",
        ty: &Type::Number(16, 65_536),
        default: Some("1024"),
        doc: "Processes and threads at once.",
        example: "processes = 4096",
        aliases: &["tasks", "threads", "pids"],
        ..NOTHING
    },
];

/// The attributes of `build`.
pub(super) const BUILD: &[Attribute] = &[
    Attribute {
        name: "source",
        ty: &Type::Calls(&[&FOLDER, &DEBIAN, &FETCH, &GIT]),
        default: Some("an empty folder, for a script"),
        doc: "What is built. The build has a copy of its own, to which it may write.",
        example: "source = folder(\"greeter\")",
        aliases: &["src", "from", "path"],
        ..NOTHING
    },
    Attribute {
        name: "using",
        ty: &Type::Calls(&[&SCRIPT, &CARGO, &MAKE, &AUTOTOOLS, &CMAKE]),
        required: true,
        doc: "How it is built. It runs in a sandbox: no network, no clock of its own, and nothing of \
              this machine but what is declared.",
        example: "using = cargo(static = true)",
        aliases: &["builder", "with", "system", "run"],
        ..NOTHING
    },
    Attribute {
        name: "tools",
        ty: &Type::List {
            of: &Type::Text(&PACKAGE),
            empty: true,
            repeats: false,
        },
        doc: "Further Debian packages that the build uses. `nos lock` pins them, with what they \
              depend on. A shell, coreutils, sed, grep, awk, tar and gzip are always there.",
        example: "tools = [\"pkg-config\", \"libssl-dev\"]",
        aliases: &["packages", "build-deps", "dependencies"],
        ..NOTHING
    },
    Attribute {
        name: "needs",
        ty: &Type::List {
            of: &Type::Block("build"),
            empty: true,
            repeats: false,
        },
        doc: "Other builds. The result of `other` is at `/needs/other`, read-only.",
        example: "needs = [library]",
        aliases: &["after", "inputs", "depends"],
        ..NOTHING
    },
    Attribute {
        name: "env",
        ty: &Type::Map(&VARIABLE, &Type::Text(&TEXT)),
        doc: "Environment variables besides those that every build has.",
        example: "env = { CFLAGS = \"-Os\" }",
        aliases: &["environment", "variables"],
        ..NOTHING
    },
    Attribute {
        name: "limits",
        ty: &Type::Record(LIMITS),
        doc: "How much of this machine it may take.",
        example: "limits = { time = 30min, memory = 2GiB }",
        aliases: &["limit"],
        ..NOTHING
    },
];
