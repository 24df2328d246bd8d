//! What every verb works with: options, environment, store, clock.

use crate::args::Global;
use crate::failure::Failure;
use crate::shell::Shell;
use nos_builder::build::Options;
use nos_store::Store;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Options and environment of this run. The only place that reads either.
pub(crate) struct Context {
    pub(crate) shell: Shell,
    /// Actions and downloads at once.
    pub(crate) jobs: usize,
    /// Memory that actions may need together, in bytes.
    pub(crate) memory_bytes: u64,
    /// Use nothing but what the store holds.
    pub(crate) offline: bool,
    /// Mirror from the command line.
    pub(crate) mirror: Option<String>,
    /// Mirror from `NOS_DEBIAN_MIRROR`.
    pub(crate) environment_mirror: Option<String>,
    /// Now, in seconds since 1970; what `SOURCE_DATE_EPOCH` says, where it is set.
    pub(crate) now: u64,
    /// Whether the terminal, if there is one, can do nothing but show lines.
    pub(crate) dumb: bool,
    /// Who runs this: `user@machine`.
    pub(crate) who: String,
    /// Folders of `PATH`.
    pub(crate) search_path: Vec<PathBuf>,
    /// Folder for what can be made again at any time.
    pub(crate) cache: Option<PathBuf>,
    /// This program's own file.
    program: Option<PathBuf>,
    /// Text of cargo's configuration for this user.
    cargo: Option<String>,
    store: Option<PathBuf>,
}

impl Context {
    /// Reads the environment.
    pub(crate) fn from_environment(global: Global) -> Self {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
        if let Some(authorities) = set("SSL_CERT_FILE") {
            nos_builder::debian::trust_only(authorities.into());
        }
        let store = global.store.or_else(|| set("NOS_STORE").map(PathBuf::from));
        let store = store.or_else(|| {
            let data = set("XDG_DATA_HOME")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/share")))?;
            Some(data.join("nos/store"))
        });
        let cache = set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
        let (no_color, dumb) = (
            set("NO_COLOR").is_some(),
            set("TERM").is_some_and(|t| t == "dumb"),
        );
        Self {
            shell: Shell::new(global.color, no_color, dumb, global.quiet, global.json),
            dumb,
            who: who(),
            jobs: global.jobs.map_or_else(processors, usize::from),
            memory_bytes: global.build_memory.unwrap_or_else(spare_memory_bytes),
            offline: global.offline,
            mirror: global.mirror.filter(|m| !m.is_empty()),
            environment_mirror: std::env::var("NOS_DEBIAN_MIRROR")
                .ok()
                .filter(|m| !m.is_empty()),
            now: set("SOURCE_DATE_EPOCH")
                .and_then(|text| text.to_str()?.parse().ok())
                .unwrap_or_else(seconds_since_1970),
            search_path: set("PATH").map_or_else(Vec::new, |p| std::env::split_paths(&p).collect()),
            cache,
            program: std::env::current_exe().ok(),
            cargo: cargo_configuration(),
            store,
        }
    }

    /// Folder of the store.
    ///
    /// # Errors
    /// Where neither an option nor the environment names one.
    pub(crate) fn store_path(&self) -> Result<&PathBuf, Failure> {
        self.store.as_ref().ok_or_else(|| {
            Failure::Wrong(
                "there is no place for the store: neither NOS_STORE, XDG_DATA_HOME nor HOME is \
                 set; set one, or use --store DIR"
                    .into(),
            )
        })
    }

    /// What this run decides about builds.
    pub(crate) fn build_options(&self) -> Options<'_> {
        Options {
            offline: self.offline,
            cargo: self.cargo.as_deref(),
            program: self.program.as_deref(),
            ..Options::default()
        }
    }

    /// Opens the store, and makes it where it is missing.
    ///
    /// # Errors
    /// Where that fails.
    pub(crate) fn open_store(&self) -> Result<Store, Failure> {
        Ok(Store::open(self.store_path()?)?)
    }
}

/// Three quarters of the memory that is available now; without limit where the kernel does not
/// say how much that is.
fn spare_memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.map_or(u64::MAX, |kib| kib.saturating_mul(1024) / 4 * 3)
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// `$CARGO_HOME/config.toml`, where there is one.
fn cargo_configuration() -> Option<String> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = set("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cargo")))?;
    std::fs::read_to_string(home.join("config.toml")).ok()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Who runs this, as far as that is known: behind `sudo`, who called it.
fn who() -> String {
    let names = ["SUDO_USER", "LOGNAME", "USER"];
    let named = names
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|n| !n.is_empty()));
    let user = named.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string());
    let machine = rustix::system::uname();
    format!("{user}@{}", machine.nodename().to_string_lossy())
}
