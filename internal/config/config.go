// Package config fills in what a command line leaves open, from the environment and a file.
//
// In go the flags of a command, the environment and the path of a YAML file whose keys are the flags' names; out come the
// flags with their values set, and for each where its value is from. The command line goes before the environment, that
// before the file, and the file before the defaults. All that is wrong is told at once. What a value means is for the
// command to say; the package knows the names of variables, and which values are secrets.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"crisol"
)

// Setting is a flag's value, and where it is from.
type Setting struct {
	Name  string
	Value string // shown: without secrets
	From  string // "command line", "default", a variable, or FILE:LINE
}

// Sources are where values are looked for.
type Sources struct {
	// File is the path of a YAML file; "" for none.
	File string
	// Lookup reads the environment (os.LookupEnv).
	Lookup func(string) (string, bool)
	// Shared are names that the file may have though the command has no such flag: one file serves several commands.
	Shared []string
}

// Where values are from if not from a variable or a file.
const (
	FromCommandLine = "command line"
	FromDefault     = "default"
)

// prefix starts the name of each flag's own variable.
const prefix = "CRISOL_"

// Variable is the name of a flag's own variable: CRISOL_LIMIT_OTHER of limit-other.
func Variable(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Fill sets every flag that the command line left open. Settings are in the order of the flags.
func Fill(flags *pflag.FlagSet, s Sources) ([]Setting, error) {
	var wrong Problems
	file, err := readFile(s.File, flags, s.Shared)
	wrong.Add(err)
	var list []Setting
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		from := FromDefault
		switch {
		case f.Changed:
			from = FromCommandLine
		default:
			v, err := find(f, file, s.Lookup)
			if err == nil && v.from != "" {
				from, err = v.from, v.set(flags, f)
			}
			if err != nil {
				wrong.Add(err)
			}
		}
		list = append(list, Setting{Name: f.Name, Value: Shown(f.Name, f.Value.String()), From: from})
	})
	return list, wrong.Err()
}

// value is what a source says of a flag; from is "" where it says nothing.
type value struct {
	texts []string // one but for lists
	from  string
}

func (v value) set(flags *pflag.FlagSet, f *pflag.Flag) error {
	var err error
	if list, ok := f.Value.(pflag.SliceValue); ok {
		if err = list.Replace(v.texts); err == nil {
			f.Changed = true
		}
	} else {
		err = flags.Set(f.Name, strings.Join(v.texts, ","))
	}
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "%s: %s %s: %s", v.from, f.Name, Shown(f.Name, quoted(v.texts)), reason(err))
	}
	return nil
}

// reason is what is wrong with a value, without the value and the flag, which are named already.
func reason(err error) string {
	var number *strconv.NumError
	if errors.As(err, &number) {
		return number.Err.Error()
	}
	text := err.Error()
	if _, after, found := strings.Cut(text, "flag: "); found {
		text = after
	}
	return text
}

func quoted(texts []string) string { return strconv.Quote(strings.Join(texts, ",")) }

// find looks for a value in the environment, then in the file.
func find(f *pflag.Flag, file map[string]value, lookup func(string) (string, bool)) (value, error) {
	if text, ok := lookup(Variable(f.Name)); ok && text != "" {
		return split(f, text, Variable(f.Name)), nil
	}
	for _, other := range others[f.Name] {
		text, from, err := other(lookup)
		if err != nil || from != "" {
			return split(f, text, from), err
		}
	}
	return file[f.Name], nil
}

func split(f *pflag.Flag, text, from string) value {
	if _, ok := f.Value.(pflag.SliceValue); ok {
		return value{strings.Split(text, ","), from}
	}
	return value{[]string{text}, from}
}

// others are the variables, beside their own, that flags are set by: names that deployments use anyway.
var others = map[string][]func(lookup func(string) (string, bool)) (text, from string, err error){
	"database":   {direct("DATABASE_URL"), postgres},
	"redis":      {direct("REDIS_URL")},
	"models":     {direct("ML_MODEL_PATH")},
	"ab-testing": {direct("AB_TESTING_ENABLED")},
	"log-level":  {direct("LOG_LEVEL")},
	"addr":       {port},
}

func direct(name string) func(func(string) (string, bool)) (string, string, error) {
	return func(lookup func(string) (string, bool)) (string, string, error) {
		if text, ok := lookup(name); ok && text != "" {
			return text, name, nil
		}
		return "", "", nil
	}
}

// postgres composes a URL of POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER and POSTGRES_PASSWORD. There is a
// PostgreSQL where there is a host.
func postgres(lookup func(string) (string, bool)) (string, string, error) {
	get := func(name, fallback string) string {
		if text, ok := lookup(name); ok && text != "" {
			return text
		}
		return fallback
	}
	host := get("POSTGRES_HOST", "")
	if host == "" {
		return "", "", nil
	}
	port := get("POSTGRES_PORT", "5432")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", crisol.Errorf(crisol.KindInput, "POSTGRES_PORT: %q is no port", port)
	}
	u := url.URL{Scheme: "postgres", Host: net.JoinHostPort(host, port), Path: "/" + get("POSTGRES_DB", "crisol")}
	user := get("POSTGRES_USER", "crisol")
	u.User = url.User(user)
	if password := get("POSTGRES_PASSWORD", ""); password != "" {
		u.User = url.UserPassword(user, password)
	}
	if strings.HasPrefix(host, "/") { // a directory with a socket
		u.Host = ""
		u.RawQuery = url.Values{"host": {host}, "port": {port}}.Encode()
	}
	return u.String(), "POSTGRES_HOST", nil
}

// port is the default address with another port.
func port(lookup func(string) (string, bool)) (string, string, error) {
	text, ok := lookup("PORT")
	if !ok || text == "" {
		return "", "", nil
	}
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
		return "", "", crisol.Errorf(crisol.KindInput, "PORT: %q is no port", text)
	}
	return net.JoinHostPort("127.0.0.1", text), "PORT", nil
}

// secret are the settings whose values, or parts of them, are nobody's business.
var secret = map[string]bool{"database": true, "redis": true, "webhook-secret": true}

// Shown is a setting's value as logs and terminals may show it: without passwords.
func Shown(name, text string) string {
	if !secret[name] || text == "" {
		return text
	}
	u, err := url.Parse(strings.Trim(text, `"`))
	if err != nil || u.Scheme == "" || u.Host == "" && u.RawQuery == "" {
		return "(hidden)"
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// Problems collects what is wrong with a configuration.
type Problems struct{ all []error }

// list is several problems as one error.
type list []error

// Error tells them all, with their hints, one a line.
func (l list) Error() string {
	lines := []string{fmt.Sprintf("%d settings can't be used:", len(l))}
	for _, err := range l {
		line := err.Error()
		if hint := crisol.HintOf(err); hint != "" {
			line += " (" + hint + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n  ")
}

// Add notes an error, or the problems that it consists of; nil is none.
func (p *Problems) Add(err error) {
	var several list
	switch {
	case err == nil:
	case errors.As(err, &several):
		p.all = append(p.all, several...)
	default:
		p.all = append(p.all, err)
	}
}

// Err is an error that tells all problems: the one that there is, or nil where there are none.
func (p *Problems) Err() error {
	switch len(p.all) {
	case 0:
		return nil
	case 1:
		return p.all[0]
	}
	return &crisol.Error{Kind: crisol.KindInput, Err: list(p.all)}
}
