//! A web server for one test, on loopback: it answers what the test says and remembers what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered: status line's end, headers, body.
pub(crate) struct Answer(pub(crate) &'static str, pub(crate) String, pub(crate) String);

impl Answer {
    pub(crate) fn json(body: &str) -> Answer {
        Answer("200 OK", "content-type: application/json\r\n".into(), body.into())
    }
}

type Handler = Arc<dyn Fn(&Asked, usize) -> Answer + Send + Sync>;

pub(crate) struct Web {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Web {
    /// Answers with `handler`, which gets the request and how many came before it.
    pub(crate) async fn serve(handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (all, handler): (_, Handler) = (Arc::clone(&asked), Arc::new(handler));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&all), Arc::clone(&handler)));
            }
        });
        Web { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic before").clone()
    }
}

async fn answer(mut stream: TcpStream, all: Arc<Mutex<Vec<Asked>>>, handler: Handler) {
    let Some(asked) = read(&mut stream).await else { return };
    let before = {
        let mut all = all.lock().expect("no panic before");
        all.push(asked.clone());
        all.len() - 1
    };
    let Answer(status, headers, body) = handler(&asked, before);
    let text =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let _ = stream.write_all(text.as_bytes()).await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let body_end = end + 4 + length.unwrap_or(0usize);
    while bytes.len() < body_end {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&bytes[end + 4..body_end]).into_owned();
    Some(Asked { line, headers, body })
}
