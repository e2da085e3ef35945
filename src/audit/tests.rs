use super::*;
use crate::storage::{Access, Schema, Statement};
use proptest::prelude::*;
use std::path::Path;

fn open(directory: &Path) -> Audit {
    Audit::new(Database::open(&directory.join("octroi.db"), Schema::STATE, Access::Create).unwrap())
}

fn actor() -> Actor {
    Actor::new("alice", Some("192.0.2.7".parse().unwrap()))
}

async fn filled(directory: &Path, rows: usize) -> Audit {
    let audit = open(directory);
    let actor = actor();
    for n in 0..rows {
        let object = format!("01J{n}");
        audit.record(Event::of(&actor, Action::View).on(&object).with("n", n)).await.unwrap();
    }
    audit
}

#[tokio::test]
async fn a_chain_is_whole_and_its_head_is_found_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let audit = filled(directory.path(), 0).await;
    assert_eq!(audit.verify(None).await.unwrap().rows, 0);
    let audit = filled(directory.path(), 3).await;
    let (sequence, head) = audit.head().await.unwrap().unwrap();
    assert_eq!(sequence, 3);
    assert_eq!(audit.verify(Some(&head)).await.unwrap(), Verified { rows: 3, head: head.clone() });
    audit.record(Event::of(&Actor::local(), Action::Delete).on("01J0")).await.unwrap();
    assert_eq!(audit.verify(Some(&head)).await.unwrap().rows, 4);
    assert_eq!(audit.verify(Some("ffff")).await, Err(Broken::HeadMissing("ffff".into())));
}

#[tokio::test]
async fn a_row_stands_or_falls_with_what_it_tells_of() {
    let directory = tempfile::tempdir().unwrap();
    let audit = filled(directory.path(), 1).await;
    let actor = actor();
    let event = Event::of(&actor, Action::Delete).on("x").statement();
    let fails = Statement::new("UPDATE quarantine_usage SET entries = 0 WHERE class = 'none'").must_change();
    assert!(audit.database.write(vec![event.clone(), fails]).await.is_err());
    audit.database.write(vec![event.clone(), event]).await.unwrap();
    assert_eq!(audit.verify(None).await.unwrap().rows, 3);
}

#[tokio::test]
async fn two_processes_share_one_chain() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (open(directory.path()), open(directory.path()));
    let actor = actor();
    let writes = (0..100).map(|n| {
        let audit = if n % 2 == 0 { &one } else { &two };
        audit.record(Event::of(&actor, Action::Note).with("n", n))
    });
    for written in futures_util::future::join_all(writes).await {
        written.unwrap();
    }
    assert_eq!(one.verify(None).await.unwrap().rows, 100);
}

#[tokio::test]
async fn rows_are_found_and_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let audit = filled(directory.path(), 5).await;
    let long = "é".repeat(10_000);
    audit.record(Event::of(&actor(), Action::Note).on(&long).with("text", long.clone())).await.unwrap();
    let found = audit.list(&Filter { action: Some("note".into()), limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].detail.len() < 9000 && serde_json::from_str::<serde_json::Value>(&found[0].detail).is_ok());
    let page = audit.list(&Filter { below: Some(4), limit: 2, ..Filter::default() }).await.unwrap();
    assert_eq!(page.iter().map(|record| record.sequence).collect::<Vec<_>>(), [3, 2]);
    assert!(audit.list(&Filter { actor: Some("bob".into()), ..Filter::default() }).await.unwrap().is_empty());
    assert_eq!(audit.verify(None).await.unwrap().rows, 6);
}

#[tokio::test]
async fn what_a_program_does_is_told_from_what_the_person_does() {
    let directory = tempfile::tempdir().unwrap();
    let audit = open(directory.path());
    let program = Actor { token: Some("01J".into()), ..actor() };
    audit.record(Event::of(&actor(), Action::Release).on("id")).await.unwrap();
    audit.record(Event::of(&program, Action::Release).on("id").with("n", 1)).await.unwrap();
    let details: Vec<_> = audit.list(&Filter { limit: 2, ..Filter::default() }).await.unwrap().into_iter().map(|row| row.detail).collect();
    assert_eq!(details, [r#"{"n":1,"token":"01J"}"#, "{}"]);
}

#[tokio::test]
async fn settings_are_written_down_where_they_are_others() {
    let directory = tempfile::tempdir().unwrap();
    let audit = open(directory.path());
    let settings = |keep: &str| serde_json::Map::from_iter([("quarantine.keep".to_owned(), keep.into())]);
    assert_eq!(audit.settings(settings("30d")).await, Ok(true));
    assert_eq!(audit.settings(settings("30d")).await, Ok(false));
    audit.record(Event::of(&actor(), Action::Note)).await.unwrap();
    assert_eq!(open(directory.path()).settings(settings("30d")).await, Ok(false), "another start");
    assert_eq!(audit.settings(settings("1m")).await, Ok(true));
    assert_eq!(audit.settings(settings("30d")).await, Ok(true));
    let rows = audit.list(&Filter { action: Some("settings".into()), limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| &*row.detail).collect::<Vec<_>>(),
        ["30d", "1m", "30d"].map(|keep| format!("{{\"quarantine.keep\":\"{keep}\"}}"))
    );
    assert!(rows.iter().all(|row| row.actor == "octroi"));
}

#[tokio::test]
async fn the_database_itself_refuses_changes() {
    let directory = tempfile::tempdir().unwrap();
    let audit = filled(directory.path(), 2).await;
    for sql in ["UPDATE audit SET actor = 'mallory'", "DELETE FROM audit"] {
        let refused = audit.database.write(vec![Statement::new(sql)]).await.unwrap_err();
        assert!(refused.to_string().contains("never"), "{refused}");
    }
}

/// What somebody with the file in his hands does to it.
#[derive(Debug, Clone)]
enum Tampering {
    Edit {
        row: i64,
        column: usize,
        text: String,
    },
    Remove {
        row: i64,
    },
    /// Later rows move up, so that no number is missing.
    Close {
        row: i64,
    },
    Swap {
        row: i64,
    },
    Insert {
        row: i64,
    },
    Truncate {
        rows: i64,
    },
}

const ROWS: i64 = 8;
const COLUMNS: [&str; 7] = ["at", "actor", "client", "action", "object", "detail", "previous"];

fn tampering() -> impl Strategy<Value = Tampering> {
    prop_oneof![
        (1..=ROWS, 0..COLUMNS.len(), "[a-z]{0,5}").prop_map(|(row, column, text)| Tampering::Edit { row, column, text }),
        (1..=ROWS).prop_map(|row| Tampering::Remove { row }),
        (1..ROWS).prop_map(|row| Tampering::Close { row }),
        (1..ROWS).prop_map(|row| Tampering::Swap { row }),
        (1..=ROWS + 1).prop_map(|row| Tampering::Insert { row }),
        (1..=ROWS).prop_map(|rows| Tampering::Truncate { rows }),
    ]
}

impl Tampering {
    fn sql(&self) -> String {
        let moved = "UPDATE audit SET sequence = sequence + 1000 WHERE sequence";
        match self {
            Self::Edit { row, column: 0, .. } => format!("UPDATE audit SET at = at + 1 WHERE sequence = {row}"),
            Self::Edit { row, column, text } => {
                format!("UPDATE audit SET {0} = {0} || '{text}!' WHERE sequence = {row}", COLUMNS[*column])
            }
            Self::Remove { row } => format!("DELETE FROM audit WHERE sequence = {row}"),
            Self::Close { row } => format!(
                "DELETE FROM audit WHERE sequence = {row}; {moved} > {row}; UPDATE audit SET sequence = sequence - 1001 WHERE sequence > 1000"
            ),
            Self::Swap { row } => format!(
                "{moved} IN ({row}, {row} + 1); UPDATE audit SET sequence = {row} WHERE sequence = {row} + 1001; \
                 UPDATE audit SET sequence = {row} + 1 WHERE sequence = {row} + 1000"
            ),
            Self::Insert { row } => format!(
                "{moved} >= {row}; UPDATE audit SET sequence = sequence - 999 WHERE sequence > 1000; \
                 INSERT INTO audit SELECT {row}, at, 'mallory', client, action, object, detail, previous, 'f' FROM audit LIMIT 1"
            ),
            Self::Truncate { rows } => format!("DELETE FROM audit WHERE sequence > {ROWS} - {rows}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_done_to_it_is_found(tampering in tampering()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let head = runtime.block_on(async {
            let audit = filled(directory.path(), ROWS as usize).await;
            audit.head().await.unwrap().unwrap().1
        });
        let connection = Database::tampering(&directory.path().join("octroi.db"));
        connection.batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted").unwrap();
        connection.batch(&tampering.sql()).unwrap();
        runtime.block_on(async {
            let verified = open(directory.path()).verify(Some(&head)).await;
            prop_assert!(verified.is_err(), "{tampering:?} was not seen");
            Ok(())
        })?;
    }
}
