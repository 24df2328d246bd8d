//! Names of a file: collecting, finding, and the blocks that `for` and `if` make.

use super::value::{BlockId, Value, ValueKind};
use super::{BlockValue, Env, Evaluator, Module, PARAMETER_TYPES};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::schema;
use crate::source::Span;
use crate::suggest::nearest;
use crate::syntax::KEYWORDS;
use crate::syntax::ast::{self, Item, Key, Name};
use std::collections::BTreeMap;
use std::rc::Rc;

/// How far the evaluation of something is.
pub(crate) enum State<T> {
    New,
    Busy,
    Done(T),
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub(crate) enum Definition<'a> {
    /// Number among all `let`s.
    Let(LetId),
    Block(BlockId),
    Template(usize, &'a ast::Template),
    Module(usize),
    /// A definition with a mistake that has been reported.
    Wrong,
}

/// Number of a `let`: its module and its place among the module's `let`s.
#[derive(Clone, Copy)]
pub(crate) struct LetId {
    module: usize,
    index: usize,
}

/// The names of one file.
#[derive(Default)]
pub(crate) struct Scope<'a> {
    names: BTreeMap<Rc<str>, (Definition<'a>, Span)>,
    lets: Vec<(&'a ast::Let, State<Value>)>,
}

impl<'a> Scope<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<Definition<'a>> {
        self.names.get(name).map(|(definition, _)| *definition)
    }

    /// Name, place and meaning of everything defined, in order of names.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = (&str, Span, Definition<'a>)> {
        self.names
            .iter()
            .map(|(name, (definition, span))| (&**name, *span, *definition))
    }
}

impl<'a> Evaluator<'a> {
    /// The names of `module` that stand there in plain words.
    pub(super) fn collect(&mut self, module: &'a Module) -> Scope<'a> {
        let index = self.scopes.len();
        let mut scope = Scope::default();
        let mut uses = module.uses.iter();
        for item in &module.ast.items {
            match item {
                Item::Use(item) => {
                    let Some(name) = item.alias.as_ref().or(item.path.last()) else {
                        continue;
                    };
                    let definition = match uses.next() {
                        Some(Some(other)) => Definition::Module(*other),
                        _ => Definition::Wrong,
                    };
                    self.define(&mut scope, &name.text, name.span, definition);
                }
                Item::Let(item) => {
                    let id = LetId {
                        module: index,
                        index: scope.lets.len(),
                    };
                    scope.lets.push((item, State::New));
                    self.define(
                        &mut scope,
                        &item.name.text,
                        item.name.span,
                        Definition::Let(id),
                    );
                }
                Item::Template(template) => {
                    self.check_template(template);
                    let name = &template.name;
                    let definition = Definition::Template(index, template);
                    self.define(&mut scope, &name.text, name.span, definition);
                }
                Item::Block(_) | Item::For(_) | Item::If(_) => {}
            }
        }
        scope
    }

    fn check_template(&mut self, template: &ast::Template) {
        if schema::block(&template.kind.text).is_none() {
            self.unknown_kind(&template.kind);
        }
        for (index, parameter) in template.parameters.iter().enumerate() {
            let before = &template.parameters[..index];
            if let Some(first) = before.iter().find(|p| p.name.text == parameter.name.text) {
                self.report(
                    Diagnostic::new(
                        codes::DUPLICATE_NAME,
                        parameter.name.span,
                        format!("there is a parameter `{}` already", parameter.name.text),
                        "choose another name",
                    )
                    .label(first.name.span, "the first one"),
                );
            }
            let kind = &parameter.kind;
            if !PARAMETER_TYPES.contains(&kind.text.as_str()) {
                let help = format!("the types are {}", PARAMETER_TYPES.join(", "));
                let message = format!("there is no type `{}`", kind.text);
                let mut wrong = Diagnostic::new(codes::UNKNOWN_TYPE, kind.span, message, help);
                if let Some(near) = nearest(&kind.text, PARAMETER_TYPES.iter().copied()) {
                    wrong.help = format!("did you mean `{near}`?");
                    wrong = wrong.fix(kind.span, near);
                }
                self.report(wrong);
            }
        }
    }

    fn define(
        &mut self,
        scope: &mut Scope<'a>,
        name: &str,
        span: Span,
        definition: Definition<'a>,
    ) {
        if schema::is_word(name) && !KEYWORDS.contains(&name) {
            self.report(Diagnostic::new(
                codes::RESERVED_NAME,
                span,
                format!("`{name}` is a word of the language"),
                "choose another name",
            ));
            return;
        }
        if let Some((_, first)) = scope.names.get(name) {
            let first = *first;
            // What the name means is unclear, so nothing is said about its uses.
            scope.names.insert(name.into(), (Definition::Wrong, first));
            self.report(
                Diagnostic::new(
                    codes::DUPLICATE_NAME,
                    span,
                    format!("`{name}` is defined a second time"),
                    "give one of the two another name",
                )
                .label(first, "the first definition"),
            );
            return;
        }
        scope.names.insert(name.into(), (definition, span));
    }

    /// Declares a block whose name is a plain word.
    pub(super) fn declare_plain(&mut self, module: usize, item: &'a Item) {
        if let Item::Block(block) = item
            && let Key::Name(name) = &block.name
        {
            self.declare(&Env::of(module), block, &name.text, name.span);
        }
    }

    /// Declares the blocks that an item makes.
    pub(super) fn expand(&mut self, env: &Env, item: &'a Item) {
        match item {
            Item::Block(block) => match &block.name {
                Key::Name(name) => self.declare(env, block, &name.text, name.span),
                Key::Text(text) => {
                    let value = self.value(env, text);
                    if let Some(name) = value.as_text() {
                        self.declare(env, block, name, text.span);
                    }
                }
            },
            Item::For(item) => {
                for inner in self.rounds(env, &item.names, &item.list) {
                    for item in &item.body {
                        self.expand(&inner, item);
                    }
                }
            }
            Item::If(item) => {
                for item in self.branch(env, item) {
                    self.expand(env, item);
                }
            }
            Item::Use(ast::Use { span, .. })
            | Item::Let(ast::Let { span, .. })
            | Item::Template(ast::Template { span, .. }) => {
                let span = *span;
                self.report(Diagnostic::new(
                    codes::UNEXPECTED,
                    span,
                    "only blocks can stand in `for` and `if`",
                    "move this to the top level of the file",
                ));
            }
        }
    }

    fn declare(&mut self, env: &Env, block: &'a ast::Block, name: &str, span: Span) {
        if !self.spend(10, span) {
            return;
        }
        let kind = schema::block(&block.kind.text);
        if kind.is_none() {
            self.unknown_kind(&block.kind);
        }
        if !is_block_name(name) {
            self.report(Diagnostic::new(
                codes::BAD_NAME,
                span,
                format!("`{name}` cannot be the name of a block"),
                "use 1 to 32 of a-z, 0-9 and -, a letter first and no - last",
            ));
        }
        let id = BlockId(self.blocks.len());
        self.blocks.push(BlockValue {
            kind,
            name: name.into(),
            name_span: span,
            env: env.clone(),
            ast: block,
            fields: State::New,
        });
        let mut scope = std::mem::take(&mut self.scopes[env.module]);
        let definition = if kind.is_some() {
            Definition::Block(id)
        } else {
            Definition::Wrong
        };
        self.define(&mut scope, name, span, definition);
        self.scopes[env.module] = scope;
    }

    fn unknown_kind(&mut self, kind: &Name) {
        let kinds: Vec<&str> = schema::BLOCKS.iter().map(|block| block.name).collect();
        let message = format!("there are no `{}` blocks", kind.text);
        let help = format!("the kinds of blocks are {}", kinds.join(", "));
        let mut wrong = Diagnostic::new(codes::UNKNOWN_KIND, kind.span, message, help);
        if let Some(near) = nearest(&kind.text, kinds) {
            wrong.help = format!("did you mean `{near}`?");
            wrong = wrong.fix(kind.span, near);
        }
        self.report(wrong);
    }

    /// Names and meanings of `module`.
    pub(crate) fn scope(&self, module: usize) -> &Scope<'a> {
        &self.scopes[module]
    }

    /// The value of the `let` called `name`, worked out now where it was not yet; `None` where the
    /// name means something else.
    pub(crate) fn value_of_let(&mut self, module: usize, name: &str) -> Option<Value> {
        match self.scopes.get(module)?.get(name)? {
            Definition::Let(id) => Some(self.let_value(id)),
            _ => None,
        }
    }

    fn lookup(&mut self, module: usize, name: &str) -> Option<Definition<'a>> {
        let (definition, span) = self.scopes[module].names.get(name)?;
        self.used.insert(*span);
        Some(*definition)
    }

    /// What a path stands for where it names a definition as a whole; silent where it does not.
    pub(super) fn resolve_definition(
        &mut self,
        env: &Env,
        path: &[Name],
    ) -> Option<Definition<'a>> {
        let (first, rest) = path.split_first()?;
        if env.local(&first.text).is_some() {
            return None;
        }
        match (self.lookup(env.module, &first.text)?, rest) {
            (definition, []) => Some(definition),
            (Definition::Module(module), [name]) => self.lookup(module, &name.text),
            _ => None,
        }
    }

    /// The value of a path.
    pub(super) fn path_value(&mut self, env: &Env, path: &[Name]) -> Value {
        let Some((first, mut rest)) = path.split_first() else {
            return Value::error(Span::default());
        };
        let mut value = if let Some(value) = env.local(&first.text) {
            value.clone()
        } else if let Some(mut definition) = self.lookup(env.module, &first.text) {
            if let (Definition::Module(module), Some((name, after))) =
                (definition, rest.split_first())
            {
                rest = after;
                match self.lookup(module, &name.text) {
                    Some(Definition::Module(_)) | None => {
                        return self.unknown_in_module(module, first, name);
                    }
                    Some(found) => definition = found,
                }
            }
            self.definition_value(definition, path)
        } else if let Some(value) = word_value(first) {
            value
        } else {
            return self.unknown_name(env, first);
        };
        for name in rest {
            if value.is_error() {
                return value;
            }
            value = self.member(&value, name);
        }
        value.used_at(ast::path_span(path))
    }

    fn definition_value(&mut self, definition: Definition<'a>, path: &[Name]) -> Value {
        let span = ast::path_span(path);
        match definition {
            Definition::Let(id) => self.let_value(id),
            Definition::Block(id) => {
                let mut value = Value::new(ValueKind::Block(id), span);
                value.origin = self.block(id).name_span;
                value
            }
            Definition::Wrong => Value::error(span),
            Definition::Template(_, template) => {
                let name = &template.name.text;
                self.report(
                    Diagnostic::new(
                        codes::WRONG_TYPE,
                        span,
                        format!("`{name}` is a template, not a value"),
                        format!(
                            "make a block of it: `{} NAME like {name}(…)`",
                            template.kind.text
                        ),
                    )
                    .label(template.name.span, "defined here"),
                );
                Value::error(span)
            }
            Definition::Module(_) => {
                let name = &path[0].text;
                self.report(Diagnostic::new(
                    codes::WRONG_TYPE,
                    span,
                    format!("`{name}` is a file, not a value"),
                    format!("name something in it: `{name}.…`"),
                ));
                Value::error(span)
            }
        }
    }

    pub(super) fn let_value(&mut self, id: LetId) -> Value {
        let (item, state) = &mut self.scopes[id.module].lets[id.index];
        let item = *item;
        match state {
            State::Done(value) => return value.clone(),
            State::Busy => {
                self.cycle(&item.name.text, item.name.span);
                return Value::error(item.name.span);
            }
            State::New => *state = State::Busy,
        }
        let value = self.value(&Env::of(id.module), &item.value);
        self.scopes[id.module].lets[id.index].1 = State::Done(value.clone());
        value
    }

    /// `value.name`
    fn member(&mut self, value: &Value, name: &Name) -> Value {
        let fields = match &value.kind {
            ValueKind::Record(fields) => Rc::clone(fields),
            ValueKind::Block(id) => self.fields(*id),
            _ => {
                self.report(Diagnostic::new(
                    codes::WRONG_TYPE,
                    name.span,
                    format!("{} has no parts", value.describe()),
                    format!(
                        "take `.{}` out; only records, blocks and files have named parts",
                        name.text
                    ),
                ));
                return Value::error(name.span);
            }
        };
        match fields.get(&name.text) {
            Some(value) => value.clone(),
            None => {
                let known: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
                let help = help_from(&name.text, &known, "it has");
                self.report(
                    Diagnostic::new(
                        codes::UNKNOWN_NAME,
                        name.span,
                        format!("there is no `{}` in this", name.text),
                        help,
                    )
                    .label(value.origin, "defined here"),
                );
                Value::error(name.span)
            }
        }
    }

    fn unknown_in_module(&mut self, module: usize, file: &Name, name: &Name) -> Value {
        let names: Vec<String> = self.scopes[module]
            .definitions()
            .map(|(name, _, _)| name.to_owned())
            .collect();
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let near = nearest(&name.text, known.iter().copied());
        let mut wrong = Diagnostic::new(
            codes::UNKNOWN_NAME,
            name.span,
            format!("`{}` defines no `{}`", file.text, name.text),
            help_from(&name.text, &known, "it defines"),
        );
        if let Some(near) = near {
            wrong = wrong.fix(name.span, near);
        }
        self.report(wrong);
        Value::error(name.span)
    }

    fn unknown_name(&mut self, env: &Env, name: &Name) -> Value {
        let scope = &self.scopes[env.module];
        let mut known: Vec<&str> = scope.names.keys().map(|name| &**name).collect();
        known.extend(env.local_names());
        for word in schema::words().chain(["true", "false"]) {
            known.push(word);
        }
        let near = nearest(&name.text, known).map(str::to_owned);
        let message = format!("nothing here is called `{}`", name.text);
        let known_library = crate::library::names().any(|part| part == name.text);
        let wrong = Diagnostic::new(codes::UNKNOWN_NAME, name.span, message, String::new());
        let wrong = match near {
            _ if known_library => Diagnostic {
                help: format!("write `use std.{}` at the top of the file", name.text),
                ..wrong
            },
            Some(near) => Diagnostic {
                help: format!("did you mean `{near}`?"),
                ..wrong
            }
            .fix(name.span, near),
            None => Diagnostic {
                help: "define it by a block or `let`; a text stands in quotes: \"…\"".into(),
                ..wrong
            },
        };
        self.report(wrong);
        Value::error(name.span)
    }
}

/// `true`, `false` and the schema's words.
fn word_value(name: &Name) -> Option<Value> {
    let kind = match name.text.as_str() {
        "true" => ValueKind::Bool(true),
        "false" => ValueKind::Bool(false),
        other => ValueKind::Word(schema::words().find(|word| *word == other)?),
    };
    Some(Value::new(kind, name.span))
}

fn help_from(name: &str, known: &[&str], verb: &str) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "it is empty".to_owned(),
        None => format!("{verb} {}", known.join(", ")),
    }
}

/// Whether `name` serves as host name, user name and partition label: 1–32 of `a-z0-9-`, a letter
/// first, no hyphen last.
pub(crate) fn is_block_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
