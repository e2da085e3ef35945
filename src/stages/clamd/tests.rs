use super::*;
use crate::stages::tests::{client, message, read};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a scripted daemon does with a connection.
#[derive(Clone, Copy)]
enum Act {
    /// Reads to the end of the stream, then says this.
    Say(&'static [u8]),
    /// Says this at once and closes, as clamd does beyond its limit.
    Interrupt(&'static [u8]),
}

/// A daemon for one connection, and what it was sent.
async fn daemon(act: Act) -> (String, tokio::task::JoinHandle<Vec<u8>>) {
    daemons([act]).await
}

/// A daemon for as many connections, and what it was sent over all of them.
async fn daemons<const N: usize>(acts: [Act; N]) -> (String, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let mut sent = Vec::new();
        for act in acts {
            let (stream, _) = listener.accept().await.unwrap();
            serve(act, stream, &mut sent).await;
        }
        sent
    });
    (address, task)
}

async fn serve(act: Act, mut stream: TcpStream, sent: &mut Vec<u8>) {
    let mut command = [0; 10];
    stream.read_exact(&mut command).await.unwrap();
    assert_eq!(&command, b"zINSTREAM\0");
    if let Act::Interrupt(text) = act {
        return stream.write_all(text).await.unwrap();
    }
    loop {
        let length = stream.read_u32().await.unwrap();
        if length == 0 {
            break;
        }
        let start = sent.len();
        sent.resize(start + length as usize, 0);
        stream.read_exact(&mut sent[start..]).await.unwrap();
    }
    if let Act::Say(text) = act {
        stream.write_all(text).await.unwrap();
    }
}

async fn scan(address: &str, settings: &str, body: &str) -> Result<Report, StageError> {
    let (stages, found) = read(&format!("[[stage]]\ntype = \"clamd\"\naddress = \"{address}\"\n{settings}"));
    assert_eq!(found, []);
    let message = message("Subject: x\r\n", body);
    let mut inspection = stages[0].stage.begin(&client()).await?;
    inspection.headers(&message.headers).await?;
    for piece in body.as_bytes().chunks(40_000) {
        inspection.body(&Bytes::copy_from_slice(piece)).await?;
        // Otherwise all of it is in the socket's buffers before the daemon has its turn.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    inspection.end_of_message(&message).await
}

#[tokio::test]
async fn the_daemon_gets_the_message_octet_for_octet() {
    let body = "line\r\n".repeat(50_000);
    let (address, task) = daemon(Act::Say(b"stream: OK\0")).await;
    assert_eq!(scan(&address, "", &body).await.unwrap(), Report::default());
    assert_eq!(task.await.unwrap(), format!("Subject: x\r\n\r\n{body}").into_bytes());
}

#[tokio::test]
async fn a_signature_means_what_is_configured() {
    let refusal = |permanent: bool| {
        let text = "malware found: Heuristics.X";
        Verdict::Refuse(if permanent { Refusal::permanent(50, "7.1", text) } else { Refusal::temporary(51, "7.1", text) })
    };
    let hold = Verdict::Quarantine(Hold { class: HoldClass::Malware, reason: "ClamAV found Heuristics.X".into() });
    for (settings, expected) in [
        ("", refusal(true)),
        ("found = \"tempfail\"", refusal(false)),
        ("found = \"quarantine\"", hold),
        ("found = \"discard\"", Verdict::Discard),
        ("found = \"discard\"\nheuristics = \"report\"", Verdict::Deliver),
    ] {
        let (address, _task) = daemon(Act::Say(b"stream: Heuristics.X FOUND\0")).await;
        let report = scan(&address, settings, "body").await.unwrap();
        assert_eq!(report.verdict, expected, "{settings}");
        assert_eq!(report.findings, [Finding::text("clamd.signature", "Heuristics.X")]);
    }
}

#[tokio::test]
async fn whatever_is_no_answer_is_a_failure() {
    for text in [&b""[..], b"stream: OK", b"stream: Can't open file ERROR\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 9000]] {
        let (address, _task) = daemon(Act::Say(text)).await;
        assert!(matches!(scan(&address, "", "body").await, Err(StageError::Failed(_))), "{text:?}");
    }
    assert!(matches!(scan("127.0.0.1:1", "", "body").await, Err(StageError::Failed(_))), "nobody listens");
}

#[tokio::test]
async fn what_is_too_large_is_said_to_be() {
    let (address, _task) = daemon(Act::Interrupt(b"INSTREAM size limit exceeded. ERROR\0")).await;
    let said = scan(&address, "", &"x".repeat(1_000_000)).await;
    assert!(matches!(said, Err(StageError::TooLarge(_))), "{said:?}");
    let (address, _task) = daemon(Act::Say(b"stream: OK\0")).await;
    assert!(matches!(scan(&address, "max_size = \"1KiB\"", &"x".repeat(2000)).await, Err(StageError::TooLarge(_))));
}

#[tokio::test]
async fn a_stream_that_broke_is_sent_once_more() {
    let body = "line\r\n".repeat(50_000);
    for first in [&b""[..], b"COMMAND READ TIMED OUT\0", b"stream: OK\0"] {
        let (address, task) = daemons([Act::Interrupt(first), Act::Say(b"stream: OK\0")]).await;
        assert_eq!(scan(&address, "", &body).await.unwrap(), Report::default(), "{first:?}");
        assert_eq!(task.await.unwrap(), format!("Subject: x\r\n\r\n{body}").into_bytes(), "all of it, over the second");
    }
    for (second, is_too_large) in [(&b""[..], false), (b"stream: OK\0", false), (b"INSTREAM size limit exceeded. ERROR\0", true)] {
        let (address, _task) = daemons([Act::Interrupt(b""), Act::Interrupt(second)]).await;
        let said = scan(&address, "", &body).await;
        assert!(matches!(said, Err(StageError::TooLarge(_))) == is_too_large && said.is_err(), "{second:?}: {said:?}");
    }
    let (address, _task) = daemons([Act::Interrupt(b""), Act::Say(b"stream: X FOUND\0")]).await;
    assert!(matches!(scan(&address, "", &body).await.unwrap().verdict, Verdict::Refuse(_)));
}

#[tokio::test]
async fn nobody_is_connected_to_before_there_is_something_to_send() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stages, found) = read(&format!("[[stage]]\ntype = \"clamd\"\naddress = \"{}\"\n", listener.local_addr().unwrap()));
    assert_eq!(found, []);
    let message = message("Subject: x\r\n", "body");
    let mut inspection = stages[0].stage.begin(&client()).await.unwrap();
    inspection.headers(&message.headers).await.unwrap();
    inspection.body(&Bytes::from_static(b"body")).await.unwrap();
    let connected = tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept()).await;
    assert!(connected.is_err(), "clamd would wait for its CommandReadTimeout");
}
