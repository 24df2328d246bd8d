//! The manners of the conversation, with messages that no client would send.

use crate::common::program::Nos;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use tempfile::TempDir;

/// A conversation with `nos lsp`.
struct Talk {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Talk {
    fn new() -> Self {
        let (mut command, folder) = Nos::new(["lsp"]).into_command();
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            _folder: folder,
        }
    }

    /// A conversation that has begun, with these encodings on offer.
    fn open(encodings: &[&str]) -> Self {
        let mut talk = Self::new();
        let general = json!({ "positionEncodings": encodings });
        let answer = talk.ask(
            "initialize",
            &json!({ "capabilities": { "general": general } }),
        );
        let agreed = &answer["result"]["capabilities"]["positionEncoding"];
        let wanted = if encodings.contains(&"utf-8") {
            "utf-8"
        } else {
            "utf-16"
        };
        assert_eq!(agreed, wanted);
        talk.tell("initialized", &json!({}));
        talk
    }

    fn send(&mut self, text: &str) {
        let framed = format!("Content-Length: {}\r\n\r\n{text}", text.len());
        self.input.write_all(framed.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// The answer to a request; what comes before it is passed over.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        self.send(&request.to_string());
        self.until(|message| message["id"] == method)
    }

    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut header = String::new();
            assert_ne!(
                self.output.read_line(&mut header).unwrap(),
                0,
                "it went away"
            );
            let Some(length) = header.trim().strip_prefix("Content-Length: ") else {
                continue;
            };
            let mut body = vec![0; length.parse().unwrap()];
            self.output.read_exact(&mut [0; 2]).unwrap();
            self.output.read_exact(&mut body).unwrap();
            let message: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(message["jsonrpc"], "2.0");
            if wanted(&message) {
                return message;
            }
        }
    }

    fn open_text(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "nos", "version": 1, "text": text });
        self.tell("textDocument/didOpen", &json!({ "textDocument": document }));
    }

    /// Ends the conversation as one should; gives the exit code.
    fn goodbye(mut self) -> Option<i32> {
        let answer = self.ask("shutdown", &Value::Null);
        assert_eq!(answer["result"], Value::Null);
        assert_eq!(
            self.ask("textDocument/hover", &json!({}))["error"]["code"],
            -32600
        );
        self.tell("exit", &Value::Null);
        self.child.wait().unwrap().code()
    }
}

#[test]
fn a_conversation_begins_and_ends() {
    let mut talk = Talk::new();
    let early = talk.ask("textDocument/hover", &json!({}));
    assert_eq!(early["error"]["code"], -32002);
    let answer = talk.ask("initialize", &json!({ "capabilities": {} }));
    assert_eq!(answer["result"]["serverInfo"]["name"], "nos");
    assert_eq!(
        answer["result"]["capabilities"]["positionEncoding"],
        "utf-16"
    );
    let again = talk.ask("initialize", &json!({ "capabilities": {} }));
    assert_eq!(again["error"]["code"], -32600);
    assert_eq!(talk.goodbye(), Some(0));

    // Without goodbye it is an error, but an end.
    let mut talk = Talk::open(&[]);
    talk.tell("exit", &Value::Null);
    assert_eq!(talk.child.wait().unwrap().code(), Some(1));
    let Talk {
        input, mut child, ..
    } = Talk::open(&[]);
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn whatever_comes_the_conversation_goes_on() {
    let mut talk = Talk::open(&[]);
    for text in [
        "{",
        "[]",
        "null",
        r#"{"jsonrpc":"2.0","id":null,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1e99,"method":"a"}"#,
    ] {
        talk.send(text);
        talk.until(|message| message["id"].is_null() && message["error"]["code"].is_i64());
    }
    assert_eq!(talk.ask("no/such", &json!(1))["error"]["code"], -32601);
    assert_eq!(
        talk.ask("textDocument/hover", &json!("?"))["error"]["code"],
        -32602
    );
    let nowhere = json!({ "textDocument": { "uri": "file:///nowhere.nos" }, "position": { "line": 0, "character": 0 } });
    let unknown = talk.ask("textDocument/hover", &nowhere);
    let said = unknown["error"]["message"].as_str().unwrap();
    assert!(
        said.contains("not open and cannot be read: no such file"),
        "{said}"
    );
    for params in [
        json!(null),
        json!({}),
        json!({ "textDocument": { "uri": ":" } }),
    ] {
        for method in ["didOpen", "didChange", "didClose", "didSave"] {
            talk.tell(&format!("textDocument/{method}"), &params);
        }
        talk.tell("$/cancelRequest", &params);
        talk.tell("workspace/didChangeWorkspaceFolders", &params);
    }
    let change = json!({
        "textDocument": { "uri": "untitled:a", "version": 9 },
        "contentChanges": [{ "range": { "start": { "line": 4_000_000_000_u32, "character": 9 }, "end": { "line": 0, "character": 0 } }, "text": "😀" }],
    });
    talk.tell("textDocument/didChange", &change);
    talk.open_text("untitled:a", "let a = b\n");
    talk.tell("textDocument/didChange", &change);
    let news = talk.until(|message| message["params"]["version"] == 9);
    assert!(
        news["params"]["diagnostics"][0]["code"].is_string(),
        "{news}"
    );
    assert_eq!(talk.goodbye(), Some(0));
}

#[test]
fn positions_count_bytes_where_that_was_agreed_on() {
    let text = "let e = 1\nlet b = \"😀${e}\" + missing\n";
    for (encodings, character) in [(&["utf-16"][..], 19), (&["utf-16", "utf-8"][..], 21)] {
        let mut talk = Talk::open(encodings);
        talk.open_text("untitled:a", text);
        let news = talk.until(|message| message["params"]["diagnostics"][0]["code"].is_string());
        let start = &news["params"]["diagnostics"][0]["range"]["start"];
        assert_eq!(start["line"], 1);
        assert_eq!(start["character"], character, "{news}");
        assert_eq!(talk.goodbye(), Some(0));
    }
}

#[test]
fn a_cancelled_request_is_answered_once() {
    let mut talk = Talk::open(&[]);
    talk.open_text("untitled:a", "let a = 1\n");
    let symbols = json!({ "textDocument": { "uri": "untitled:a" } });
    for id in 0..50 {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": "textDocument/documentSymbol", "params": symbols });
        talk.send(&request.to_string());
        talk.tell("$/cancelRequest", &json!({ "id": id }));
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 50 {
        let answer = talk.until(|message| message["id"].is_i64());
        assert!(
            seen.insert(answer["id"].as_i64()),
            "answered twice: {answer}"
        );
        let cancelled = answer["error"]["code"] == -32800;
        assert!(cancelled || answer["result"][0]["name"] == "a", "{answer}");
    }
    assert_eq!(talk.goodbye(), Some(0));
}
