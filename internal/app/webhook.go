package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"crisol"
	"crisol/internal/webhook"
)

// openWebhooks starts what posts verdicts to those who asked for it, if there is a secret to sign with.
func (s *Service) openWebhooks() error {
	a := s.app
	secret, known, err := a.webhookSecret()
	if err != nil || !known {
		return err
	}
	s.webhooks, err = webhook.New(webhook.Config{Deliveries: s.Store.Deliveries(), Secret: secret, Allow: a.WebhookAllow, Hosts: webhook.Hosts(a.guards.panel), Logger: a.Log})
	if err != nil {
		return err
	}
	s.onClose(s.webhooks.Stop)
	return nil
}

// webhookSecret is the one that is configured, or the one in the data directory, which is made at the first start.
// Services that share a database share its webhooks, and must be told their common secret.
func (a *App) webhookSecret() (secret webhook.Secret, known bool, err error) {
	if a.WebhookSecret != "" {
		secret, err = webhook.ParseSecret(a.WebhookSecret)
		return secret, err == nil, err
	}
	if a.Database != "" {
		return secret, false, nil
	}
	path := filepath.Join(a.Data, "webhook-secret")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret = webhook.NewSecret()
		if err := os.WriteFile(path, []byte(secret.Text()+"\n"), 0o600); err != nil {
			return secret, false, crisol.Errorf(crisol.KindInfrastructure, "keep the webhook secret: %w", err)
		}
		return secret, true, nil
	}
	if err != nil {
		return secret, false, crisol.Errorf(crisol.KindInfrastructure, "read the webhook secret: %w", err)
	}
	if secret, err = webhook.ParseSecret(string(text)); err != nil {
		return secret, false, crisol.WithHint(err, "remove %s, and a new one is made", path)
	}
	return secret, true, nil
}

// checkWebhook refuses addresses that can't be posted to.
func (s *Service) checkWebhook(address string) error {
	if s.webhooks == nil {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "webhooks are not set up: services that share a database need a common secret"),
			"set CRISOL_WEBHOOK_SECRET of each")
	}
	return webhook.Check(address, s.app.WebhookAllow)
}

// notify tells those who listen that there is something new.
func (s *Service) notify() {
	s.stream.Notify()
	if s.webhooks != nil {
		s.webhooks.Notify()
	}
}
