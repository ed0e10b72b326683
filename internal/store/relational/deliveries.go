package relational

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// Deliveries returns the part of the store that keeps the outbox of webhooks.
func (s *Store) Deliveries() store.Deliveries { return deliveries{s} }

type deliveries struct{ *Store }

func (s deliveries) Enqueue(ctx context.Context, d store.Delivery) error {
	return s.change(ctx, "enqueue a delivery in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		return enqueue(ctx, q, []store.Delivery{d})
	})
}

func enqueue(ctx context.Context, q *queries.Queries, list []store.Delivery) error {
	for _, d := range list {
		if d.Body == nil {
			d.Body = []byte{}
		}
		if err := q.InsertDelivery(ctx, queries.InsertDeliveryParams{
			ID: text(d.ID), ValidationID: text(d.ValidationID), Kind: text(d.Kind), Url: text(d.URL), Body: d.Body,
			CreatedAt: micros(d.CreatedAt), NextAt: micros(d.NextAt),
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s deliveries) Due(ctx context.Context, now, until time.Time, limit int) ([]store.Delivery, error) {
	rows, err := order(ctx, s.Store, (*queries.Queries).DueDeliveries, queries.DueDeliveriesParams{Now: micros(now), Until: micros(until), Max: int64(limit)})
	list := make([]store.Delivery, 0, len(rows))
	for _, r := range rows {
		list = append(list, deliveryOf(r))
	}
	slices.SortFunc(list, func(a, b store.Delivery) int { return cmp.Compare(a.ID, b.ID) })
	return list, s.fault("look for deliveries in", err)
}

func (s deliveries) Done(ctx context.Context, id string, attempt int, at time.Time) error {
	return s.end(ctx, id, func(q *queries.Queries) (int64, error) {
		return q.EndDelivery(ctx, queries.EndDeliveryParams{ID: text(id), Attempt: int64(attempt), At: micros(at)})
	})
}

func (s deliveries) Fail(ctx context.Context, id string, attempt int, f store.Failure) error {
	p := queries.FailDeliveryParams{ID: text(id), Attempt: int64(attempt), Counted: int64(attempt), Reason: text(f.Reason), NextAt: micros(f.Next)}
	if f.Untried {
		p.Counted--
	}
	if f.Next.IsZero() {
		p.EndedAt, p.GivenUp = micros(f.At), 1
	}
	return s.end(ctx, id, func(q *queries.Queries) (int64, error) { return q.FailDelivery(ctx, p) })
}

// end runs update, and explains why it changed nothing if it did.
func (s deliveries) end(ctx context.Context, id string, update func(*queries.Queries) (int64, error)) error {
	err := s.change(ctx, "end a delivery in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		n, err := update(q)
		if err != nil || n == 1 {
			return err
		}
		if _, err := q.GetDelivery(ctx, text(id)); err != nil {
			return err
		}
		return store.ErrLost
	})
	return named(err, "delivery", id)
}

func (s deliveries) Get(ctx context.Context, id string) (store.Delivery, error) {
	row, err := ask(ctx, s.Store, (*queries.Queries).GetDelivery, text(id))
	if err != nil {
		return store.Delivery{}, named(s.fault("read", err), "delivery", id)
	}
	return deliveryOf(row), nil
}

func deliveryOf(r queries.WebhookDelivery) store.Delivery {
	return store.Delivery{
		ID: r.ID, ValidationID: r.ValidationID, Kind: r.Kind, URL: r.Url, Body: r.Body, CreatedAt: instant(r.CreatedAt),
		NextAt: instant(r.NextAt), Attempts: int(r.Attempts), LastError: r.LastError, Ended: instant(r.EndedAt), GivenUp: r.GivenUp == 1,
	}
}
