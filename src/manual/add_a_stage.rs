//! # How to add a stage
//!
//! A stage is one file in `src/stages/` and one row in [`stages::KINDS`](crate::stages::KINDS).
//! [`chain`](crate::chain) has the contract. Two objects make a stage: the configured
//! [`Stage`](crate::chain::Stage), shared by all sessions, and an
//! [`Inspection`](crate::chain::Inspection), which watches one session and has a method for each of
//! the milter's events, all optional.
//!
//! 1. **Write what it is for** at the top of the file, for the administrator who reads
//!    `octroi check`.
//! 2. **Read its settings** from the [`Section`](crate::value::settings::Section) of its
//!    `[[stage]]`; a key you do not ask for is an unknown key, and says so. The common keys
//!    ([`stages::COMMON`](crate::stages::COMMON)) are read for you.
//! 3. **Say what it is**: [`may_edit`](crate::chain::Stage::may_edit) closes its segment of the
//!    chain, and what follows sees the message as edited; one that may not runs at the same time as
//!    its neighbours, and its edits are dropped. [`is_remote`](crate::chain::Stage::is_remote) gives
//!    it a circuit breaker. [`reads_content_only`](crate::chain::Stage::reads_content_only) lets
//!    identical messages under way share one answer.
//! 4. **Answer early what you can**: a refusal at RCPT costs nobody a body.
//! 5. **Return findings** under the names that its row documents, with their types: rules are
//!    checked against them when the configuration is read. The verdict is a consequence.
//! 6. **Fail honestly**: return a [`StageError`](crate::chain::StageError). What it means is the
//!    administrator's choice (`on_error`), and a deadline or a panic is the same to the chain.
//!    Never return "deliver" for "I do not know".
//! 7. **Do not block.** What computes for milliseconds goes to `tokio::task::spawn_blocking`.
//! 8. **Document it** in `deploy/octroi.toml`, and start the real binary with it in a test
//!    (`tests/dialogues/` is the quickest way). Tests compare table, reader and reference.
//!
//! A whole one, which the tests of this module compile and run:
//!
//! ```ignore
#![doc = include_str!("example.rs")]
//! ```

#[cfg(test)]
mod tests {
    use super::super::example::KIND;
    use crate::{
        chain::{Report, Verdict},
        message::{Client, Content, Envelope, HeaderBlock, Message},
        smtp::{Mail, ReversePath},
        stages::tests::surroundings,
        value::settings::{Problems, Section},
    };
    use std::sync::Arc;
    use toml::de::DeTable;

    async fn inspect(settings: &str, subject: &str) -> Report {
        let (table, _) = DeTable::parse_recoverable(settings);
        let problems = Problems::default();
        let stage = (KIND.build)(&mut Section::root(&table, problems.clone()), &surroundings()).unwrap();
        assert!(problems.take().is_empty());
        let address = "192.0.2.1:1".parse().unwrap();
        let client =
            Arc::new(Client { listener: "mx".into(), address, local: address, tls: None, hello: None, account: None, mechanism: None });
        let headers = format!("Subject: {subject}\r\n");
        let envelope = Envelope { mail: Mail::new(ReversePath(None)), recipients: vec![] };
        let message = Message::new(envelope.into(), HeaderBlock::new(headers.clone().into()), Content::from_bytes(headers));
        stage.begin(&client).await.unwrap().end_of_message(&message).await.unwrap()
    }

    #[tokio::test]
    async fn the_worked_example_works() {
        assert_eq!(inspect("words = [\"Lottery\"]", "lunch").await, Report::default());
        let report = inspect("words = [\"Lottery\"]", "The LOTTERY").await;
        assert!(matches!(report.verdict, Verdict::Refuse(_)));
        assert_eq!(report.findings[0].to_string(), "subjects.word=lottery");
    }
}
