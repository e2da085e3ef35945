//! One SMTP session as the server sees it.
