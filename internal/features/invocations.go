package features

import (
	"maps"
	"strings"

	"crisol/internal/ambiguity"
	"crisol/internal/syntax"
)

// call is what a call gives: of a search or a match in the probe, of what makes another text of it, of a function of the
// file.
func (c *evaluator) call(i, depth int) value {
	call := c.invocation(i)
	object := value{}
	if at := c.object(i); at >= 0 {
		object = c.eval(at, depth+1)
	}
	args := make([]value, 0, 2)
	for _, arg := range call.Args {
		if len(args) == 3 {
			break
		}
		args = append(args, c.eval(arg, depth+1))
	}
	first := value{}
	if len(args) > 0 {
		first = args[0]
	}
	if compiles([]byte(call.Name)) && len(args) > 0 && first.kind == constant && (call.Name == "RegExp" || strings.HasSuffix(strings.ToLower(call.Name), "compile")) {
		return value{kind: pattern, node: call.Args[0]}
	}
	if w, ok := c.making(call.Name, object, args); ok {
		return w
	}
	switch object.kind {
	case given, constant:
		if w, ok := c.asked(call.Name, object, first, depth); ok {
			return w
		}
	case several:
		switch call.Name {
		case "includes", "has", "contains", "hasOwnProperty", "containsKey", "count":
			return c.within(first, object)
		case "indexOf", "index":
			if w := c.within(first, object); w.kind == truthValue {
				return value{kind: quantity, number: float64(one(w.yes) - 1)}
			}
			return value{}
		}
	case pattern:
		switch call.Name {
		case "test", "exec", "match", "search", "fullmatch", "MatchString":
			return c.match(object.node, first, call.Name)
		}
	}
	if w, ok := c.ofModule(call, args); ok {
		return w
	}
	c.look()
	if f, known := c.routines[call.Name]; known && (object.kind == unknown || object.kind == given) {
		return c.enter(f, args, depth)
	}
	return value{}
}

// invocation reads a call once for all probes.
func (c *evaluator) invocation(i int) syntax.Invocation {
	call, known := c.calls[i]
	if !known {
		call = c.tree.Invocation(i)
		c.calls[i] = call
	}
	return call
}

// lengthOf is the length of a text. Those of probes mean something only where time is at stake.
func (c *evaluator) lengthOf(w value) value {
	switch {
	case w.kind == constant, w.kind == given && c.kind == weakRedos && c.probe.length == 0:
		return value{kind: quantity, number: float64(len(w.text))}
	case w.kind == given && c.kind == weakRedos:
		return value{kind: quantity, number: float64(c.probe.length)}
	}
	return value{}
}

// making are calls that make a list, an expression or another form of a text.
func (c *evaluator) making(name string, object value, args []value) (value, bool) {
	first := value{}
	if len(args) > 0 {
		first = args[0]
	}
	switch name {
	case "Set", "set", "frozenset", "freeze", "asList", "RegExp", "compile", "MustCompile":
		if first.kind == several || first.kind == pattern {
			return first, true
		}
		return value{}, true
	case "of":
		return value{kind: several, list: args}, len(args) > 0
	case "String", "str", "toString", "trim", "strip", "join":
		if first.kind == given && (name == "String" || name == "str") {
			return c.spelled(first), true
		}
		if object.kind == given {
			return c.spelled(object), true
		}
	case "toLowerCase", "lower", "toUpperCase", "upper", "casefold":
		if object.kind == given {
			object.text = strings.ToLower(object.text)
			if name == "toUpperCase" || name == "upper" {
				object.text = strings.ToUpper(object.text)
			}
			return object, true
		}
	case "split", "map", "filter", "slice", "concat", "keys", "values", "entries", "shift", "pop", "get", "items":
		if object.kind == given {
			return c.given(), true
		}
		if first.kind == given {
			return first, true
		}
	case "len":
		return c.lengthOf(first), true
	}
	return value{}, false
}

// asked are questions to a text: whether it begins with, holds or is like something.
func (c *evaluator) asked(name string, object, what value, depth int) (value, bool) {
	if object.listed {
		object.text = "\x00" + object.text // a list holds no part of its text
	}
	known := what.kind == constant
	switch name {
	case "startsWith", "startswith", "HasPrefix":
		switch {
		case known:
			return is(strings.HasPrefix(object.text, what.text)), true
		case what.kind == given && c.kind == weakPath: // of the folder: what leads out of it doesn't begin with it
			return is(!c.hostile), true
		case what.kind == several:
			return value{}, true
		}
	case "endsWith", "endswith":
		if known {
			return is(strings.HasSuffix(object.text, what.text)), true
		}
	case "includes", "contains", "Contains", "has":
		if known {
			return is(strings.Contains(object.text, what.text)), true
		}
	case "indexOf", "find", "search", "lastIndexOf", "strpos":
		switch {
		case known:
			return value{kind: quantity, number: float64(strings.Index(object.text, what.text))}, true
		case what.kind == pattern:
			if w := c.match(what.node, object, name); w.kind == truthValue {
				return value{kind: quantity, number: float64(one(w.yes) - 1)}, true
			}
		case what.kind == given && c.kind == weakPath:
			return value{kind: quantity, number: -float64(one(c.hostile))}, true
		}
	case "match", "matches":
		if what.kind == pattern {
			return c.match(what.node, object, name), true
		}
	case "some", "every", "any":
		if what.kind == routine {
			return c.enter(what.node, []value{c.given()}, depth), true
		}
	default:
		return value{}, false
	}
	return value{}, true
}

// ofModule are calls of Python's module of regular expressions, and of functions that take the text first.
func (c *evaluator) ofModule(call syntax.Invocation, args []value) (value, bool) {
	if len(args) < 2 {
		if call.Name == "any" || call.Name == "all" {
			return value{}, true
		}
		return value{}, false
	}
	switch call.Name {
	case "match", "search", "fullmatch":
		if strings.HasPrefix(call.Callee, "re.") && c.tree.Nodes[call.Args[0]].Role == syntax.String {
			return c.match(call.Args[0], args[1], call.Name), true
		}
		if args[0].kind == pattern {
			return c.match(args[0].node, args[1], call.Name), true
		}
	case "Contains", "HasPrefix", "HasSuffix", "strstr", "ContainsAny":
		if args[0].kind == given && args[1].kind == constant {
			switch call.Name {
			case "HasPrefix":
				return is(strings.HasPrefix(args[0].text, args[1].text)), true
			case "HasSuffix":
				return is(strings.HasSuffix(args[0].text, args[1].text)), true
			case "ContainsAny":
				return is(strings.ContainsAny(args[0].text, args[1].text)), true
			}
			return is(strings.Contains(args[0].text, args[1].text)), true
		}
	case "isinstance":
		return value{}, true
	}
	return value{}, false
}

// match says whether an expression matches what was given.
func (c *evaluator) match(node int, what value, how string) value {
	if what.kind != given && what.kind != constant || c.kind == weakRedos {
		return value{}
	}
	m := c.matcher(node, how)
	if m == nil {
		return value{}
	}
	if c.matches--; c.matches < 0 {
		return value{}
	}
	found, ok := m.Find(what.text, matchSteps)
	if !ok {
		return value{}
	}
	return is(found)
}

func (c *evaluator) matcher(node int, how string) *ambiguity.Matcher {
	text := c.tree.Bytes(node)
	key := how + string(text)
	if m, made := c.patterns[key]; made {
		return m
	}
	var e expression
	ok := true
	if c.tree.Nodes[node].Role == syntax.Regex {
		e, ok = literalExpression(text)
	} else {
		e = expression{pattern: string(unquoted(text)), flags: "P"}
		if isScript(c.lang) {
			e.pattern, e.flags = unescape(e.pattern), ""
		}
		switch how {
		case "match":
			e.pattern = "^(?:" + e.pattern + ")"
		case "fullmatch", "matches":
			e.pattern = "^(?:" + e.pattern + ")$"
		}
	}
	var made *ambiguity.Matcher
	if ok && len(e.pattern) <= 300 {
		flags := e.flags
		if flags != "P" {
			flags = strings.Map(knownFlag, flags)
		}
		if parsed, err := ambiguity.Parse(e.pattern, flags); err == nil {
			m := parsed.Matcher()
			made = &m
		}
	}
	c.patterns[key] = made
	return made
}

// enter follows a call of a function of the file: its parameters are what they are given, and what it returns first is
// the value, unless that hangs on what isn't known.
func (c *evaluator) enter(f int, args []value, depth int) value {
	if depth > maxProbeDepth/2 || c.tree.Nodes[f].Size > maxRoutine {
		return value{}
	}
	outer := c.env
	c.env = maps.Clone(outer)
	if c.env == nil {
		c.env = map[string]value{}
	}
	defer func() { c.env = outer }()
	for k, name := range c.parameters(f) {
		if c.tree.Nodes[name].Role == syntax.Identifier && k < len(args) {
			c.env[c.tree.Text(name)] = args[k]
		}
	}
	body := c.tree.Child(f, syntax.FieldBody)
	if body < 0 {
		return value{}
	}
	if c.tree.Nodes[body].Role != syntax.Block {
		return c.eval(body, depth+1)
	}
	w, _ := c.perform(body, depth+1)
	return w
}

// parameters are the nodes of a function's parameters.
func (c *evaluator) parameters(f int) []int {
	list := c.tree.Child(f, syntax.FieldParameters)
	if list < 0 {
		list = c.tree.ChildOf(f, syntax.Parameters)
	}
	switch {
	case list >= 0 && c.tree.Nodes[list].Role != syntax.Identifier:
		return c.tree.NamedChildren(list)
	case list >= 0:
		return []int{list}
	}
	if first := c.tree.FirstChild(f); first >= 0 && c.tree.Nodes[first].Role == syntax.Identifier && c.tree.FunctionName(f) != c.tree.Text(first) { // key => ...
		return []int{first}
	}
	return nil
}

// perform follows the statements of a block until one returns; done is set when one does, or when it can't be told.
func (c *evaluator) perform(block, depth int) (w value, done bool) {
	for _, at := range c.tree.NamedChildren(block) {
		if c.steps--; c.steps < 0 || depth > maxProbeDepth {
			return value{}, true
		}
		switch c.tree.Nodes[at].Role {
		case syntax.Return:
			if children := c.tree.NamedChildren(at); len(children) > 0 {
				return c.eval(children[0], depth+1), true
			}
			return value{kind: nothing}, true
		case syntax.Throw:
			return value{}, true
		case syntax.If:
			if w, done := c.branch(at, depth); done {
				return w, true
			}
		case syntax.Loop:
			body := c.tree.Child(at, syntax.FieldBody)
			if body < 0 {
				return value{}, true
			}
			if w, done := c.perform(body, depth+1); done {
				return w, true
			}
		case syntax.Switch, syntax.Try:
			return value{}, true
		case syntax.Block:
			if w, done := c.perform(at, depth+1); done {
				return w, true
			}
		}
	}
	return value{kind: nothing}, false
}

func (c *evaluator) branch(at, depth int) (w value, done bool) {
	yes, known := c.eval(c.tree.Child(at, syntax.FieldCondition), depth+1).truth()
	body := c.tree.Child(at, syntax.FieldConsequence, syntax.FieldBody)
	other := c.tree.Child(at, syntax.FieldAlternative)
	if !known {
		if body >= 0 && c.leaves(body) {
			return value{}, true
		}
		return value{}, false
	}
	if !yes {
		body = other
	}
	if body < 0 {
		return value{}, false
	}
	switch c.tree.Nodes[body].Role {
	case syntax.Block:
		return c.perform(body, depth+1)
	case syntax.Else:
		if inner := c.tree.NamedChildren(body); len(inner) == 1 {
			body = inner[0]
		}
	}
	switch c.tree.Nodes[body].Role {
	case syntax.Block:
		return c.perform(body, depth+1)
	case syntax.If:
		return c.branch(body, depth+1)
	case syntax.Return:
		if children := c.tree.NamedChildren(body); len(children) > 0 {
			return c.eval(children[0], depth+1), true
		}
		return value{kind: nothing}, true
	}
	return value{}, false
}
