package jobs

import (
	"encoding/json"
	"fmt"
	"time"

	"crisol"
	"crisol/internal/store"
)

// EventFinished is the kind of the event that tells of a verdict.
const EventFinished = "validation_finished"

// FinishedEvent tells of a verdict, without its evidence. There is one for each validation.
func FinishedEvent(v crisol.Validation, at time.Time) (store.Event, error) {
	v.Wargame, v.Prediction = nil, nil
	body, err := json.Marshal(v)
	if err != nil {
		return store.Event{}, fmt.Errorf("write an event: %w", err)
	}
	return store.Event{At: at, Kind: EventFinished, Subject: v.ID, Key: "finished/" + v.ID, Body: body}, nil
}

// FinishedDelivery tells a webhook of a verdict, with its evidence.
func FinishedDelivery(v crisol.Validation, webhook string, at time.Time) (store.Delivery, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return store.Delivery{}, fmt.Errorf("write a delivery: %w", err)
	}
	return store.Delivery{ID: "finished/" + v.ID, ValidationID: v.ID, Kind: EventFinished, URL: webhook, Body: body, CreatedAt: at}, nil
}

// ending is the end of an attempt, with all that tells of it.
func (q *Queue) ending(a store.Attempt, v Outcome, fence int64) (store.Ending, error) {
	e := store.Ending{ID: a.ID, Validation: v.Validation, At: q.Now(), Fence: fence, ABTest: v.ABTest}
	event, err := FinishedEvent(v.Validation, e.At)
	if err != nil {
		return e, err
	}
	e.Events = []store.Event{event}
	if a.Webhook != "" {
		delivery, err := FinishedDelivery(v.Validation, a.Webhook, e.At)
		if err != nil {
			return e, err
		}
		e.Deliveries = []store.Delivery{delivery}
	}
	return e, nil
}
