package client

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"crisol"
)

// Event is something that happened in the service: a verdict, a revocation, a change of trust.
type Event struct {
	ID      int64           `json:"id"` // 1, 2, 3, ...
	At      time.Time       `json:"at"`
	Kind    string          `json:"kind"`
	Subject string          `json:"subject,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
}

// Missed is the kind of an Event that says that some after the number that was asked for are no longer kept.
const Missed = "missed"

// maxEvent bounds one event of the stream.
const maxEvent = 4 << 20

// Events tells what happens after the event with the number after (0: all that is kept), as it happens, until ctx is done
// or the connection ends. The error that ends it, which may be io.EOF, doesn't say that anything was missed: go on with the
// number of the last event.
func (c *Client) Events(ctx context.Context, after int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		response, err := c.listen(ctx, after)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
		notice := false
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				notice = value == "notice"
			case "":
				notice = false
			case "data":
				e, err := readEvent(value, notice)
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
		if err = lines.Err(); err == nil {
			err = io.EOF
		}
		yield(Event{}, crisol.Errorf(crisol.KindInfrastructure, "listen to events: %w", err))
	}
}

// readEvent reads what the stream says; a notice is what it says of itself.
func readEvent(data string, notice bool) (e Event, err error) {
	if !notice {
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return e, crisol.Errorf(crisol.KindInfrastructure, "read an event: %w", err)
		}
		return e, nil
	}
	var said struct {
		Notice, Detail string
		After          int64
	}
	if err := json.Unmarshal([]byte(data), &said); err != nil {
		return e, crisol.Errorf(crisol.KindInfrastructure, "read a notice: %w", err)
	}
	if said.Notice == Missed {
		return Event{ID: said.After, Kind: Missed}, nil
	}
	return e, crisol.Errorf(crisol.KindInfrastructure, "the stream of events: %s: %s", said.Notice, said.Detail)
}

func (c *Client) listen(ctx context.Context, after int64) (*http.Response, error) {
	target := *c.base
	target.Path += "/wargaming/events"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "listen to events: %w", err)
	}
	c.mark(request)
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	response, err := c.http.Do(request)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "listen to events: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		if err != nil {
			return nil, crisol.Errorf(crisol.KindInfrastructure, "listen to events: %w", err)
		}
		return nil, problem(http.MethodGet, target.Path, response, content)
	}
	return response, nil
}
