-- How the reader serves a view (the definition's member `reader`) and what it says of it (`description`): no part of what
-- makes its rows, so they may change while the generation lives. Null, or empty: the definition has no such member.
-- Idempotent: every statement may run again on a database that has it.

ALTER TABLE daybook.generation ADD COLUMN IF NOT EXISTS reader jsonb;
ALTER TABLE daybook.generation ADD COLUMN IF NOT EXISTS description text NOT NULL DEFAULT '';
