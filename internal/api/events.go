package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"crisol"
	"crisol/internal/stream"
)

// Stream is where events are listened to (stream.Hub).
type Stream interface {
	Subscribe(ctx context.Context, after int64, f stream.Filter) (*stream.Subscription, error)
}

type eventsInput struct {
	After       int64    `query:"after" minimum:"-1" default:"-1" doc:"The id of the last event that was seen: 0 for all that are kept; -1 for what happens from now on"`
	LastEventID int64    `header:"Last-Event-ID" minimum:"-1" default:"-1" doc:"What browsers send when they come back; counts before after"`
	Kind        []string `query:"kind" maxItems:"20" doc:"Only events of these kinds, separated by commas" example:"validation_finished"`
	Subject     string   `query:"subject" minLength:"1" maxLength:"200" doc:"Only events about this: the id of a validation, the version of a model"`
}

const eventsDescription = "Events are numbered without gaps. Who comes back with the number that it saw last misses nothing; an event may come " +
	"twice, under the same number. A client that can't keep up is told so by a notice and cut off. Other notices say that events " +
	"are no longer kept (missed), can't be read (unavailable), or that the service stops (closing). The stream is read-only."

func (s *server) addEvents() {
	event, notice := s.schema(reflect.TypeFor[stream.Message]()), s.schema(reflect.TypeFor[stream.Notice]())
	sse := s.operation(huma.Operation{
		OperationID: "events", Method: http.MethodGet, Path: "/wargaming/events", Tags: []string{"Events"},
		Summary: "What happens, as server-sent events",
		Description: eventsDescription + " Each has its number as id, its kind as event and a Message as data; notices come as event " +
			stream.NoticeEvent + ". A comment shows every 15 s that the connection lives.",
		Responses: map[string]*huma.Response{"200": {
			Description: "Events until the client leaves; data of each is one of these",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{OneOf: []*huma.Schema{event, notice}}}},
		}},
	}, http.StatusServiceUnavailable)
	huma.Register(s.huma, sse, s.stream((*stream.Subscription).ServeSSE))
	socket := s.operation(huma.Operation{
		OperationID: "events-websocket", Method: http.MethodGet, Path: "/ws/wargaming", Tags: []string{"Events"},
		Summary: "The same over a WebSocket",
		Description: eventsDescription + " Each text message is a Message or a Notice. Clients send nothing but pongs and their close. " +
			"The connection is closed with 1008 where the client is too slow, 1013 where it may come back later, 1001 where the service stops.",
		Responses: map[string]*huma.Response{
			"101": {Description: "The connection is a WebSocket from here on"},
			"426": {Description: "The request asks for no WebSocket, or for one of another version"},
		},
	}, http.StatusServiceUnavailable)
	huma.Register(s.huma, socket, s.stream((*stream.Subscription).ServeWebSocket))
}

// stream answers with a subscription, in the form that serve gives it.
func (s *server) stream(serve func(*stream.Subscription, http.ResponseWriter, *http.Request) error) func(context.Context, *eventsInput) (*huma.StreamResponse, error) {
	return func(_ context.Context, in *eventsInput) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			after := in.After
			if in.LastEventID >= 0 {
				after = in.LastEventID
			}
			if !stream.SameOrigin(r) {
				(&Problem{Status: http.StatusForbidden, Kind: crisol.KindInput.String(), Detail: "web pages of another origin may not listen"}).write(w, r)
				return
			}
			sub, err := s.Stream.Subscribe(r.Context(), after, stream.Filter{Kinds: in.Kind, Subject: in.Subject})
			if err != nil {
				s.problemOf(r.Context(), err).write(w, r)
				return
			}
			defer sub.Close()
			if err := serve(sub, w, r); err != nil {
				s.Logger.InfoContext(r.Context(), "stream ended", "request_id", noteOf(r.Context()).requestID, "error", err, "after", sub.Cursor())
			}
		}}, nil
	}
}

// problemOf is asError for answers that huma doesn't render.
func (s *server) problemOf(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(s.asError(ctx, err), &p) {
		return p
	}
	return &Problem{Status: http.StatusInternalServerError, Kind: crisol.KindInternal.String(), Detail: "internal fault"}
}
