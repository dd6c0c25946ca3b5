-- How the reader serves a view (the definition's member `reader`): no part of what makes its rows, so it may change while
-- the generation lives. Null: the definition has no such member.
-- Idempotent: every statement may run again on a database that has it.

ALTER TABLE daybook.generation ADD COLUMN IF NOT EXISTS reader jsonb;
