package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"crisol"
	"crisol/internal/trail"
)

const auditLogPath = "/wargaming/audit-log"

// deed is a change of the service that a caller asks for.
type deed struct {
	act, subject string
	how          any // nil where act and subject say it all
}

// change does a deed that the audit log knows of.
func (s *server) change(ctx context.Context, d deed, do func() error) error {
	n := noteOf(ctx)
	e := trail.Entry{Actor: n.actor, Address: n.address, Request: n.requestID, Act: d.act, Subject: d.subject}
	if d.how != nil {
		text, err := json.Marshal(d.how)
		if err != nil {
			return crisol.Errorf(crisol.KindInternal, "write an audit entry: %w", err)
		}
		e.Detail = text
	}
	return trail.Do(ctx, s.Trail, e, s.Now, do)
}

// AuditLog is the answer of GET /wargaming/audit-log.
type AuditLog struct {
	Entries []trail.Entry `json:"entries" nullable:"false"`
	Next    int64         `json:"next,omitempty" doc:"after of the next page; absent on the last"`
}

func (s *server) addAuditLog() {
	if s.Trail == nil {
		return
	}
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "audit-log", Method: http.MethodGet, Path: auditLogPath, Tags: []string{"Service"},
		Summary: "Who changed what", Description: "Oldest first. It takes the scope operate. crisol audit-log --verify checks that it is what was written.",
	}, http.StatusServiceUnavailable), func(ctx context.Context, in *struct {
		After int64 `query:"after" minimum:"0" doc:"Only entries with a greater number"`
		Limit int   `query:"limit" minimum:"1" maximum:"500" default:"100"`
	}) (*struct{ Body AuditLog }, error) {
		list, err := s.Trail.Read(ctx, in.After, in.Limit)
		if err != nil {
			return nil, s.asError(ctx, err)
		}
		answer := AuditLog{Entries: append([]trail.Entry{}, list...)}
		if len(list) == in.Limit {
			answer.Next = list[len(list)-1].Seq
		}
		return &struct{ Body AuditLog }{answer}, nil
	})
}
