//! Answers every request with a greeting for the path that was asked for.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("::", 80))?;
    eprintln!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(answer) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let mut filled = 0;
    let name = loop {
        let read = stream.read(&mut bytes[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes[..filled]) {
            Ok(status) if status.is_partial() => continue,
            Ok(_) => break request.path.unwrap_or("/").trim_matches('/').to_owned(),
            Err(error) => return Err(io::Error::other(error)),
        }
    };
    let name = if name.is_empty() { "world" } else { &name };
    let body = format!("Hello, {name}!\n");
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
