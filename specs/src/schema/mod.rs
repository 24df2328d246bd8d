//! What blocks, attributes and calls there are: one table that checks specs and documents them.

mod blocks;
mod build;
mod calls;
mod docs;
mod rules;

pub use blocks::BLOCKS;
pub(crate) use blocks::defaults;
pub(crate) use build::{DEBIAN, FETCH, GIT, OCI, PULL};
pub use calls::CALLS;
pub(crate) use calls::{DHCP, FORWARD, STATIC};
pub use docs::{explain_path, paths};
pub(crate) use docs::{range, signature};
pub(crate) use rules::{
    CAPABILITIES, CAPABILITY, PACKAGE, PROGRAM, Problem, SOURCE, SOURCE_PACKAGE,
};

/// A kind of block.
#[derive(Debug)]
pub struct Block {
    /// The word that begins it.
    pub name: &'static str,
    /// One sentence: what it is.
    pub doc: &'static str,
    /// Its attributes, in groups.
    pub groups: &'static [&'static [Attribute]],
    /// A small one in full.
    pub example: &'static str,
}

impl Block {
    /// All attributes, in the order of the documentation.
    pub fn attributes(&self) -> impl Iterator<Item = &'static Attribute> + use<> {
        self.groups.iter().flat_map(|group| group.iter())
    }
}

/// An attribute of a block, a name of a record or an argument of a call.
#[derive(Debug)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub ty: &'static Type,
    /// Whether it must be there.
    pub required: bool,
    /// What holds where it is absent, as one would write or say it.
    pub default: Option<&'static str>,
    /// What it is for.
    pub doc: &'static str,
    /// A whole line that shows it.
    pub example: &'static str,
    /// What people from elsewhere may call it.
    pub aliases: &'static [&'static str],
}

/// What an attribute takes.
#[derive(Debug)]
pub enum Type {
    /// `true` or `false`
    Bool,
    /// A text with a rule for its form.
    Text(&'static Rule),
    /// A whole number in a range.
    Number(i64, i64),
    /// A size in a range of bytes.
    Size(i64, i64),
    /// A time in a range of milliseconds.
    Time(i64, i64),
    /// One of a few words.
    Words(&'static [Word]),
    /// A list.
    List {
        /// Of what.
        of: &'static Type,
        /// Whether it may be empty.
        empty: bool,
        /// Whether an element may stand in it more than once.
        repeats: bool,
    },
    /// A record with names of the user's choice.
    Map(&'static Rule, &'static Type),
    /// A record with given names.
    Record(&'static [Attribute]),
    /// The name of a block of this kind.
    Block(&'static str),
    /// One of some calls.
    Calls(&'static [&'static Call]),
    /// A word or a call.
    WordsOrCalls(&'static [Word], &'static [&'static Call]),
}

/// The form that a text must have.
#[derive(Debug)]
pub struct Rule {
    /// What it is called, with its article.
    pub name: &'static str,
    /// An example, without quotes.
    pub example: &'static str,
    /// Says what is wrong with a text, if anything.
    pub(crate) check: fn(&str) -> Result<(), Problem>,
}

/// A word that stands for a choice.
#[derive(Debug)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// What it chooses.
    pub doc: &'static str,
}

/// A constructor such as `tcp(80)`.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// What it makes.
    pub doc: &'static str,
    /// Its arguments; those without a default come first and may be given without their names.
    pub arguments: &'static [Attribute],
}

impl Call {
    /// How it is written, for messages: `file(…)`, or `nos()`.
    fn form(&self) -> String {
        let arguments = if self.arguments.is_empty() { "" } else { "…" };
        format!("`{}({arguments})`", self.name)
    }
}

/// The kind of block with this name.
pub fn block(name: &str) -> Option<&'static Block> {
    BLOCKS.iter().find(|block| block.name == name)
}

/// All words that stand for choices, each once.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    blocks::WORDS
        .iter()
        .flat_map(|words| words.iter())
        .map(|word| word.name)
}

/// The word `name`, as one of those that `expected` takes where it takes some.
pub(crate) fn word(name: &str, expected: Option<&'static Type>) -> Option<&'static Word> {
    let here: &[Word] = match expected {
        Some(Type::Words(words) | Type::WordsOrCalls(words, _)) => words,
        _ => &[],
    };
    let everywhere = blocks::WORDS.iter().flat_map(|words| words.iter());
    here.iter().chain(everywhere).find(|word| word.name == name)
}

/// The call `name`, as one of those that `expected` takes where it takes some.
pub(crate) fn call(name: &str, expected: Option<&'static Type>) -> Option<&'static Call> {
    let here: &[&'static Call] = match expected {
        Some(Type::Calls(calls) | Type::WordsOrCalls(_, calls)) => calls,
        _ => &[],
    };
    here.iter()
        .chain(CALLS)
        .find(|call| call.name == name)
        .copied()
}

/// Whether `name` means something everywhere.
pub(crate) fn is_word(name: &str) -> bool {
    words().any(|word| word == name)
}

/// The names of all calls.
pub(crate) fn call_names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|call| call.name)
}

/// The table's own text for the name of a call.
pub(crate) fn call_name(name: &str) -> Option<&'static str> {
    call_names().find(|known| *known == name)
}

/// The one of `calls` that is meant by a name and by the names of the arguments given: where
/// several have the name, the first that needs one of these arguments, else the first.
pub(crate) fn meant(
    calls: &[&'static Call],
    name: &str,
    mut is_given: impl FnMut(&str) -> bool,
) -> Option<&'static Call> {
    let mut named = calls.iter().copied().filter(|call| call.name == name);
    let first = named.clone().next();
    let mut needs = |call: &&Call| {
        call.arguments
            .iter()
            .any(|a| a.required && is_given(a.name))
    };
    named.find(|call| needs(call)).or(first)
}

/// The health probe that is meant by a name and by the names of the arguments given.
pub(crate) fn probe(name: &str, is_given: impl FnMut(&str) -> bool) -> Option<&'static Call> {
    let probes = [
        &calls::HTTP,
        &calls::HTTP_CHANNEL,
        &calls::TCP_PROBE,
        &calls::EXEC,
    ];
    meant(&probes, name, is_given)
}

impl Type {
    /// What it takes, for messages: "a list of ports".
    pub fn describe(&self) -> String {
        match self {
            Type::Bool => "`true` or `false`".into(),
            Type::Text(rule) => rule.name.into(),
            Type::Number(..) => "a number".into(),
            Type::Size(..) => "a size".into(),
            Type::Time(..) => "a time".into(),
            Type::Words(words) => choice(words.iter().map(|word| format!("`{}`", word.name))),
            Type::List { of, .. } => format!("a list of {}", of.plural()),
            Type::Map(key, value) => {
                format!("a record of {} = {}", key.name, value.describe())
            }
            Type::Record(attributes) => {
                let names: Vec<&str> = attributes.iter().map(|a| a.name).collect();
                format!("a record of {}", names.join(", "))
            }
            Type::Block(kind) => article(kind),
            Type::Calls(calls) => choice(calls.iter().map(|call| call.form())),
            Type::WordsOrCalls(words, calls) => choice(
                words
                    .iter()
                    .map(|word| format!("`{}`", word.name))
                    .chain(calls.iter().map(|call| call.form())),
            ),
        }
    }

    fn plural(&self) -> String {
        match self {
            Type::Text(rule) => {
                let name = rule.name.trim_start_matches("an ").trim_start_matches("a ");
                match name.strip_suffix("ty") {
                    Some(stem) => format!("{stem}ties"),
                    None if name.ends_with("ss") => format!("{name}es"),
                    None => match name.split_once(" of ") {
                        Some((head, tail)) => format!("{head}s of {tail}"),
                        None => format!("{name}s"),
                    },
                }
            }
            Type::Block(kind) => format!("{kind}s"),
            other => other.describe(),
        }
    }

    /// A value of this type as one would write it.
    pub fn example(&self) -> String {
        match self {
            Type::Bool => "true".into(),
            Type::Text(rule) => format!("\"{}\"", rule.example),
            Type::Number(1, 65_535) => "80".into(),
            Type::Number(least, _) => format!("{}", (*least).max(1)),
            Type::Size(..) => "64MiB".into(),
            Type::Time(..) => "10s".into(),
            Type::Words(words) => words
                .first()
                .map_or_else(String::new, |w| w.name.to_owned()),
            Type::List { of, .. } => format!("[{}]", of.example()),
            Type::Map(key, value) => format!("{{ \"{}\" = {} }}", key.example, value.example()),
            Type::Record(attributes) => attributes.first().map_or_else(String::new, |attribute| {
                format!("{{ {} = {} }}", attribute.name, attribute.ty.example())
            }),
            Type::Block(kind) => format!("my-{kind}"),
            Type::Calls(calls) => calls
                .first()
                .map_or_else(String::new, |call| call.example()),
            Type::WordsOrCalls(words, _) => words
                .last()
                .map_or_else(String::new, |word| word.name.to_owned()),
        }
    }
}

impl Call {
    /// A call with its required arguments, as one would write it.
    pub fn example(&self) -> String {
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .filter(|argument| argument.required)
            .map(|argument| argument.ty.example())
            .collect();
        format!("{}({})", self.name, arguments.join(", "))
    }
}

/// "a", "a or b", "a, b or c".
pub(crate) fn choice(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.collect();
    match parts.pop() {
        Some(last) if !parts.is_empty() => format!("{} or {last}", parts.join(", ")),
        Some(last) => last,
        None => String::new(),
    }
}

/// `word` with "a" or "an" before it.
pub(crate) fn article(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if vowel { "an" } else { "a" })
}
