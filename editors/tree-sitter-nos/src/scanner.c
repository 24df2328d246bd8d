// New lines where they mean something.
//
// The parser says whether a new line can end what it reads; in parentheses it cannot, and the line
// break is left to be skipped as white space. An `else` on the next line belongs to its `if`.

#include "tree_sitter/parser.h"

enum Token { NEWLINE, ERROR_SENTINEL };

void *tree_sitter_nos_external_scanner_create(void) { return NULL; }
void tree_sitter_nos_external_scanner_destroy(void *payload) { (void)payload; }
unsigned tree_sitter_nos_external_scanner_serialize(void *payload, char *buffer) {
  (void)payload;
  (void)buffer;
  return 0;
}
void tree_sitter_nos_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
  (void)payload;
  (void)buffer;
  (void)length;
}

static bool is_space(int32_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static bool continues_name(int32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool tree_sitter_nos_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid) {
  (void)payload;
  // While it recovers from a mistake the parser takes anything: it gets nothing from here.
  if (!valid[NEWLINE] || valid[ERROR_SENTINEL]) return false;
  bool found = false;
  while (is_space(lexer->lookahead)) {
    found = found || lexer->lookahead == '\n';
    lexer->advance(lexer, true);
  }
  if (!found) return false;
  lexer->mark_end(lexer);
  lexer->result_symbol = NEWLINE;
  const char *word = "else";
  while (*word && lexer->lookahead == *word) {
    lexer->advance(lexer, false);
    word++;
  }
  return *word != 0 || continues_name(lexer->lookahead);
}
