//! Whoever asks whether a name is ours is answered while an order is under way and at no other time, and
//! nothing else is. HTTP-01 (RFC 8555 §8.3): the authority asks for a file under the name, over HTTP.
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// For one question and its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets of a question.
const LARGEST: usize = 4 << 10;
/// Questions at a time.
const MOST: usize = 32;
const PREFIX: &str = "GET /.well-known/acme-challenge/";

/// Answers, by their tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<HashMap<String, String>>>);

impl Answers {
    pub(super) fn add(&self, token: &str, answer: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), answer.to_owned());
    }

    /// The whole HTTP response to a question, which ends with an empty line.
    fn respond(&self, question: &[u8]) -> String {
        let line = question.split(|octet| *octet == b'\r').next().unwrap_or_default();
        let token = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(PREFIX)?.split(' ').next());
        let answer = token.and_then(|token| self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned());
        let (status, body) = answer.map_or(("404 Not Found", String::new()), |answer| ("200 OK", answer));
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Has whoever asks answered, for as long as it is polled: each in time, and so many at once.
pub(super) async fn serve<F>(listener: TcpListener, answer: impl Fn(TcpStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let (places, mut asked) = (Arc::new(Semaphore::new(MOST)), JoinSet::new());
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while asked.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let answered = answer(stream);
        asked.spawn(async move {
            let _ = timeout(PATIENCE, answered).await;
            drop(place);
        });
    }
}

/// One question over HTTP, and its answer.
pub(super) async fn answer(mut stream: TcpStream, answers: Answers) -> io::Result<()> {
    let mut question = Vec::new();
    while memchr::memmem::find(&question, b"\r\n\r\n").is_none() && question.len() < LARGEST {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await? {
            0 => break,
            n => question.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
    stream.write_all(answers.respond(&question).as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_is_given_to_who_knows_the_token_and_nothing_else() {
        let answers = Answers::default();
        answers.add("abc", "abc.thumbprint");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, move |stream| answer(stream, answers.clone())));
        for (question, status, body) in [
            ("GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK", "abc.thumbprint"),
            ("GET /.well-known/acme-challenge/abd HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", ""),
            ("GET /.well-known/acme-challenge/../abc HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", ""),
            ("POST /.well-known/acme-challenge/abc HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", ""),
            ("\u{0}\r\n\r\n", "HTTP/1.1 404 Not Found", ""),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(question.as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            assert!(said.starts_with(status) && said.ends_with(&format!("\r\n\r\n{body}")), "{question}: {said}");
        }
        // Who says nothing takes no place from the others.
        let idle: Vec<_> = futures_util::future::join_all((0..MOST - 1).map(|_| TcpStream::connect(address))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(stream.read_u8().await.is_ok() && idle.iter().all(Result::is_ok));
        serving.abort();
    }
}
