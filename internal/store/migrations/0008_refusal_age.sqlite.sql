-- +goose Up
-- Refusals are forgotten by age.
CREATE INDEX refusal_age ON refusal (at);
