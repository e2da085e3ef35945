-- Schema 2 of the journal: where rows have to go for want of room, those go first that anybody can cause.

-- How many there are of them, and the oldest. Rows of messages are not in it.
CREATE INDEX journal_row_without_message ON journal_row (key) WHERE kind <> 'message';
