// Tokenises specs as VS Code does. Prints what has no meaning, and the tokens of the files named
// behind `--show`. Packages come from NODE_PATH or from here.
const fs = require('fs');
const path = require('path');
const textmate = require('vscode-textmate');
const oniguruma = require('vscode-oniguruma');

async function main() {
  const wasm = fs.readFileSync(require.resolve('vscode-oniguruma/release/onig.wasm'));
  await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: patterns => new oniguruma.OnigScanner(patterns),
      createOnigString: text => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => {
      const file = path.join(__dirname, '../syntaxes/nos.tmLanguage.json');
      return textmate.parseRawGrammar(fs.readFileSync(file, 'utf8'), file);
    },
  });
  const grammar = await registry.loadGrammar('source.nos');
  let show = false;
  let wrong = 0;
  for (const file of process.argv.slice(2)) {
    if (file === '--show') {
      show = true;
      continue;
    }
    let stack = textmate.INITIAL;
    for (const [number, line] of fs.readFileSync(file, 'utf8').split('\n').entries()) {
      const result = grammar.tokenizeLine(line, stack);
      stack = result.ruleStack;
      for (const token of result.tokens) {
        const text = line.slice(token.startIndex, token.endIndex);
        const scopes = token.scopes.slice(1).map(scope => scope.replace(/\.nos$/, ''));
        if (show && text.trim()) console.log(`${text.trim()}\t${scopes.join(' ')}`);
        if (text.trim() && (scopes.length === 0 || scopes.some(s => s.startsWith('invalid')))) {
          console.log(`${path.basename(file)}:${number + 1}: \`${text}\` means nothing`);
          wrong += 1;
        }
      }
    }
    if (stack.depth !== 1) {
      console.log(`${path.basename(file)}: something is open at the end`);
      wrong += 1;
    }
  }
  process.exit(wrong ? 1 : 0);
}

main();
