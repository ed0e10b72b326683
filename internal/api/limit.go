package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"crisol"
)

// Bounds of a body besides its size. The largest request there is has two levels and some twenty tokens.
const (
	maxDepth  = 16
	maxTokens = 1000
	readFor   = time.Minute // a patch over a slow line, not a slow loris
)

// limit reads the body of a request within its bounds and looks at its form, so that behind it a body is a small,
// well-formed JSON text in UTF-8 without duplicate members.
func (s *server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.known(r) { // 404 and 405 come before all that follows
			next.ServeHTTP(w, r)
			return
		}
		if err := checkQuery(r.URL.RawQuery); err != nil {
			(&Problem{Status: http.StatusUnprocessableEntity, Kind: crisol.KindInput.String(), Detail: "read query: " + err.Error(),
				Hint: "/openapi.json describes what is expected", Errors: []ProblemDetail{{Message: err.Error(), Location: "query"}}}).write(w, r)
			return
		}
		bare := r.ContentLength == 0 && r.Header.Get("Content-Type") == "" && !submits(r.URL.Path) // of all others the body may be left out
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodDelete || bare {
			next.ServeHTTP(w, r)
			return
		}
		if kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" ||
			(params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8")) {
			(&Problem{Status: http.StatusUnsupportedMediaType, Kind: crisol.KindInput.String(),
				Detail: fmt.Sprintf("the content type %q is not understood", r.Header.Get("Content-Type")),
				Hint:   "send Content-Type: application/json"}).write(w, r)
			return
		}
		body, err := s.readBody(w, r)
		if err != nil {
			bodyProblem(err, s.MaxBody).write(w, r)
			return
		}
		ctx, answered := s.recall(w, r, body)
		if answered {
			done(body)
			return
		}
		if body, err = strict(body, s.members[r.URL.Path]); err != nil {
			bodyProblem(err, s.MaxBody).write(w, r)
			return
		}
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// checkQuery refuses a query that may be read otherwise than it was meant: what is malformed would be skipped, of a name
// that comes twice the second value, and a name without a value would count as absent: asked to forget the answers about
// apv_id= the cache would forget all.
func checkQuery(raw string) error {
	if raw == "" {
		return nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("it is malformed: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch given := values[name]; {
		case len(given) > 1:
			return fmt.Errorf("%q comes twice", name)
		case given[0] == "":
			return fmt.Errorf("%q has no value", name)
		case !utf8.ValidString(given[0]):
			return fmt.Errorf("the value of %q is not UTF-8", name)
		}
	}
	return nil
}

func (s *server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(readFor)) // a recorder in a test has none to set
	body, err := readAll(http.MaxBytesReader(w, r.Body, s.MaxBody), min(r.ContentLength, maxPooled))
	_ = deadlines.SetReadDeadline(time.Time{})
	return body, err
}

// strict returns a JSON object without those of its known members that are null (they count as absent), or says what is
// wrong with its form. Go's decoder would take much of it in silence: the last of two members of one name, and U+FFFD for what
// is not UTF-8, which would make another patch of a patch.
func strict(body []byte, known map[string]bool) ([]byte, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errors.New("it is empty")
	}
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	if err := checkForm(json.NewDecoder(bytes.NewReader(body))); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, errors.New("it is not a JSON object")
	}
	nulls := 0
	for name, value := range members {
		if known[name] && string(value) == "null" {
			delete(members, name)
			nulls++
		}
	}
	if nulls == 0 {
		return body, nil
	}
	return json.Marshal(members)
}

// membersOf are the names that the body of an operation may have at its top, by the path of the operation.
func membersOf(spec *huma.OpenAPI) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for path, item := range spec.Paths {
		if item.Post == nil || item.Post.RequestBody == nil {
			continue
		}
		schema := item.Post.RequestBody.Content["application/json"].Schema
		if schema.Ref != "" {
			schema = spec.Components.Schemas.SchemaFromRef(schema.Ref)
		}
		all[path] = map[string]bool{}
		for name := range schema.Properties {
			all[path][name] = true
		}
	}
	return all
}

// checkForm walks through one JSON text: well formed, nothing after it, bounded, no member twice.
func checkForm(d *json.Decoder) error {
	d.UseNumber() // a number too big for a float is the schema's to refuse
	type level struct {
		members map[string]bool // nil in an array
		value   bool            // the next token of an object is a value
	}
	var levels []level
	for tokens := 1; ; tokens++ {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && len(levels) == 0 && tokens > 1:
			return nil
		case err != nil:
			return fmt.Errorf("it is not JSON: %w", err)
		case tokens > maxTokens:
			return fmt.Errorf("it has more than %d tokens", maxTokens)
		}
		inside := len(levels) - 1
		if name, ok := token.(string); ok && inside >= 0 && levels[inside].members != nil && !levels[inside].value {
			folded := strings.ToLower(name) // as loosely as encoding/json compares names
			if levels[inside].members[folded] {
				return fmt.Errorf("member %q comes twice", name)
			}
			levels[inside].members[folded], levels[inside].value = true, true
			continue
		}
		if inside >= 0 {
			levels[inside].value = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{members: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:inside]
		}
		if len(levels) > maxDepth {
			return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
		}
		if len(levels) == 0 && d.More() {
			return errors.New("something follows the JSON text")
		}
	}
}

// maxPooled is the length of bodies up to which their memory is used again.
const maxPooled = 64 << 10

// bodies is memory that bodies are read into: of requests that are answered from the cache nothing else is kept.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// readAll is io.ReadAll into memory for as much as is announced, if that is said.
func readAll(r io.Reader, announced int64) ([]byte, error) {
	if announced <= 0 {
		return io.ReadAll(r)
	}
	held := bodies.Get().(*[]byte)
	body := *held
	if *held = nil; int64(cap(body)) <= announced {
		body = make([]byte, 0, announced+bytes.MinRead)
	}
	into := bytes.NewBuffer(body[:0])
	_, err := into.ReadFrom(r)
	return into.Bytes(), err
}

// done gives back the memory of a body that nobody has kept.
func done(body []byte) {
	if cap(body) <= 2*maxPooled {
		bodies.Put(&body)
	}
}
