/**
 * The grammar of nOs specs (specs/LANGUAGE.md), for highlighting and structure in editors. It
 * takes every correct spec, and some that `nos check` refuses.
 *
 * A new line ends a value except in parentheses. The scanner in src/scanner.c gives a token for it
 * where the grammar has a place for one; elsewhere it is white space.
 */

/// <reference types="tree-sitter-cli/dsl" />

const PREC = { or: 1, and: 2, not: 3, compare: 4, sum: 5, product: 6, sign: 7, call: 8 };

/** `{ … }` with what `rule` is, one on each line or with commas between. */
const body = ($, rule) => seq('{', repeat(choice(rule, ',', $._newline)), '}');

const loop = ($, rule) =>
  seq(
    'for',
    field('name', $.identifier),
    optional(seq(',', field('value', $.identifier))),
    'in',
    field('in', $._value),
    body($, rule),
  );

const condition = ($, rule, self) =>
  seq(
    'if',
    field('condition', $._value),
    body($, rule),
    optional(seq('else', choice(self, body($, rule)))),
  );

module.exports = grammar({
  name: 'nos',

  externals: $ => [$._newline, $._error_sentinel],
  extras: $ => [/\s/, $.comment],
  word: $ => $.identifier,
  conflicts: $ => [[$.if_value, $._element]],

  rules: {
    source_file: $ => repeat(choice($._item, $._newline)),

    comment: _ => token(/#[^\n]*/),

    _item: $ => choice($.use, $.let, $.template, $.block, $.for_items, $.if_items),

    use: $ =>
      seq(
        'use',
        field('path', $.path),
        optional(seq('as', field('name', $.identifier))),
      ),

    let: $ => seq('let', field('name', $.identifier), '=', field('value', $._value)),

    block: $ =>
      seq(
        field('kind', $.identifier),
        field('name', choice($.identifier, $.text)),
        choice(seq($.like, optional($.entries)), $.entries),
      ),

    template: $ =>
      seq(
        'template',
        field('kind', $.identifier),
        field('name', $.identifier),
        $.parameters,
        choice(seq($.like, optional($.entries)), $.entries),
      ),

    parameters: $ => seq('(', optional(seq($.parameter, repeat(seq(',', $.parameter)), optional(','))), ')'),

    parameter: $ =>
      seq(
        field('name', $.identifier),
        ':',
        field('type', $.identifier),
        optional(seq('=', field('default', $._value))),
      ),

    like: $ => seq('like', choice($.path, $.call)),

    for_items: $ => loop($, $._item),
    if_items: $ => condition($, $._item, $.if_items),

    entries: $ => body($, $._entry),
    _entry: $ => choice($.attribute, $.for_entries, $.if_entries),
    attribute: $ =>
      seq(
        field('name', choice($.identifier, $.text)),
        choice('=', '+='),
        field('value', $._value),
      ),
    for_entries: $ => loop($, $._entry),
    if_entries: $ => condition($, $._entry, $.if_entries),

    _value: $ =>
      choice(
        $.text,
        $.long_text,
        $.number,
        $.boolean,
        $.path,
        $.call,
        $.list,
        alias($.entries, $.record),
        $.parenthesized,
        $.unary,
        $.binary,
        $.if_value,
      ),

    parenthesized: $ => seq('(', $._value, ')'),

    unary: $ =>
      choice(
        prec(PREC.not, seq('not', $._value)),
        prec(PREC.sign, seq('-', $._value)),
      ),

    binary: $ =>
      choice(
        ...[
          [PREC.or, 'or'],
          [PREC.and, 'and'],
          [PREC.compare, choice('==', '!=', '<', '<=', '>', '>=', 'in')],
          [PREC.sum, choice('+', '-')],
          [PREC.product, '*'],
        ].map(([strength, operator]) =>
          prec.left(
            strength,
            seq(field('left', $._value), field('operator', operator), field('right', $._value)),
          ),
        ),
      ),

    if_value: $ =>
      seq(
        'if',
        field('condition', $._value),
        '{',
        field('then', $._value),
        '}',
        'else',
        field('else', choice($.if_value, seq('{', $._value, '}'))),
      ),

    list: $ => seq('[', repeat(choice($._element, ',', $._newline)), ']'),
    _element: $ => choice($._value, $.for_elements, $.if_elements),
    for_elements: $ => loop($, $._element),
    if_elements: $ => prec.dynamic(1, condition($, $._element, $.if_elements)),

    path: $ => prec.right(seq($.identifier, repeat(seq('.', $.identifier)))),

    call: $ => prec(PREC.call, seq(field('function', $.path), $.arguments)),
    arguments: $ => seq('(', optional(seq($._argument, repeat(seq(',', $._argument)), optional(','))), ')'),
    _argument: $ => choice($.argument, $._value),
    argument: $ => seq(field('name', $.identifier), '=', field('value', $._value)),

    boolean: _ => choice('true', 'false'),
    number: _ => /[0-9][0-9A-Za-z_]*/,
    identifier: _ => /[A-Za-z_][A-Za-z0-9_-]*/,

    text: $ =>
      seq('"', repeat(choice($._characters, $.escape, $.interpolation)), token.immediate(prec(1, '"'))),
    _characters: _ => token.immediate(prec(1, choice(/[^"\\$\n]+/, '$'))),
    escape: _ => token.immediate(prec(1, /\\(u\{[0-9A-Fa-f]*\}|[^\n])/)),

    long_text: $ =>
      seq(
        '"""',
        repeat(choice($._long_characters, alias($._long_escape, $.escape), $.interpolation)),
        token.immediate(prec(3, '"""')),
      ),
    _long_characters: _ => token.immediate(prec(1, choice(/[^"\\$]+/, '"', '\\', '$'))),
    _long_escape: _ => token.immediate(prec(2, choice('\\${', '\\"""'))),

    interpolation: $ => seq(token.immediate(prec(2, '${')), $._value, '}'),
  },
});
