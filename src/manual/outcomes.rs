//! # What the client is told when recipients differ
//!
//! SMTP has one reply to a message, whoever it is for. What the client hears is therefore true for
//! every recipient, and nobody is sent a bounce. Recipients that policy *refuses* are told apart at
//! RCPT, where each has a reply of its own (`452 4.5.3` parts those that one reply could not serve).
//! What is left at the end of a message:
//!
//! | the message's verdict | for single recipients | what is done | the client is told | the log's verdict |
//! | --- | --- | --- | --- | --- |
//! | deliver | nothing else | delivered to all | the MTA's reply | `delivered` |
//! | deliver | some held | held for those, **then** delivered to the others | the MTA's reply | `delivered`, `held=N` |
//! | deliver, without an attachment | | the original held, **then** the rest delivered | the MTA's reply | `delivered` |
//! | deliver, without an attachment | the MTA refuses, or does not answer | taken out of the quarantine again | the MTA's refusal, `451` | `rejected`, `deferred` |
//! | deliver | some discarded | delivered to the others | the MTA's reply | `delivered` |
//! | deliver | all held, or discarded | held for those | `250`, ours | `quarantined` |
//! | deliver | all discarded | nothing | `250`, ours | `discarded` |
//! | deliver | some held; the MTA refuses the others | taken out of the quarantine again | the MTA's refusal | `rejected`, `deferred` |
//! | deliver | some held; the MTA does not answer | taken out of the quarantine again | `451` | `deferred` |
//! | discard | some held | held for those | `250`, ours | `quarantined` |
//! | discard | | nothing | `250`, ours | `discarded` |
//! | quarantine | whatever | held for all, as one entry | `250`, ours | `quarantined` |
//! | refuse | whatever | nothing | the refusal | `rejected`, `deferred` |
//! | | something to hold and no way to store it | nothing is delivered to anybody | `452` (no room) or `451` | `deferred` |
//!
//! Held comes first, because what is on disk can be taken back and what the MTA has accepted cannot.
//! A crash between the two leaves an entry and no reply: the client sends the message again, and a
//! reviewer sees it twice.
//!
//! Our `250` reads the same whether the message is held or discarded: whoever tries what passes here
//! learns nothing from it.
