-- Every query here is read by PostgreSQL and by SQLite alike; sqlc checks it against PostgreSQL's schema.

-- name: CountUnfinished :one
SELECT count(*) FROM validations WHERE state <> 'finished';

-- name: InsertValidation :exec
INSERT INTO validations (id, apv_id, cve_id, patch_id, scenario_id, scenario_digest, patch_digest, created_at, mode, client, priority, webhook)
VALUES (@id, @apv_id, @cve_id, @patch_id, @scenario_id, @scenario_digest, @patch_digest, @created_at, @mode, @client, @priority, @webhook);

-- name: InsertRequest :exec
INSERT INTO requests (validation_id, body) VALUES (@validation_id, @body);

-- name: BeginValidation :execrows
UPDATE validations SET
    state = 'running', attempts = attempts + 1, fence = fence + 1, started_at = @at, worker = @worker, lease_until = @until
WHERE id = @id AND (state = 'queued' OR (state = 'running' AND (lease_until < @at OR worker = @worker)));

-- name: ExtendValidation :execrows
UPDATE validations SET lease_until = @until WHERE id = @id AND state = 'running' AND fence = @fence;

-- name: RetryValidation :execrows
UPDATE validations SET state = 'queued', last_error = @last_error WHERE id = @id AND state = 'running' AND fence = @fence;

-- name: ReleaseValidation :execrows
UPDATE validations SET state = 'queued', attempts = attempts - 1 WHERE id = @id AND state = 'running' AND fence = @fence;

-- name: FinishValidation :execrows
UPDATE validations SET
    state = 'finished', finished_at = @finished_at,
    scenario_id = coalesce(nullif(CAST(@scenario_id AS text), ''), scenario_id),
    scenario_digest = coalesce(nullif(CAST(@scenario_digest AS text), ''), scenario_digest),
    verdict = @verdict, patch_validated = @patch_validated, method = @method, cached = @cached,
    assurance = @assurance, confidence = @confidence, residual_risk = @residual_risk,
    execution_seconds = @execution_seconds, reason = @reason
WHERE id = @id AND state <> 'finished'
    AND (CAST(@fence AS bigint) = 0 OR CAST(@verdict AS text) <> 'inconclusive' OR (state = 'running' AND fence = @fence));

-- name: InsertVerdict :exec
INSERT INTO verdicts (validation_id, body) VALUES (@validation_id, @body);

-- name: ExpireValidations :many
UPDATE validations SET state = 'queued', last_error = 'the worker that was at it did not prolong its lease'
WHERE validations.state = 'running' AND validations.lease_until < @now AND validations.id IN (
    SELECT v.id FROM validations AS v WHERE v.state = 'running' AND v.lease_until < @now ORDER BY v.id LIMIT CAST(@max AS bigint)
)
RETURNING id;

-- name: RecoverValidations :execrows
UPDATE validations SET state = 'queued' WHERE state = 'running';

-- name: UnfinishedIDs :many
SELECT id FROM validations WHERE state <> 'finished' AND id > @after ORDER BY id LIMIT CAST(@max AS bigint);

-- name: UnfinishedByClient :many
SELECT client, count(*) AS n FROM validations WHERE state <> 'finished' GROUP BY client;

-- name: GetValidation :one
SELECT * FROM validations WHERE id = @id;

-- name: GetRequest :one
SELECT body FROM requests WHERE validation_id = @validation_id;

-- name: GetVerdict :one
SELECT body FROM verdicts WHERE validation_id = @validation_id;

-- name: GetState :one
SELECT state, fence FROM validations WHERE id = @id;

-- name: ValidationsBasedOn :many
SELECT * FROM validations
WHERE scenario_id = @scenario_id AND scenario_digest <> @digest AND id > @after
    AND verdict IN ('fixed', 'not_fixed', 'broken') AND superseded_by = '' AND revoked = 0
ORDER BY id LIMIT CAST(@max AS bigint);

-- name: SupersedeValidation :execrows
UPDATE validations SET superseded_by = @superseded_by WHERE id = @id AND state = 'finished';

-- name: RevokeValidation :execrows
UPDATE validations SET superseded_by = @superseded_by, revoked = 1, revoked_reason = @reason, revoked_at = @at
WHERE id = @id AND state = 'finished' AND revoked = 0;

-- name: PruneValidations :execrows
DELETE FROM validations WHERE id IN (
    SELECT v.id FROM validations AS v WHERE v.finished_at > 0 AND v.finished_at < @before ORDER BY v.finished_at LIMIT CAST(@max AS bigint)
);

-- name: LockSequence :one
UPDATE sequences SET value = value WHERE name = @name RETURNING value;

-- name: SetSequence :exec
UPDATE sequences SET value = @value WHERE name = @name;

-- name: ReadSequence :one
SELECT value FROM sequences WHERE name = @name;

-- name: InsertABTest :execrows
INSERT INTO ml_ab_tests (
    id, validation_id, apv_id, cve_id, patch_id, scenario_id, scenario_digest, patch_digest, model_version, features_version,
    ab_test_version, ml_prediction, ml_probability, ml_confidence, ml_execution_time_ms, threshold, stratum, decided, propensity,
    challengers, features, shap_values, state, wargaming_result, wargaming_execution_time_ms, ml_correct, disagreement_reason,
    judged_seq, created_at, judged_at
) VALUES (
    @id, @validation_id, @apv_id, @cve_id, @patch_id, @scenario_id, @scenario_digest, @patch_digest, @model_version, @features_version,
    @ab_test_version, @ml_prediction, @ml_probability, @ml_confidence, @ml_execution_time_ms, @threshold, @stratum, @decided, @propensity,
    @challengers, @features, @shap_values, @state, @wargaming_result, @wargaming_execution_time_ms, @ml_correct, @disagreement_reason,
    @judged_seq, @created_at, @judged_at
) ON CONFLICT DO NOTHING;

-- name: JudgeABTest :execrows
UPDATE ml_ab_tests SET
    state = 'judged', wargaming_result = @wargaming_result, wargaming_execution_time_ms = @wargaming_execution_time_ms,
    ml_correct = @ml_correct, disagreement_reason = @disagreement_reason, judged_seq = @judged_seq, judged_at = @judged_at
WHERE id = @id AND state = 'pending';

-- name: GetABTest :one
SELECT * FROM ml_ab_tests WHERE id = @id;

-- name: PendingABTests :many
SELECT * FROM ml_ab_tests WHERE judged_seq = 0 AND id > @after ORDER BY id LIMIT CAST(@max AS bigint);

-- name: JudgedABTests :many
SELECT * FROM ml_ab_tests WHERE judged_seq > 0 AND judged_seq > @after ORDER BY judged_seq LIMIT CAST(@max AS bigint);

-- name: PruneABTests :execrows
DELETE FROM ml_ab_tests WHERE id IN (
    SELECT t.id FROM ml_ab_tests AS t
    WHERE t.created_at < @before AND t.judged_at < @before AND t.judged_seq <= @folded ORDER BY t.created_at LIMIT CAST(@max AS bigint)
);

-- name: AddRollup :exec
INSERT INTO ml_ab_rollups AS r (
    hour, model_version, side, stratum, correct, wrong, inconclusive, correct_weight, wrong_weight, inconclusive_weight
) VALUES (
    @hour, @model_version, @side, @stratum, @correct, @wrong, @inconclusive, @correct_weight, @wrong_weight, @inconclusive_weight
) ON CONFLICT (hour, model_version, side, stratum) DO UPDATE SET
    correct = r.correct + excluded.correct, wrong = r.wrong + excluded.wrong,
    inconclusive = r.inconclusive + excluded.inconclusive,
    correct_weight = r.correct_weight + excluded.correct_weight, wrong_weight = r.wrong_weight + excluded.wrong_weight,
    inconclusive_weight = r.inconclusive_weight + excluded.inconclusive_weight;

-- name: Rollups :many
SELECT * FROM ml_ab_rollups
WHERE hour >= @since AND hour < @until AND (CAST(@model_version AS text) = '' OR model_version = @model_version)
ORDER BY hour, model_version, side, stratum;

-- name: PruneRollups :execrows
DELETE FROM ml_ab_rollups WHERE hour IN (
    SELECT r.hour FROM ml_ab_rollups AS r WHERE r.hour < @before ORDER BY r.hour LIMIT CAST(@max AS bigint)
);

-- name: AddUnaudited :exec
INSERT INTO ml_unaudited AS u (hour, model_version, side, stratum, method, n)
VALUES (@hour, @model_version, @side, @stratum, @method, @n)
ON CONFLICT (hour, model_version, side, stratum, method) DO UPDATE SET n = u.n + excluded.n;

-- name: Unaudited :many
SELECT * FROM ml_unaudited
WHERE hour >= @since AND hour < @until AND (CAST(@model_version AS text) = '' OR model_version = @model_version)
ORDER BY hour, model_version, side, stratum, method;

-- name: PruneUnaudited :execrows
DELETE FROM ml_unaudited WHERE hour IN (
    SELECT u.hour FROM ml_unaudited AS u WHERE u.hour < @before ORDER BY u.hour LIMIT CAST(@max AS bigint)
);

-- name: AccuracyStats :many
SELECT * FROM ml_accuracy_stats ORDER BY model_version;

-- name: GetSetting :one
SELECT value, version FROM settings WHERE key = @key;

-- name: CreateSetting :execrows
INSERT INTO settings (key, value, version) VALUES (@key, @value, 1) ON CONFLICT DO NOTHING;

-- name: ReplaceSetting :execrows
UPDATE settings SET value = @value, version = version + 1 WHERE key = @key AND version = @version;

-- name: InsertEvent :execrows
INSERT INTO events (id, at, kind, subject, key, body)
VALUES (@id, @at, @kind, @subject, nullif(CAST(@key AS text), ''), @body) ON CONFLICT DO NOTHING;

-- name: EventsAfter :many
SELECT id, at, kind, subject, coalesce(key, '') AS key, body FROM events WHERE id > @after ORDER BY id LIMIT CAST(@max AS bigint);

-- name: OldestEvent :one
SELECT CAST(coalesce(min(id), 0) AS bigint) AS id FROM events;

-- name: PruneEvents :execrows
DELETE FROM events WHERE id IN (
    SELECT e.id FROM events AS e
    WHERE e.at < @before
        AND e.id < coalesce((SELECT k.id FROM events AS k WHERE k.at >= @before ORDER BY k.id LIMIT 1), 9223372036854775807)
    ORDER BY e.id LIMIT CAST(@max AS bigint)
);

-- name: InsertDelivery :exec
INSERT INTO webhook_deliveries (id, validation_id, kind, url, body, created_at, next_at)
VALUES (@id, @validation_id, @kind, @url, @body, @created_at, @next_at) ON CONFLICT DO NOTHING;

-- name: DueDeliveries :many
UPDATE webhook_deliveries SET attempts = attempts + 1, next_at = @until
WHERE webhook_deliveries.ended_at = 0 AND webhook_deliveries.next_at <= @now AND webhook_deliveries.id IN (
    SELECT d.id FROM webhook_deliveries AS d WHERE d.ended_at = 0 AND d.next_at <= @now ORDER BY d.next_at LIMIT CAST(@max AS bigint)
)
RETURNING *;

-- name: EndDelivery :execrows
UPDATE webhook_deliveries SET ended_at = @at WHERE id = @id AND ended_at = 0 AND attempts = @attempt;

-- name: FailDelivery :execrows
UPDATE webhook_deliveries SET last_error = @reason, next_at = @next_at, ended_at = @ended_at, given_up = @given_up, attempts = @counted
WHERE id = @id AND ended_at = 0 AND attempts = @attempt;

-- name: GetDelivery :one
SELECT * FROM webhook_deliveries WHERE id = @id;

-- name: PruneDeliveries :execrows
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT d.id FROM webhook_deliveries AS d WHERE d.ended_at > 0 AND d.ended_at < @before ORDER BY d.ended_at LIMIT CAST(@max AS bigint)
);
