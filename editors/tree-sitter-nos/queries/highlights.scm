; Later patterns win where several match.

(comment) @comment
(text) @string
(long_text) @string
(escape) @string.escape
(interpolation "${" @punctuation.special "}" @punctuation.special)
(number) @number
(boolean) @boolean

["use" "as"] @include
["let" "template" "like"] @keyword
"for" @repeat
["if" "else"] @conditional
["and" "or" "not" "in"] @keyword.operator
["=" "+=" "==" "!=" "<" "<=" ">" ">=" "+" "-" "*"] @operator
["," "." ":"] @punctuation.delimiter
["{" "}" "[" "]" "(" ")"] @punctuation.bracket

(path (identifier) @variable)
(use path: (path (identifier) @namespace))
(use name: (identifier) @namespace)
(let name: (identifier) @variable)
(block kind: (identifier) @type)
(block name: (identifier) @constructor)
(template kind: (identifier) @type)
(template name: (identifier) @function)
(parameter name: (identifier) @parameter)
(parameter type: (identifier) @type.builtin)
(attribute name: (identifier) @property)
(argument name: (identifier) @parameter)
(call function: (path (identifier) @function))
(for_items name: (identifier) @variable)
(for_items value: (identifier) @variable)
(for_entries name: (identifier) @variable)
(for_entries value: (identifier) @variable)
(for_elements name: (identifier) @variable)
(for_elements value: (identifier) @variable)
