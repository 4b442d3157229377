-- +goose Up
ALTER TABLE message ADD COLUMN kind TEXT NOT NULL DEFAULT 'mail';  -- mail, sms
ALTER TABLE message ADD COLUMN target BYTEA;                      -- keyed digest of an address that is kept sealed
ALTER TABLE message ADD COLUMN receipt TEXT NOT NULL DEFAULT '';   -- by which a provider names it later
DROP INDEX message_due;
CREATE INDEX message_due ON message (kind, due_at) WHERE body IS NOT NULL;
CREATE INDEX message_target ON message (target, template, created_at) WHERE target IS NOT NULL;
CREATE INDEX message_receipt ON message (receipt) WHERE receipt <> '';
