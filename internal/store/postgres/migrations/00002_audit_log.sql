-- +goose Up
-- Who changed what. Each row carries the digest of the one before; detail is JSON as it was written, for the digest's sake.
CREATE TABLE audit_log (
    seq        bigint NOT NULL PRIMARY KEY CHECK (seq > 0),
    at         bigint NOT NULL, -- microseconds since 1970
    actor      text   NOT NULL,
    address    text   NOT NULL,
    request_id text   NOT NULL,
    act        text   NOT NULL,
    subject    text   NOT NULL,
    detail     text   NOT NULL,
    outcome    text   NOT NULL CHECK (outcome IN ('begun', 'done', 'failed')),
    error      text   NOT NULL,
    previous   text   NOT NULL UNIQUE, -- two rows can't follow the same one
    digest     text   NOT NULL UNIQUE
);

-- +goose StatementBegin
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER audit_log_rows BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();
CREATE TRIGGER audit_log_table BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

-- +goose Down
DROP TABLE audit_log;
DROP FUNCTION audit_log_is_append_only();
