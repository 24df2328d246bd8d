-- A session of Neovim's own language client with `nos lsp`. Prints one line of JSON for each step.
-- Environment: NOS, the program; ROOT, a folder with a spec of two files.

local root = vim.env.ROOT
local out = {}

local function say(step, value)
  table.insert(out, vim.json.encode({ step = step, value = value }))
end

local function finish(code)
  io.stdout:write(table.concat(out, '\n') .. '\n')
  io.stdout:flush()
  vim.cmd(code == 0 and 'qall!' or 'cquit!')
end

local function wait(what, condition)
  if not vim.wait(300000, condition, 10) then
    say('timeout', what)
    finish(1)
  end
end

vim.cmd('edit ' .. root .. '/main.nos')
local buffer = vim.api.nvim_get_current_buf()
local exited
local client = vim.lsp.start_client({
  name = 'nos',
  cmd = { vim.env.NOS, 'lsp' },
  root_dir = root,
  on_exit = function(code) exited = code end,
})
vim.lsp.buf_attach_client(buffer, client)
wait('initialize', function()
  local found = vim.lsp.get_client_by_id(client)
  return found and found.initialized
end)

local function messages(b)
  local found = {}
  for _, d in ipairs(vim.diagnostic.get(b)) do
    table.insert(found, string.format('%d:%d %s %s', d.lnum + 1, d.col + 1, d.code or d.user_data.lsp.code, d.message))
  end
  return found
end

local function place(b, line, text, past)
  local content = vim.api.nvim_buf_get_lines(b, line - 1, line, true)[1]
  local column = content:find(text, 1, true) - 1 + (past or 0)
  return {
    textDocument = { uri = vim.uri_from_bufnr(b) },
    position = { line = line - 1, character = vim.str_utfindex(content, column) and select(2, vim.str_utfindex(content, column)) },
  }
end

local function ask(b, method, params)
  local answers = vim.lsp.buf_request_sync(b, method, params, 300000)
  local answer = answers and answers[client]
  if not answer then
    say('timeout', method)
    finish(1)
  end
  if answer.error then
    return { error = answer.error.message }
  end
  return answer.result
end

local function here(location)
  local path = vim.uri_to_fname(location.uri)
  return string.format('%s:%d:%d', path:gsub('^' .. vim.pesc(root) .. '/', ''), location.range.start.line + 1, location.range.start.character + 1)
end

-- A mistake is told while it is being typed, in a buffer that is not saved.
vim.api.nvim_buf_set_text(buffer, 8, 2, 8, 8, { 'listne' })
wait('a diagnostic', function() return #vim.diagnostic.get(buffer) > 0 end)
say('mistake', messages(buffer))
local action = ask(buffer, 'textDocument/codeAction', {
  textDocument = { uri = vim.uri_from_bufnr(buffer) },
  range = { start = { line = 8, character = 3 }, ['end'] = { line = 8, character = 3 } },
  context = { diagnostics = {} },
})
say('action', action[1].title)
vim.lsp.util.apply_workspace_edit(action[1].edit, 'utf-16')
say('repaired', vim.api.nvim_buf_get_lines(buffer, 8, 9, true)[1])
wait('no diagnostic', function() return #vim.diagnostic.get(buffer) == 0 end)

-- A mistake in a used file that is open and not saved is told there, and mended by what is
-- written in it.
vim.cmd('edit ' .. root .. '/shared/web.nos')
local other = vim.api.nvim_get_current_buf()
vim.lsp.buf_attach_client(other, client)
vim.api.nvim_buf_set_lines(other, 1, 2, true, { 'let root = "/srv" +' })
wait('a diagnostic of the other file', function() return #vim.diagnostic.get(other) > 0 end)
say('other', messages(other))
vim.api.nvim_buf_set_lines(other, 1, 2, true, { 'let root = "/srv/ä😀"' })
wait('none of the other file', function() return #vim.diagnostic.get(other) == 0 end)

say('hover attribute', ask(buffer, 'textDocument/hover', place(buffer, 10, 'health')).contents.value:match('^`service.health`'))
say('hover value', ask(buffer, 'textDocument/hover', place(buffer, 6, 'place')).contents.value)
say('definition', here(ask(buffer, 'textDocument/definition', place(buffer, 6, 'place'))))
say('definition across files', here(ask(buffer, 'textDocument/definition', place(buffer, 3, 'root'))))
local standard = ask(buffer, 'textDocument/definition', place(buffer, 14, 'stock'))
say('definition in the library', vim.fn.readfile(vim.uri_to_fname(standard.uri))[standard.range.start.line + 1])

local found = {}
for _, location in ipairs(ask(other, 'textDocument/references', vim.tbl_extend('force', place(other, 2, 'root'), { context = { includeDeclaration = true } }))) do
  table.insert(found, here(location))
end
say('references', found)

local function labels(b, line, text, past)
  local items = ask(b, 'textDocument/completion', place(b, line, text, past))
  table.sort(items, function(x, y) return x.sortText < y.sortText end)
  local list = {}
  for _, item in ipairs(items) do table.insert(list, item.label) end
  return table.concat(list, ' ')
end
say('completion of packages', labels(buffer, 5, '"', 3))
say('completion of members', labels(buffer, 14, 'stock', 2))

-- Positions behind a character of two units, in the middle of what is typed.
vim.api.nvim_buf_set_lines(buffer, 5, 6, true, { '  env = { A = "😀${place}", B = "${pla}" }' })
say('completion behind 😀', labels(buffer, 6, 'pla}', 3):match('place'))
vim.api.nvim_buf_set_lines(buffer, 5, 6, true, { '  env = { A = "😀${place}" }' })
say('refused', ask(buffer, 'textDocument/rename', vim.tbl_extend('force', place(buffer, 14, 'stock'), { newName = 'x' })))
local edit = ask(buffer, 'textDocument/rename', vim.tbl_extend('force', place(buffer, 3, 'root'), { newName = 'pages' }))
vim.lsp.util.apply_workspace_edit(edit, 'utf-16')
say('renamed', { vim.api.nvim_buf_get_lines(buffer, 2, 3, true)[1], vim.api.nvim_buf_get_lines(other, 1, 2, true)[1] })

vim.api.nvim_buf_set_lines(buffer, 3, 4, true, { 'service page{' })
local edits = ask(buffer, 'textDocument/formatting', { textDocument = { uri = vim.uri_from_bufnr(buffer) }, options = { tabSize = 2, insertSpaces = true } })
vim.lsp.util.apply_text_edits(edits, buffer, 'utf-16')
say('formatted', vim.api.nvim_buf_get_lines(buffer, 3, 10, true))

found = {}
for _, symbol in ipairs(ask(buffer, 'textDocument/documentSymbol', { textDocument = { uri = vim.uri_from_bufnr(buffer) } })) do
  table.insert(found, symbol.name)
end
say('symbols', found)
say('an unknown file', ask(buffer, 'textDocument/hover', { textDocument = { uri = 'file:///nowhere/x.nos' }, position = { line = 0, character = 0 } }))

vim.lsp.stop_client(client)
wait('the end', function() return exited ~= nil end)
say('exit code', exited)
finish(0)
