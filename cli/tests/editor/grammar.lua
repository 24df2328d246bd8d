-- Parses the files that FILES names with the grammar in PARSER, and runs the highlights over them.
-- Prints the tree of each file without names (for SHOW) or of what has a mistake.
vim.treesitter.require_language('nos', vim.env.PARSER)
local query = vim.treesitter.parse_query('nos', table.concat(vim.fn.readfile(vim.env.HIGHLIGHTS), '\n'))
for _, file in ipairs(vim.split(vim.env.FILES, '\n')) do
  local text = table.concat(vim.fn.readfile(file), '\n') .. '\n'
  local root = vim.treesitter.get_string_parser(text, 'nos'):parse()[1]:root()
  local captures = 0
  for _ in query:iter_captures(root, text, 0, -1) do captures = captures + 1 end
  local state = root:has_error() and 'wrong' or captures == 0 and 'dark' or 'good'
  local shown = (state ~= 'good' or vim.env.SHOW) and root:sexpr() or ''
  io.stdout:write(state .. ' ' .. vim.fn.fnamemodify(file, ':t') .. ' ' .. shown .. '\n')
end
vim.cmd('qall!')
