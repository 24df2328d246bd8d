// Starts `nos lsp` for the specs that are open.
const { workspace } = require('vscode');
const { LanguageClient } = require('vscode-languageclient/node');

let client;

exports.activate = () => {
  const command = workspace.getConfiguration('nos').get('program', 'nos');
  client = new LanguageClient(
    'nos',
    'nOs',
    { command, args: ['lsp'] },
    { documentSelector: [{ language: 'nos' }] },
  );
  return client.start();
};

exports.deactivate = () => client && client.stop();
