-- +goose Up

-- One row a validation, narrow so that lists and filters read little. Times are microseconds since 1970, 0 for none.
CREATE TABLE validations (
    id                TEXT    NOT NULL PRIMARY KEY,
    state             TEXT    NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'finished')),
    apv_id            TEXT    NOT NULL,
    cve_id            TEXT    NOT NULL,
    patch_id          TEXT    NOT NULL,
    scenario_id       TEXT    NOT NULL,
    scenario_digest   TEXT    NOT NULL,
    patch_digest      TEXT    NOT NULL,
    attempts          INTEGER NOT NULL DEFAULT 0,
    last_error        TEXT    NOT NULL DEFAULT '',
    created_at        INTEGER NOT NULL,
    started_at        INTEGER NOT NULL DEFAULT 0,
    finished_at       INTEGER NOT NULL DEFAULT 0,
    verdict           TEXT    NOT NULL DEFAULT '' CHECK (verdict IN ('', 'fixed', 'not_fixed', 'broken', 'inconclusive')),
    patch_validated   INTEGER NOT NULL DEFAULT 0 CHECK (patch_validated IN (0, 1)),
    method            TEXT    NOT NULL DEFAULT '',
    cached            INTEGER NOT NULL DEFAULT 0 CHECK (cached IN (0, 1)),
    assurance         INTEGER NOT NULL DEFAULT 0,
    confidence        REAL    NOT NULL DEFAULT 0,
    residual_risk     REAL    NOT NULL DEFAULT 0,
    execution_seconds REAL    NOT NULL DEFAULT 0,
    reason            TEXT    NOT NULL DEFAULT '',
    -- What may never be seen, whatever the code does: an end without a verdict, a verdict before the end, a patch that
    -- counts as validated without being fixed.
    CHECK ((state = 'finished') = (verdict <> '')),
    CHECK (patch_validated = 0 OR verdict = 'fixed')
) STRICT, WITHOUT ROWID;

-- The primary key is part of every index of a table without rowid, so each of these also gives the order of a list.
CREATE INDEX validations_by_apv ON validations (apv_id);
CREATE INDEX validations_by_cve ON validations (cve_id);
CREATE INDEX validations_by_patch ON validations (patch_id);
CREATE INDEX validations_by_scenario ON validations (scenario_id);
CREATE INDEX validations_by_verdict ON validations (verdict);
CREATE INDEX validations_unfinished ON validations (state) WHERE state <> 'finished';

-- The normalised request: all that a later process needs to run the trial.
CREATE TABLE requests (
    validation_id TEXT NOT NULL PRIMARY KEY REFERENCES validations (id) ON DELETE CASCADE,
    body          TEXT NOT NULL
) STRICT;

-- The whole answer. The primary key is what makes a second verdict impossible.
CREATE TABLE verdicts (
    validation_id TEXT NOT NULL PRIMARY KEY REFERENCES validations (id) ON DELETE CASCADE,
    body          TEXT NOT NULL
) STRICT;

-- +goose Down
DROP TABLE verdicts;
DROP TABLE requests;
DROP TABLE validations;
