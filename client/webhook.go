package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"crisol"
)

// Message is what the service posted to a webhook.
type Message struct {
	// ID is the same each time that a message is posted: messages may come more than once.
	ID string `json:"-"`
	// Sent is when this attempt was made.
	Sent time.Time `json:"-"`
	// Type says what happened: "validation_finished" for a verdict.
	Type string `json:"type"`
	// Timestamp is when it happened.
	Timestamp    time.Time `json:"timestamp"`
	ValidationID string    `json:"validation_id"`
	// Truncated: the data was too long to be posted; Get has it under ValidationID.
	Truncated bool            `json:"truncated"`
	Data      json.RawMessage `json:"data"`
}

// Validation reads the data of a message about a verdict.
func (w Message) Validation() (crisol.Validation, error) {
	var v crisol.Validation
	if w.Truncated {
		return v, crisol.WithHint(crisol.Errorf(crisol.KindInput, "the message came without its data, which is too long"), "get validation %s from the service", w.ValidationID)
	}
	if err := json.Unmarshal(w.Data, &v); err != nil {
		return v, crisol.Errorf(crisol.KindInput, "read the validation of a webhook: %w", err)
	}
	return v, nil
}

// webhookTolerance is how far the clocks of service and receiver may be apart, and how old a message may be.
const webhookTolerance = 5 * time.Minute

// VerifyWebhook returns the message of a request that a service of this secret posted at about now. body must be the
// bytes as they came. While the service changes its secret, both the old and the new one may be given.
//
// It checks the signature and the time, so nobody else can make up a message or post an old one much later. Within five
// minutes a message can be posted again by whoever saw it, as the service itself may do: ignore an ID that came before.
func VerifyWebhook(header http.Header, body []byte, now time.Time, secrets ...string) (Message, error) {
	refused := func(why string) (Message, error) {
		return Message{}, crisol.Errorf(crisol.KindInput, "webhook: %s", why)
	}
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || err != nil {
		return refused("it is not signed: webhook-id or webhook-timestamp is missing or malformed")
	}
	valid := false
	for _, secret := range secrets {
		encoded, found := strings.CutPrefix(strings.TrimSpace(secret), "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !found || err != nil || len(key) == 0 {
			return refused(`the secret to check it with is not one: want "whsec_" and base64`)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		for signature := range strings.FieldsSeq(header.Get("webhook-signature")) {
			text, v1 := strings.CutPrefix(signature, "v1,")
			got, err := base64.StdEncoding.DecodeString(text)
			valid = valid || v1 && err == nil && hmac.Equal(got, want)
		}
	}
	if !valid {
		return refused("no signature fits")
	}
	sent := time.Unix(seconds, 0)
	if apart := now.Sub(sent).Abs(); apart > webhookTolerance {
		return refused("it was sent " + apart.Round(time.Second).String() + " from now: an old message again, or a wrong clock")
	}
	w := Message{ID: id, Sent: sent}
	if err := json.Unmarshal(body, &w); err != nil {
		return refused("its body is not one: " + err.Error())
	}
	return w, nil
}
