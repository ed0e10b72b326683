package target

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"crisol"
)

// Versions lists the versions of a package that its registry has, by the ecosystem's own client. Clients of crates and
// Maven have no list to give.
func (s *Store) Versions(ctx context.Context, ecosystem, name string) (list []string, err error) {
	lister, ok := map[string]func(context.Context, string, string) ([]string, error){
		"npm": npm{s}.versions, "pypi": pypi{s}.versions, "golang": golang{s}.versions,
	}[ecosystem]
	if !ok {
		return nil, crisol.Errorf(crisol.KindInput, "the client of %s lists no versions", ecosystem)
	}
	// The name becomes an argument: it must be one that could be prepared.
	version := "1.0.0"
	if ecosystem == "golang" {
		version = "v0.0.0"
		if _, major, ok := strings.Cut(name[strings.LastIndex(name, "/")+1:], "v"); ok && major != "" && strings.Trim(major, "0123456789") == "" {
			version = "v" + major + ".0.0"
		}
	}
	p, err := ParsePackage("pkg:" + ecosystem + "/" + strings.Replace(name, "@", "%40", 1) + "@" + version)
	if err != nil {
		return nil, err
	}
	if err := s.layOut(); err != nil {
		return nil, err
	}
	dir, lease, err := s.begin(ctx, "versions")
	if err != nil {
		return nil, err
	}
	s.progress("asking for the versions of " + p.Name)
	list, err = lister(ctx, dir, p.Name)
	return list, errors.Join(err, os.RemoveAll(dir), lease.Close())
}

func (n npm) versions(ctx context.Context, dir, name string) ([]string, error) {
	out, err := n.say(ctx, dir, "view", name, "versions", "--json")
	if err != nil {
		return nil, err
	}
	var list []string
	if err := json.Unmarshal(out, &list); err == nil {
		return list, nil
	}
	var one string // of a package with one version npm prints that
	if err := json.Unmarshal(out, &one); err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "read npm's list of versions: %w", err)
	}
	return []string{one}, nil
}

func (p pypi) versions(ctx context.Context, dir, name string) ([]string, error) {
	out, err := p.say(ctx, dir, "", "index", "versions", name)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(out)) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "Available versions: "); ok {
			return strings.Split(list, ", "), nil
		}
	}
	return nil, crisol.Errorf(crisol.KindInfrastructure, "pip lists no versions of %s", name)
}

func (g golang) versions(ctx context.Context, dir, name string) ([]string, error) {
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module work\n\ngo "+goLanguage+"\n"), 0o644); err != nil {
		return nil, err
	}
	out, err := g.run(ctx, dir, filepath.Join(dir, "gomod"), "list", "-m", "-versions", "-json", name)
	if err != nil {
		return nil, err
	}
	var module struct{ Versions []string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "read go's list of versions: %w", err)
	}
	return module.Versions, nil
}
