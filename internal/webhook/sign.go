package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"crisol"
)

// The scheme is that of Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md),
// for which there are libraries in many languages; package client has one for Go. Three headers come with a body:
//
//	webhook-id         names the message: the same for every attempt at it
//	webhook-timestamp  when this attempt was made, in seconds since 1970
//	webhook-signature  "v1," and the base64 of HMAC-SHA256(key, id + "." + timestamp + "." + body)
//
// A receiver checks the signature over the bytes as they came, refuses old timestamps, and ignores ids it has had.

// Secret is the key that messages are signed with.
type Secret struct{ key []byte }

const secretPrefix = "whsec_"

// Bounds of a key's length in bytes, as the specification recommends.
const (
	minKey = 24
	maxKey = 64
)

// ParseSecret reads "whsec_" and the base64 of 24 to 64 bytes.
func ParseSecret(text string) (Secret, error) {
	encoded, found := strings.CutPrefix(strings.TrimSpace(text), secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) < minKey || len(key) > maxKey { // and the secret is not told
		return Secret{}, crisol.WithHint(crisol.Errorf(crisol.KindInput, "the webhook secret is not one"),
			`want "whsec_" and the base64 of 24 to 64 random bytes`)
	}
	return Secret{key}, nil
}

// NewSecret draws a secret.
func NewSecret() Secret {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return Secret{key}
}

// Text is the secret as ParseSecret reads it, for the receiver.
func (s Secret) Text() string { return secretPrefix + base64.StdEncoding.EncodeToString(s.key) }

// String keeps the secret out of logs.
func (s Secret) String() string { return "webhook secret" }

// GoString does so for %#v.
func (s Secret) GoString() string { return s.String() }

func (s Secret) sign(h http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
