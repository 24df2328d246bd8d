//! How each kind of build is done.

use super::{Place, Recipe};
use nos_sandbox::Limits;
use nos_specs::system::{Build, BuildLimits, Using};
use std::time::Duration;

/// Where a build has its sources.
const SOURCE: &str = "/build/source";

/// Takes symbols for debuggers out of whatever programs and libraries were installed. `strip`
/// refuses what is neither, which is no failure.
const STRIP: &str = "find \"$out\" -type f -exec strip --strip-unneeded {} + 2>/dev/null || :";

/// The recipe of a build; its places begin with the tools, and sources and needs are to be added.
/// Cargo's are elsewhere: `None`.
pub(crate) fn recipe(name: &str, build: &Build) -> Option<Recipe> {
    let lines = match &build.using {
        Using::Cargo(_) => return None,
        Using::Script { run } => run.clone(),
        Using::Make { flags } => {
            let flags = quoted(flags);
            vec![
                format!("make -j\"$NOS_CORES\" PREFIX=/usr{flags}"),
                format!("make install PREFIX=/usr DESTDIR=\"$out\"{flags}"),
                STRIP.into(),
            ]
        }
        Using::Autotools { flags } => vec![
            format!(
                "./configure --prefix=/usr --sysconfdir=/etc --localstatedir=/var \
                 --disable-dependency-tracking{}",
                quoted(flags)
            ),
            "make -j\"$NOS_CORES\"".into(),
            "make install DESTDIR=\"$out\"".into(),
            STRIP.into(),
        ],
        Using::Cmake { flags } => vec![
            format!(
                "cmake -S . -B /build/cmake -DCMAKE_BUILD_TYPE=Release \
                 -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_INSTALL_SYSCONFDIR=/etc{}",
                quoted(flags)
            ),
            "cmake --build /build/cmake -j \"$NOS_CORES\"".into(),
            "DESTDIR=\"$out\" cmake --install /build/cmake".into(),
            STRIP.into(),
        ],
    };
    let mut recipe = empty(name, build);
    recipe.command = shell(&lines);
    if !matches!(build.using, Using::Script { .. }) {
        for variable in ["CFLAGS", "CXXFLAGS"] {
            let variable = recipe.env.entry(variable.into());
            variable.or_insert_with(|| "-O2".into());
        }
    }
    Some(recipe)
}

/// Applies the patches of a Debian source, in the order and the strict way in which Debian's own tools
/// do.
const PATCH: &str = r#"cp -a . "$out"
cd "$out"
series=debian/patches/debian.series
test -e $series || series=debian/patches/series
if test -e $series; then
  sed -e 's/\(^\|[[:space:]]\)#.*//' -e '/^[[:space:]]*$/d' $series | while read -r name rest; do
    patch -s -t -F 0 -N -p1 -u -V never -E -i "debian/patches/$name" ||
      { echo "the patch $name does not fit"; exit 1; }
  done
fi"#;

/// How the patches of a source package are applied. Places: tools, the source.
pub(crate) fn patches(package: &str) -> Recipe {
    Recipe {
        name: format!("patches of {package}"),
        command: shell(&[PATCH.into()]),
        folder: SOURCE.into(),
        env: Default::default(),
        places: vec![Place::Root, Place::Copy("source".into())],
        files: Default::default(),
        limits: Limits::default(),
    }
}

/// A recipe with nothing to do.
pub(crate) fn empty(name: &str, build: &Build) -> Recipe {
    Recipe {
        name: format!("build {name}"),
        command: Vec::new(),
        folder: if build.source.is_some() {
            SOURCE.into()
        } else {
            "/build".into()
        },
        env: build.env.clone(),
        places: vec![Place::Root],
        files: Default::default(),
        limits: limits(&build.limits),
    }
}

/// A shell that runs lines one after the other, shows them, and stops at the first that fails.
pub(crate) fn shell(lines: &[String]) -> Vec<String> {
    ["/usr/bin/sh", "-eux", "-c", &lines.join("\n")]
        .map(String::from)
        .into()
}

/// Words for the shell, each with a blank before it.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| format!(" '{}'", word.replace('\'', "'\\''"));
    words.iter().map(quote).collect()
}

pub(crate) fn limits(limits: &BuildLimits) -> Limits {
    Limits {
        time: Duration::from_millis(limits.time_ms),
        memory_bytes: limits.memory_bytes,
        space_bytes: limits.space_bytes,
        processes: limits.processes,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        let words = ["--with=a b".to_string(), "it's $HOME".into()];
        assert_eq!(quoted(&words), " '--with=a b' 'it'\\''s $HOME'");
    }
}
