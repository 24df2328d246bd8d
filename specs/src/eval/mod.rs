//! Expressions → values: names, templates, `for` and `if`.
//!
//! Invariant: evaluation ends. There is no recursion (a name that needs itself is reported), lists
//! are finite, and every step is taken from one budget ([`MAX_STEPS`]).

mod expression;
mod operator;
mod scope;
pub(crate) mod value;

pub(crate) use expression::put_number;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::schema;
use crate::source::Span;
use crate::suggest::nearest;
use crate::syntax::ast::{self, Entry, Expr, ExprKind, Item, Key};
pub(crate) use scope::{Definition, is_block_name};
use scope::{Scope, State};
use std::collections::BTreeSet;
use std::rc::Rc;
use value::{BlockId, Field, Fields, Value, ValueKind};

/// Steps that one check may take: values made, compared, checked or put into texts.
const MAX_STEPS: u64 = 2_000_000;

/// How deep the evaluation of one value may go, through names that stand for names.
const MAX_DEPTH: usize = 400;

/// How deep lists and records may lie in each other once names are replaced by what they stand for.
const MAX_VALUE_DEPTH: u16 = 64;

/// How many values one value may hold.
const MAX_VALUE_WEIGHT: u32 = 1_000_000;

/// A parsed file with the names it may use.
pub(crate) struct Module {
    /// Folder of the file relative to the spec's, with a `/` at its end, or empty.
    pub(crate) folder: String,
    /// Whether it is a part of the standard library.
    pub(crate) standard: bool,
    pub(crate) ast: ast::Ast,
    /// `use` items: what each reads, by position among the file's `use` items; `None` where it
    /// could not be read.
    pub(crate) uses: Vec<Option<usize>>,
}

/// Where an expression is evaluated.
#[derive(Clone, Default)]
pub(crate) struct Env {
    pub(crate) module: usize,
    locals: Option<Rc<Local>>,
}

/// A loop variable or a template's argument.
struct Local {
    name: Rc<str>,
    value: Value,
    outer: Option<Rc<Local>>,
}

impl Env {
    fn of(module: usize) -> Self {
        Self {
            module,
            locals: None,
        }
    }

    fn with(&self, name: &str, value: Value) -> Self {
        let local = Local {
            name: name.into(),
            value,
            outer: self.locals.clone(),
        };
        Self {
            module: self.module,
            locals: Some(Rc::new(local)),
        }
    }

    fn local(&self, name: &str) -> Option<&Value> {
        let mut next = self.locals.as_deref();
        while let Some(local) = next {
            if &*local.name == name {
                return Some(&local.value);
            }
            next = local.outer.as_deref();
        }
        None
    }

    fn local_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let mut next = self.locals.as_deref();
        while let Some(local) = next {
            names.push(&*local.name);
            next = local.outer.as_deref();
        }
        names
    }
}

/// A block that was declared, by hand or by a `for`.
pub(crate) struct BlockValue<'a> {
    pub(crate) kind: Option<&'static schema::Block>,
    pub(crate) name: Rc<str>,
    pub(crate) name_span: Span,
    pub(crate) env: Env,
    ast: &'a ast::Block,
    fields: State<Rc<Fields>>,
}

/// Evaluates the definitions of a set of files.
pub(crate) struct Evaluator<'a> {
    modules: &'a [Module],
    scopes: Vec<Scope<'a>>,
    pub(crate) blocks: Vec<BlockValue<'a>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Names (their definitions' places) that something refers to.
    pub(crate) used: BTreeSet<Span>,
    /// Chain of blocks that is being worked on, outermost first.
    pub(crate) context: Vec<String>,
    steps_left: u64,
    depth: usize,
    /// Templates that are being put in, to find those that need themselves.
    templates: Vec<Span>,
}

impl<'a> Evaluator<'a> {
    /// Collects the names of all `modules` and the blocks they declare.
    pub(crate) fn new(modules: &'a [Module]) -> Self {
        let mut evaluator = Self {
            modules,
            scopes: Vec::new(),
            blocks: Vec::new(),
            diagnostics: Vec::new(),
            used: BTreeSet::new(),
            context: Vec::new(),
            steps_left: MAX_STEPS,
            depth: 0,
            templates: Vec::new(),
        };
        for module in modules {
            let scope = evaluator.collect(module);
            evaluator.scopes.push(scope);
        }
        for (index, module) in modules.iter().enumerate() {
            for item in &module.ast.items {
                match item {
                    Item::For(_) | Item::If(_) => evaluator.expand(&Env::of(index), item),
                    Item::Block(block) if matches!(block.name, Key::Text(_)) => {
                        evaluator.expand(&Env::of(index), item);
                    }
                    Item::Block(_) => evaluator.declare_plain(index, item),
                    _ => {}
                }
            }
        }
        evaluator
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic.context(&self.context));
    }

    /// Takes `count` steps from the budget; `false` where it is used up.
    pub(crate) fn spend(&mut self, count: usize, span: Span) -> bool {
        let before = self.steps_left;
        self.steps_left = before.saturating_sub(count as u64);
        if before > 0 && self.steps_left == 0 {
            self.report(Diagnostic::new(
                codes::TOO_MUCH,
                span,
                "this spec makes more values than nos is ready to work out",
                "make its lists shorter, or split it into several specs",
            ));
        }
        self.steps_left > 0
    }

    /// Goes one step deeper, unless that is too deep.
    fn deeper(&mut self, span: Span) -> bool {
        if self.depth >= MAX_DEPTH {
            self.report(Diagnostic::new(
                codes::TOO_DEEP,
                span,
                format!("names stand for names more than {MAX_DEPTH} deep here"),
                "define this with fewer steps between",
            ));
            return false;
        }
        self.depth += 1;
        true
    }

    pub(crate) fn block(&self, id: BlockId) -> &BlockValue<'a> {
        &self.blocks[id.0]
    }

    /// The file in which `place` is.
    pub(crate) fn module_of(&self, place: Span) -> Option<&'a Module> {
        // Files and their texts are numbered alike.
        self.modules.get(place.file.0 as usize)
    }

    /// The block that `name` means in the first file.
    pub(crate) fn block_named(&self, name: &str) -> Option<BlockId> {
        match self.scopes.first()?.get(name) {
            Some(Definition::Block(id)) => Some(id),
            _ => None,
        }
    }

    /// What a definition defines, in a word; `None` where it is wrong.
    pub(crate) fn kind_of(&self, definition: Definition<'a>) -> Option<&'static str> {
        Some(match definition {
            Definition::Let(_) => "name",
            Definition::Template(..) => "template",
            Definition::Module(_) => "file",
            Definition::Block(id) => self.block(id).kind?.name,
            Definition::Wrong => return None,
        })
    }

    /// Evaluates every `let` and marks every `use`, so that mistakes in what nothing uses are
    /// found too.
    pub(crate) fn evaluate_all(&mut self, module: usize) {
        for item in &self.modules[module].ast.items {
            if let Item::Let(item) = item {
                let definition = self.scopes[module].get(&item.name.text);
                if let Some(Definition::Let(index)) = definition {
                    self.let_value(index);
                }
            }
        }
    }

    /// The attributes of a block, with those it takes over by `like`.
    pub(crate) fn fields(&mut self, id: BlockId) -> Rc<Fields> {
        let block = &mut self.blocks[id.0];
        match &block.fields {
            State::Done(fields) => return Rc::clone(fields),
            State::Busy => {
                let (name, span) = (Rc::clone(&block.name), block.name_span);
                self.cycle(&name, span);
                return Rc::new(Fields::unknown());
            }
            State::New => block.fields = State::Busy,
        }
        let (ast, env, span) = (block.ast, block.env.clone(), block.name_span);
        let name = format!("{} {}", ast.kind.text, block.name);
        if !self.deeper(span) {
            return Rc::new(Fields::unknown());
        }
        self.context.push(name);
        let base = match &ast.like {
            Some(like) => self.base(&env, like, &ast.kind.text),
            None => Rc::default(),
        };
        let fields = Rc::new(self.entries(&env, &ast.body, &base, true));
        self.context.pop();
        self.depth -= 1;
        self.blocks[id.0].fields = State::Done(Rc::clone(&fields));
        fields
    }

    /// What a block takes over: the fields of another block, or of a template with arguments.
    fn base(&mut self, env: &Env, like: &'a Expr, kind: &str) -> Rc<Fields> {
        let (path, arguments) = match &like.kind {
            ExprKind::Path(path) => (path, None),
            ExprKind::Call {
                function,
                arguments,
            } => (function, Some(arguments)),
            _ => return Rc::default(),
        };
        let found = match self.resolve_definition(env, path) {
            Some(Definition::Template(module, template)) => Some((module, template)),
            _ => None,
        };
        match (found, arguments) {
            (Some((module, template)), Some(arguments)) => {
                if self.kinds_agree(kind, &template.kind.text, like.span) {
                    return self.instantiate(env, module, template, arguments, like.span);
                }
            }
            (Some((_, template)), None) => {
                let needed = template.parameters.iter().filter(|p| p.default.is_none());
                let needed: Vec<String> = needed.map(|p| format!("{} = …", p.name.text)).collect();
                let call = format!("{}({})", template.name.text, needed.join(", "));
                self.report(
                    Diagnostic::new(
                        codes::WRONG_TYPE,
                        like.span,
                        format!(
                            "`{}` is a template and needs its arguments",
                            template.name.text
                        ),
                        format!("call it: `like {call}`"),
                    )
                    .label(template.name.span, "defined here"),
                );
            }
            (None, Some(_)) => {
                let value = self.path_value(env, path);
                if !value.is_error() {
                    self.report(Diagnostic::new(
                        codes::UNKNOWN_CALL,
                        like.span,
                        format!("{} is no template and takes no arguments", value.describe()),
                        "leave the parentheses out",
                    ));
                }
            }
            (None, None) => {
                let value = self.path_value(env, path);
                if let Some(id) = value.as_block() {
                    let other = self.block(id).ast.kind.text.clone();
                    if self.kinds_agree(kind, &other, like.span) {
                        return self.fields(id);
                    }
                } else if !value.is_error() {
                    self.report(Diagnostic::new(
                        codes::WRONG_TYPE,
                        like.span,
                        format!(
                            "a block can be like a block or a template, not like {}",
                            value.describe()
                        ),
                        "name a block of the same kind, or call a template",
                    ));
                }
            }
        }
        Rc::new(Fields::unknown())
    }

    fn kinds_agree(&mut self, wanted: &str, found: &str, span: Span) -> bool {
        if wanted != found {
            self.report(Diagnostic::new(
                codes::WRONG_KIND,
                span,
                format!("a {wanted} cannot be like a {found}"),
                format!("name a {wanted} block or a template for {wanted} blocks"),
            ));
        }
        wanted == found
    }

    /// A template's fields with its parameters replaced by `arguments`.
    fn instantiate(
        &mut self,
        env: &Env,
        module: usize,
        template: &'a ast::Template,
        arguments: &'a [ast::Argument],
        span: Span,
    ) -> Rc<Fields> {
        let id = template.name.span;
        if self.templates.contains(&id) {
            self.cycle(&template.name.text, span);
            return Rc::new(Fields::unknown());
        }
        let mut values: Vec<Option<Value>> = vec![None; template.parameters.len()];
        for (position, argument) in arguments.iter().enumerate() {
            let index = match &argument.name {
                Some(name) => template
                    .parameters
                    .iter()
                    .position(|p| p.name.text == name.text),
                None => Some(position).filter(|p| *p < values.len()),
            };
            let value = self.value(env, &argument.value);
            let place = argument.name.as_ref().map_or(value.span, |name| name.span);
            let names = || template.parameters.iter().map(|p| p.name.text.as_str());
            let near = argument
                .name
                .as_ref()
                .and_then(|name| nearest(&name.text, names()));
            match index {
                Some(index) if values[index].is_none() => {
                    let kind = &template.parameters[index].kind;
                    let fits = self.fits_parameter(&value, kind, &template.parameters[index].name);
                    values[index] = Some(if fits {
                        value
                    } else {
                        Value::error(value.span)
                    });
                }
                Some(index) => self.report(Diagnostic::new(
                    codes::BAD_ARGUMENT,
                    place,
                    format!(
                        "the argument `{}` is given twice",
                        template.parameters[index].name.text
                    ),
                    "take one of the two out",
                )),
                None => {
                    let help = if let Some(near) = near {
                        // Not missing, only misspelt.
                        let index = template.parameters.iter().position(|p| p.name.text == near);
                        if let Some(slot) = index.and_then(|index| values.get_mut(index)) {
                            slot.get_or_insert(Value::error(value.span));
                        }
                        format!("did you mean `{near}`?")
                    } else if template.parameters.is_empty() {
                        format!("`{}` takes no arguments", template.name.text)
                    } else {
                        format!(
                            "its parameters are {}",
                            names().collect::<Vec<_>>().join(", ")
                        )
                    };
                    let what = match &argument.name {
                        Some(name) => format!("the template has no parameter `{}`", name.text),
                        None => "the template has fewer parameters".to_owned(),
                    };
                    let wrong = Diagnostic::new(codes::BAD_ARGUMENT, place, what, help)
                        .label(template.name.span, "defined here");
                    self.report(match near {
                        Some(near) => wrong.fix(place, near),
                        None => wrong,
                    });
                }
            }
        }
        let mut inner = Env::of(module);
        for (parameter, value) in template.parameters.iter().zip(values) {
            let value = match (value, &parameter.default) {
                (Some(value), _) => value,
                (None, Some(default)) => {
                    let value = self.value(&inner, default);
                    let fits = self.fits_parameter(&value, &parameter.kind, &parameter.name);
                    if fits {
                        value
                    } else {
                        Value::error(value.span)
                    }
                }
                (None, None) => {
                    self.report(
                        Diagnostic::new(
                            codes::BAD_ARGUMENT,
                            span,
                            format!("the argument `{}` is missing", parameter.name.text),
                            format!(
                                "add `{} = …`, a {}",
                                parameter.name.text, parameter.kind.text
                            ),
                        )
                        .label(parameter.name.span, "needed here"),
                    );
                    Value::error(span)
                }
            };
            inner = inner.with(&parameter.name.text, value);
        }
        if !self.deeper(span) {
            return Rc::new(Fields::unknown());
        }
        self.templates.push(id);
        let base = match &template.like {
            Some(like) => self.base(&inner, like, &template.kind.text),
            None => Rc::default(),
        };
        let fields = self.entries(&inner, &template.body, &base, true);
        self.templates.pop();
        self.depth -= 1;
        Rc::new(fields)
    }

    fn fits_parameter(&mut self, value: &Value, kind: &ast::Name, name: &ast::Name) -> bool {
        use crate::syntax::literal::Unit;
        let fits = match (kind.text.as_str(), &value.kind) {
            (_, ValueKind::Error) => true,
            ("text", ValueKind::Text(_)) => true,
            ("number", ValueKind::Number(_, Unit::None)) => true,
            ("size", ValueKind::Number(_, Unit::Size)) => true,
            ("time", ValueKind::Number(_, Unit::Time)) => true,
            ("bool", ValueKind::Bool(_)) => true,
            ("list", ValueKind::List(_)) => true,
            ("record", ValueKind::Record(_)) => true,
            (wanted, ValueKind::Block(id)) => self.block(*id).ast.kind.text == wanted,
            // An unknown type has been reported where it stands.
            (other, _) => !PARAMETER_TYPES.contains(&other),
        };
        if !fits {
            let wanted = &kind.text;
            self.report(
                Diagnostic::new(
                    codes::WRONG_TYPE,
                    value.span,
                    format!("`{}` takes a {wanted}, not {}", name.text, value.describe()),
                    format!("give a {wanted}"),
                )
                .label(name.span, "the parameter"),
            );
        }
        fits
    }

    /// The entries of a block or record, put over those of `base`.
    fn entries(&mut self, env: &Env, body: &'a [Entry], base: &Fields, block: bool) -> Fields {
        let mut own = Fields::default();
        self.collect_entries(env, body, base, block, &mut own);
        own.incomplete |= base.incomplete;
        if base.len() == 0 || !self.spend(base.len(), Span::default()) {
            return own;
        }
        let mut all = base.clone();
        all.incomplete |= own.incomplete;
        for field in own.iter() {
            all.set(field.clone());
        }
        all
    }

    fn collect_entries(
        &mut self,
        env: &Env,
        body: &'a [Entry],
        base: &Fields,
        block: bool,
        out: &mut Fields,
    ) {
        for entry in body {
            match entry {
                Entry::Attribute(attribute) => {
                    self.attribute(env, attribute, base, block, out);
                }
                Entry::If(item) => {
                    let condition = self.condition(env, &item.condition);
                    out.incomplete |= condition.is_none();
                    let branch = item.branch(condition);
                    self.collect_entries(env, branch, base, block, out);
                }
                Entry::For(item) => {
                    for inner in self.rounds(env, &item.names, &item.list) {
                        self.collect_entries(&inner, &item.body, base, block, out);
                    }
                }
            }
        }
    }

    fn attribute(
        &mut self,
        env: &Env,
        attribute: &'a ast::Attribute,
        base: &Fields,
        block: bool,
        out: &mut Fields,
    ) {
        let (name, name_span): (Rc<str>, Span) = match &attribute.key {
            Key::Name(name) => (name.text.as_str().into(), name.span),
            Key::Text(text) => match self.value(env, text).kind {
                ValueKind::Text(found) => (found, text.span),
                _ => return,
            },
        };
        let mut value = self.value(env, &attribute.value);
        if let (Key::Text(_), true) = (&attribute.key, block) {
            self.report(
                Diagnostic::new(
                    codes::UNEXPECTED,
                    name_span,
                    "the attributes of a block are plain words",
                    format!("take the quotes off: `{name} = …`"),
                )
                .fix(name_span, &*name),
            );
        }
        if let Some(first) = out.field(&name) {
            let first = first.name_span;
            let what = if block { "attribute" } else { "name" };
            self.report(
                Diagnostic::new(
                    codes::DUPLICATE_ATTRIBUTE,
                    name_span,
                    format!("the {what} `{name}` stands here a second time"),
                    "take one of the two out",
                )
                .label(first, "the first time"),
            );
            return;
        }
        if attribute.add {
            match base.get(&name) {
                Some(old) => {
                    let (old, span) = (old.clone(), attribute.span);
                    value = self.binary(ast::BinaryOperator::Add, old, value, span);
                }
                None => {
                    let between = Span {
                        start: name_span.end,
                        end: attribute.value.span.start,
                        ..name_span
                    };
                    self.report(
                        Diagnostic::new(
                            codes::NOTHING_TO_ADD_TO,
                            name_span,
                            format!("there is no `{name}` to add to"),
                            "write `=`",
                        )
                        .fix(between, " = "),
                    );
                }
            }
        }
        if !self.spend(1, name_span) {
            return;
        }
        out.set(Field {
            name,
            name_span,
            value,
        });
    }

    /// The part of an `if` that counts; none where the condition is wrong.
    fn branch<T>(&mut self, env: &Env, item: &'a ast::If<T>) -> &'a [T] {
        let condition = self.condition(env, &item.condition);
        item.branch(condition)
    }

    /// One environment for each round of a `for`.
    fn rounds(&mut self, env: &Env, names: &'a [ast::Name], list: &'a Expr) -> Vec<Env> {
        let value = self.value(env, list);
        let rounds = match &value.kind {
            ValueKind::List(elements) => elements.len(),
            ValueKind::Record(fields) => fields.len(),
            _ => 0,
        };
        if !self.spend(rounds, list.span) {
            return Vec::new();
        }
        match (&value.kind, names) {
            (ValueKind::Error, _) => Vec::new(),
            (ValueKind::List(elements), [name]) => elements
                .iter()
                .map(|v| env.with(&name.text, v.clone()))
                .collect(),
            (ValueKind::Record(fields), [key, name]) => fields
                .iter()
                .map(|field| {
                    env.with(&key.text, Value::text(&field.name, field.name_span))
                        .with(&name.text, field.value.clone())
                })
                .collect(),
            (ValueKind::List(_), _) => {
                self.report(Diagnostic::new(
                    codes::WRONG_TYPE,
                    list.span,
                    "a list is gone through with one name",
                    "write `for x in list { … }`",
                ));
                Vec::new()
            }
            (ValueKind::Record(_), _) => {
                self.report(Diagnostic::new(
                    codes::WRONG_TYPE,
                    list.span,
                    "a record is gone through with two names",
                    "write `for name, value in record { … }`",
                ));
                Vec::new()
            }
            _ => {
                self.report(Diagnostic::new(
                    codes::WRONG_TYPE,
                    list.span,
                    format!(
                        "`for` goes through a list or a record, not {}",
                        value.describe()
                    ),
                    "write a list: `for x in [1, 2] { … }`, or `range(1, 10)`",
                ));
                Vec::new()
            }
        }
    }

    fn cycle(&mut self, name: &str, span: Span) {
        self.report(Diagnostic::new(
            codes::CYCLE,
            span,
            format!("`{name}` is made of itself"),
            "take the name out of what it is made of, directly or by way of others",
        ));
    }
}

/// Types that a template's parameter can have.
pub(crate) const PARAMETER_TYPES: &[&str] = &[
    "text", "number", "size", "time", "bool", "list", "record", "service", "image", "build",
    "kernel", "host",
];
