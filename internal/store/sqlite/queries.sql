-- name: CountUnfinished :one
SELECT count(*) FROM validations WHERE state <> 'finished';

-- name: InsertValidation :exec
INSERT INTO validations (id, apv_id, cve_id, patch_id, scenario_id, scenario_digest, patch_digest, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: InsertRequest :exec
INSERT INTO requests (validation_id, body) VALUES (?, ?);

-- name: BeginValidation :execrows
UPDATE validations SET state = 'running', attempts = attempts + 1, started_at = ?
WHERE id = ? AND state <> 'finished';

-- name: RetryValidation :execrows
UPDATE validations SET state = 'queued', last_error = ? WHERE id = ? AND state = 'running';

-- name: ReleaseValidation :execrows
UPDATE validations SET state = 'queued', attempts = attempts - 1 WHERE id = ? AND state = 'running';

-- name: FinishValidation :execrows
UPDATE validations SET
    state = 'finished', finished_at = @finished_at,
    scenario_id = coalesce(nullif(@scenario_id, ''), scenario_id),
    scenario_digest = coalesce(nullif(@scenario_digest, ''), scenario_digest),
    verdict = @verdict, patch_validated = @patch_validated, method = @method, cached = @cached,
    assurance = @assurance, confidence = @confidence, residual_risk = @residual_risk,
    execution_seconds = @execution_seconds, reason = @reason
WHERE id = @id AND state <> 'finished';

-- name: InsertVerdict :exec
INSERT INTO verdicts (validation_id, body) VALUES (?, ?);

-- name: RecoverValidations :execrows
UPDATE validations SET state = 'queued' WHERE state = 'running';

-- name: UnfinishedIDs :many
SELECT id FROM validations WHERE state <> 'finished' AND id > ? ORDER BY id LIMIT ?;

-- name: GetValidation :one
SELECT * FROM validations WHERE id = ?;

-- name: GetRequest :one
SELECT body FROM requests WHERE validation_id = ?;

-- name: GetVerdict :one
SELECT body FROM verdicts WHERE validation_id = ?;

-- name: GetState :one
SELECT state FROM validations WHERE id = ?;
