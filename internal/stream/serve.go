package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"crisol"
	"crisol/internal/store"
)

// Message is an event as clients see it.
type Message struct {
	ID      int64           `json:"id"`
	At      time.Time       `json:"at"`
	Kind    string          `json:"kind"`
	Subject string          `json:"subject,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
}

// Notice is what the stream says of itself. Other than a Message it has no id.
type Notice struct {
	// Notice is "missed" (events that the client hasn't seen are no longer kept), "slow" (it is cut off because it can't
	// keep up), "unavailable" (the events can't be read) or "closing" (the service stops). After all but the first the
	// stream ends.
	Notice string `json:"notice"`
	Detail string `json:"detail"`
	// After is the id with which to come back.
	After int64 `json:"after"`
}

// NoticeEvent is the name under which notices come in server-sent events.
const NoticeEvent = "notice"

// client is one way of writing to a client.
type client interface {
	event(Message) error
	notice(Notice) error
	// beat shows that the connection lives, and where the client is in the stream.
	beat(ctx context.Context, cursor int64) error
	// flush ends a batch.
	flush() error
}

// errGone: the client can't be written to.
var errGone = errors.New("the client is gone")

// errTalks: the client sent data over a WebSocket that is there to listen.
var errTalks = errors.New("the stream is read-only")

// serve passes events on until ctx is done, the client is gone or can't keep up, or the hub closes. The client has then
// been told why, if it could be told. The error is nil where the service stops, or the client left in time.
func (s *Subscription) serve(ctx context.Context, c client) error {
	for {
		within, cancel := context.WithTimeout(ctx, s.hub.Heartbeat)
		batch, err := s.Next(within)
		cancel()
		switch {
		case err == nil:
			err = s.pass(c, batch)
		case ctx.Err() != nil, errors.Is(err, ErrClosed):
			// Or it is the client that left, and hears nothing.
			_ = c.notice(Notice{Notice: "closing", Detail: ErrClosed.Error(), After: s.cursor})
			return nil //nolint:nilerr // both are as it should be
		case errors.Is(err, context.DeadlineExceeded):
			err = c.beat(ctx, s.cursor)
		case errors.Is(err, ErrSlow):
			_ = c.notice(Notice{Notice: "slow", Detail: err.Error() + ": it is cut off, and may come back", After: s.cursor})
			return err
		default:
			_ = c.notice(Notice{Notice: "unavailable", Detail: "the events can't be read at the moment", After: s.cursor})
			return err
		}
		if err != nil {
			return errGone
		}
	}
}

func (s *Subscription) pass(c client, b Batch) error {
	if b.Missed > 0 {
		after := s.cursor
		if len(b.Events) > 0 {
			after = b.Events[0].ID - 1
		}
		missed := Notice{Notice: "missed", Detail: strconv.FormatInt(b.Missed, 10) + " events are no longer kept", After: after}
		if err := c.notice(missed); err != nil {
			return err
		}
	}
	for _, e := range b.Events {
		if err := c.event(messageOf(e)); err != nil {
			return err
		}
	}
	return c.flush()
}

func messageOf(e store.Event) Message {
	return Message{ID: e.ID, At: e.At.UTC(), Kind: e.Kind, Subject: e.Subject, Body: e.Body}
}

// ServeSSE writes a subscription as server-sent events until it ends. An event's id is its number, its name the kind, its
// data a Message; notices come under NoticeEvent, without an id.
func (s *Subscription) ServeSSE(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // for proxies that would hold events back
	w.WriteHeader(http.StatusOK)
	c := &sse{w: w, control: http.NewResponseController(w), writeFor: s.hub.WriteFor}
	c.buffer.WriteString("retry: 2000\n\n")
	err := errGone
	if c.flush() == nil {
		err = s.serve(r.Context(), c)
	}
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

type sse struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	writeFor time.Duration
	buffer   bytes.Buffer // what is not sent yet
}

func (c *sse) event(e Message) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	c.buffer.WriteString("id: " + strconv.FormatInt(e.ID, 10) + "\nevent: " + oneLine.Replace(e.Kind) + "\ndata: ")
	c.buffer.Write(text)
	c.buffer.WriteString("\n\n")
	return nil
}

// oneLine keeps a name from ending its line.
var oneLine = strings.NewReplacer("\n", " ", "\r", " ")

func (c *sse) notice(n Notice) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	c.buffer.WriteString("event: " + NoticeEvent + "\ndata: ")
	c.buffer.Write(text)
	c.buffer.WriteString("\n\n")
	return c.flush()
}

// beat sends a comment, and the client's place as an id without data, which no listener sees but which a browser sends
// as Last-Event-ID when it comes back. A client whose filter takes little then doesn't read all again.
func (c *sse) beat(_ context.Context, cursor int64) error {
	c.buffer.WriteString(": heartbeat\nid: " + strconv.FormatInt(cursor, 10) + "\n\n")
	return c.flush()
}

func (c *sse) flush() error {
	// A recorder in a test has no deadline to set; a server has one for the whole answer, which a stream outlasts.
	if err := c.control.SetWriteDeadline(time.Now().Add(c.writeFor)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := c.buffer.WriteTo(c.w); err != nil {
		return err
	}
	return c.control.Flush()
}

// SameOrigin says whether a request may open a WebSocket. Browsers let pages of any origin open one, and tell which.
func SameOrigin(r *http.Request) bool {
	_, host, found := strings.Cut(r.Header.Get("Origin"), "://")
	return r.Header.Get("Origin") == "" || found && strings.EqualFold(host, r.Host)
}

// ServeWebSocket answers an upgrade and writes the subscription as text messages until it ends: each is a Message or a
// Notice. The client may send nothing but pongs and its close.
func (s *Subscription) ServeWebSocket(w http.ResponseWriter, r *http.Request) error {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "%w", err) // and the client has its answer
	}
	defer func() { _ = conn.CloseNow() }()
	// Reading goes on when the service stops, so that the client can be told.
	reading, stop := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer stop(nil)
	go func() {
		// Pings, pongs and closes are answered in here; whatever else comes breaks the protocol.
		if _, _, err := conn.Reader(context.Background()); err == nil {
			stop(errTalks)
		}
		stop(errGone)
	}()
	ctx, cancel := context.WithCancel(reading)
	defer cancel()
	defer context.AfterFunc(r.Context(), cancel)()
	err = s.serve(ctx, &socket{conn: conn, writeFor: s.hub.WriteFor, heartbeat: s.hub.Heartbeat})
	if cause := context.Cause(reading); cause != nil {
		err = cause
	}
	switch {
	case errors.Is(err, errGone):
		return nil
	case errors.Is(err, errTalks):
		_ = conn.Close(websocket.StatusPolicyViolation, errTalks.Error())
		return nil
	case err == nil:
		_ = conn.Close(websocket.StatusGoingAway, "the stream ends")
	case errors.Is(err, ErrSlow):
		_ = conn.Close(websocket.StatusPolicyViolation, "too slow")
	default:
		_ = conn.Close(websocket.StatusTryAgainLater, "the events can't be read at the moment")
	}
	return err
}

type socket struct {
	conn                *websocket.Conn
	writeFor, heartbeat time.Duration
}

func (c *socket) write(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// Not under the request's context: the last notice is written when that is done.
	within, cancel := context.WithTimeout(context.Background(), c.writeFor)
	defer cancel()
	return c.conn.Write(within, websocket.MessageText, text)
}

func (c *socket) event(e Message) error { return c.write(e) }
func (c *socket) notice(n Notice) error { return c.write(n) }
func (c *socket) flush() error          { return nil }

// beat asks for a sign of life.
func (c *socket) beat(ctx context.Context, _ int64) error {
	within, cancel := context.WithTimeout(ctx, c.heartbeat)
	defer cancel()
	return c.conn.Ping(within)
}
