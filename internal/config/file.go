package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"crisol"
	"crisol/internal/spelling"
)

// maxFile bounds a file of settings, in bytes.
const maxFile = 1 << 20

// readFile reads the values of a file by the names of flags. What can't be used is an error of all of it, a line each.
func readFile(path string, flags *pflag.FlagSet, shared []string) (map[string]value, error) {
	if path == "" {
		return nil, nil
	}
	text, err := slurp(path)
	if err != nil {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "read the settings: %w", err), "--config and CRISOL_CONFIG name a YAML file")
	}
	return parse(path, text, flags, shared)
}

func slurp(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return text, err
}

func parse(path string, text []byte, flags *pflag.FlagSet, shared []string) (map[string]value, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil // an empty file says nothing
		}
		return nil, crisol.Errorf(crisol.KindInput, "%s: %s", path, oneLine(err))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, crisol.Errorf(crisol.KindInput, "%s: want a single YAML document", path)
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, crisol.Errorf(crisol.KindInput, "%s:%d: want names and values, such as log-level: debug", path, root.Line)
	}
	var wrong Problems
	values := map[string]value{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		at := fmt.Sprintf("%s:%d", path, key.Line)
		flag := flags.Lookup(key.Value)
		switch _, twice := values[key.Value]; {
		case key.Value == "help" || key.Value == "config" || flag == nil && !slices.Contains(shared, key.Value):
			wrong.Add(unknown(at, key.Value, flags, shared))
		case twice:
			wrong.Add(crisol.Errorf(crisol.KindInput, "%s: %s comes twice", at, key.Value))
		default:
			texts, err := texts(flag, node)
			if err != nil {
				wrong.Add(crisol.Errorf(crisol.KindInput, "%s: %s: %w", at, key.Value, err))
				continue
			}
			values[key.Value] = value{texts, at}
		}
	}
	return values, wrong.Err()
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func unknown(at, name string, flags *pflag.FlagSet, shared []string) error {
	names := slices.Clone(shared)
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" && f.Name != "config" {
			names = append(names, f.Name)
		}
	})
	err := crisol.Errorf(crisol.KindInput, "%s: there is no setting %q", at, name)
	if near := spelling.Nearest(name, names); near != "" {
		return crisol.WithHint(err, "did you mean %s?", near)
	}
	return crisol.WithHint(err, "crisol serve --help lists them, without the dashes")
}

// texts are a node's values: of a list each, of a mapping name=value each. A flag of another command takes anything.
func texts(flag *pflag.Flag, node *yaml.Node) ([]string, error) {
	if flag == nil {
		return nil, nil
	}
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return nil, errors.New("it has no value; leave it out for the default")
		}
		return []string{node.Value}, nil
	case yaml.SequenceNode:
		if _, ok := flag.Value.(pflag.SliceValue); !ok {
			return nil, errors.New("want one value, not a list")
		}
		list := make([]string, 0, len(node.Content))
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, errors.New("want a list of values")
			}
			list = append(list, item.Value)
		}
		return list, nil
	case yaml.MappingNode:
		if flag.Value.Type() != "stringToString" {
			return nil, errors.New("want a value, not names and values")
		}
		var list []string
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i+1].Kind != yaml.ScalarNode {
				return nil, errors.New("want names and values")
			}
			list = append(list, node.Content[i].Value+"="+node.Content[i+1].Value)
		}
		return list, nil
	}
	return nil, errors.New("want a value")
}
