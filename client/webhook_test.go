package client_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"crisol"
	"crisol/client"
)

// TestVerifyWebhook begins with the example of the Standard Webhooks specification, and then changes it.
func TestVerifyWebhook(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	at := time.Unix(1614265330, 0)
	signed := func(change ...string) http.Header {
		h := http.Header{}
		h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
		h.Set("webhook-timestamp", "1614265330")
		h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
		if len(change) == 2 {
			h.Set(change[0], change[1])
		}
		return h
	}
	const body = `{"test": 2432232314}`
	w, err := client.VerifyWebhook(signed(), []byte(body), at, secret)
	if err != nil || w.ID != "msg_p5jXN8AQM9LWM0D4loKWxJek" || !w.Sent.Equal(at) {
		t.Fatalf("%+v, %v", w, err)
	}
	others := "whsec_" + strings.Repeat("A", 32)
	for name, c := range map[string]struct {
		header  http.Header
		body    string
		now     time.Time
		secrets []string
		fails   string // "" for none
	}{
		"old and new secret":   {signed(), body, at, []string{others, secret}, ""},
		"several signatures":   {signed("webhook-signature", "v1a,xyz v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), body, at, []string{secret}, ""},
		"a slow line":          {signed(), body, at.Add(5 * time.Minute), []string{secret}, ""},
		"another body":         {signed(), body + " ", at, []string{secret}, "no signature fits"},
		"another id":           {signed("webhook-id", "msg_2"), body, at, []string{secret}, "no signature fits"},
		"another time":         {signed("webhook-timestamp", "1614265331"), body, at, []string{secret}, "no signature fits"},
		"another secret":       {signed(), body, at, []string{others}, "no signature fits"},
		"no secret":            {signed(), body, at, nil, "no signature fits"},
		"a bad secret":         {signed(), body, at, []string{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "secret to check"},
		"an empty secret":      {signed(), body, at, []string{"whsec_"}, "secret to check"},
		"an old message again": {signed(), body, at.Add(5*time.Minute + time.Second), []string{secret}, "5m1s from now"},
		"from the future":      {signed(), body, at.Add(-time.Hour), []string{secret}, "1h0m0s from now"},
		"another scheme":       {signed("webhook-signature", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), body, at, []string{secret}, "no signature fits"},
		"no signature":         {signed("webhook-signature", ""), body, at, []string{secret}, "no signature fits"},
		"no id":                {signed("webhook-id", ""), body, at, []string{secret}, "not signed"},
		"no time":              {signed("webhook-timestamp", "now"), body, at, []string{secret}, "not signed"},
	} {
		_, err := client.VerifyWebhook(c.header, []byte(c.body), c.now, c.secrets...)
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || crisol.KindOf(err) != crisol.KindInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
