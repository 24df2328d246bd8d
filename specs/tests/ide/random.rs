//! Whatever the text and the place: an answer, and places that are in the text.

use super::Around;
use nos_specs::source::{FileId, Span};
use nos_specs::{Spec, ide};
use proptest::prelude::*;
use std::collections::BTreeMap;

const TEXT: &str = "\
use std.kernel
use shared.web as w
let sizes = { small = 64MiB, large = 1GiB }
template service page(port: number, title: text = \"é\") like w.base {
  run    = [\"/bin/a\", \"${port} ${\"in ${title}\"}\"]
  listen = [tcp(port), for n in range(1, 3) { tcp(n) }]
  if port < 1024 { user = 0 } else { restart = never }
}
for name, port in { a = 80, b = 81 } {
  service \"s-${name}\" like page(port, title = \"\"\"
    long ${name}
    \"\"\")
}
host h {
  kernel   = kernel.stock
  services = [w.base, service(\"s-a\")]
  disk     = { state = sizes.small + sizes.large }
}
";

fn survives(text: &str, at: usize) {
    let files = BTreeMap::from([(
        "shared/web.nos".to_owned(),
        "service base { run = [\"/a\"] }\n".to_owned(),
    )]);
    let spec = Spec::load("main.nos", text, &files);
    let file = FileId(0);
    let offset = u32::try_from(at).unwrap();
    let fits = |span: Span| {
        let text = &spec.sources().get(span.file).text;
        assert!(text.get(span.range()).is_some(), "{span:?} in {text:?}");
    };
    ide::definition(&spec, file, offset)
        .into_iter()
        .for_each(fits);
    ide::references(&spec, file, offset, true)
        .into_iter()
        .for_each(fits);
    if let Some(hover) = ide::hover(&spec, file, offset) {
        fits(hover.span);
    }
    for offer in ide::completions(&spec, file, offset, &Around) {
        fits(offer.span);
        assert!(offer.span.end as usize <= at || at > text.len());
    }
    for symbol in ide::symbols(&spec, file) {
        fits(symbol.span);
        fits(symbol.name_span);
        assert!(!symbol.name.is_empty());
    }
    if let Ok(span) = ide::can_rename(&spec, file, offset) {
        fits(span);
    }
    for edit in ide::rename(&spec, file, offset, "other").unwrap_or_default() {
        fits(edit.span);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_text_and_place(text in "\\PC{0,120}", at in 0usize..200) {
        survives(&text, at);
    }

    #[test]
    fn a_spec_cut_off_where_one_writes(at in 0usize..TEXT.len()) {
        let at = (at..).find(|at| TEXT.is_char_boundary(*at)).unwrap();
        survives(&TEXT[..at], at);
        survives(TEXT, at);
    }

    #[test]
    fn a_spec_with_a_piece_torn_out(at in 0usize..TEXT.len(), length in 0usize..60, place in 0usize..900) {
        let end = (at + length).min(TEXT.len());
        prop_assume!(TEXT.is_char_boundary(at) && TEXT.is_char_boundary(end));
        survives(&format!("{}{}", &TEXT[..at], &TEXT[end..]), place);
        survives(&format!("{}{}{}", &TEXT[..end], &TEXT[at..end], &TEXT[end..]), place);
    }

    #[test]
    fn a_name_that_was_given_can_be_taken_back(at in 0usize..TEXT.len()) {
        let Some(offset) = u32::try_from(at).ok().filter(|_| TEXT.is_char_boundary(at)) else {
            return Ok(());
        };
        let files = BTreeMap::from([("shared/web.nos".to_owned(), "service base { run = [\"/a\"] }\n".to_owned())]);
        let spec = Spec::load("main.nos", TEXT, &files);
        let Ok(edits) = ide::rename(&spec, FileId(0), offset, "other") else { return Ok(()) };
        let mut texts: Vec<String> = spec.sources().iter().map(|(_, s)| s.text.clone()).collect();
        for edit in edits.iter().rev() {
            texts[edit.span.file.0 as usize].replace_range(edit.span.range(), &edit.text);
        }
        let renamed = Spec::load("main.nos", &texts[0], &files);
        if edits.iter().all(|edit| edit.span.file == FileId(0)) {
            prop_assert_eq!(renamed.check().diagnostics.len(), spec.check().diagnostics.len());
        }
    }
}
