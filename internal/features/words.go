package features

import (
	"bytes"
	"strings"
	"unicode"

	"crisol/internal/syntax"
)

// sense is what a name says about the thing that it names; a name can say several things.
type sense uint64

const (
	// kinds of dangerous operations, by the name of what is called
	sinkExec sense = 1 << iota
	sinkCode
	sinkFile
	sinkMarkup
	sinkQuery
	sinkNet
	sinkMatch
	sinkMemory
	// words of control
	isBranch
	isExit
	// what names promise
	isLog
	isEscape
	isDenial
	isPermission
	isOwn
	isPlain // an object without a prototype
	isVector
	isShell
	isQuote
	isCanonical
	isPrefix
	isDecode
	isBase
	isBind
	isSafe
	isUnsafe
	isEntity
	isHost
	isSize
	isAllocation
	isRelease
	isIntegerLimit
	isType
	isFold
	isSeparator
	isLength
	isConversion
)

// exact are the senses of whole names, in lower case.
var exact = senses(map[sense]string{
	sinkExec: "exec execsync execfile execfilesync system popen shell_exec passthru spawn spawnsync fork run call check_output check_call proc_open pcntl_exec command startprocess getruntime processbuilder backtick execa shelljs getoutput",
	sinkCode: "eval function runincontext runinnewcontext runinthiscontext loads load load_all unserialize deserialize readobject pickle unsafe_load create_function assert compile template render render_template_string from_string " +
		"require include include_once require_once import_module __import__ loadclass forname fromxml readvalue yaml unmarshal exec evaluate",
	sinkFile: "readfile readfilesync writefile writefilesync createreadstream createwritestream open fopen opensync file_get_contents file_put_contents readfile sendfile send_file send_from_directory unlink unlinksync rmdir mkdir mkdirsync " +
		"rename renamesync symlink link extract extractall extract_all fileinputstream fileoutputstream file stat statsync lstat lstatsync exists existssync access readdir readdirsync copyfile move_uploaded_file include realpathsync createfile newfile outputfile",
	sinkMarkup: "innerhtml outerhtml insertadjacenthtml write writeln send end html append echo print printf dangerouslysetinnerhtml document render setattribute attr markup mark_safe safe raw htmlraw out tostring",
	sinkQuery:  "query execute raw rawquery executequery executeupdate executemany preparestatement createquery createnativequery mysqli_query pg_query mysql_query find findone where aggregate whereraw orderby literal exec sql",
	sinkNet: "request get fetch post urlopen redirect setheader set_header location openconnection connect axios curl_exec curl_init sendredirect header httpget parse parsexml parsestring fromstring loadxml simplexml_load_string xmlparser " +
		"saxparser documentbuilder createreader iterparse xmlreader newdocumentbuilder newsaxparser",
	sinkMatch:  "test match exec replace search split regexp re compile matchall replaceall sub subn findall finditer fullmatch preg_match preg_replace preg_split preg_match_all matches pattern mustcompile",
	sinkMemory: "memcpy memmove memset strcpy strncpy strcat strncat sprintf vsprintf snprintf malloc calloc realloc free gets fgets read fread alloca strdup strlen memcmp bcopy sscanf",
	isBranch:   "if elif elseif for while case catch except switch match foreach unless",
	isExit:     "return throw raise break continue goto panic abort exit",
	isLog:      "log debug warn info console logger warning syslog var_dump print_r",
	isEscape: "htmlspecialchars htmlentities escape encodeuri encodeuricomponent escapehtml quote quoteattr escapexml htmlescape encode urlencode rawurlencode strip_tags sanitize sanitise dompurify purify escaperegexp addslashes " +
		"mysqli_real_escape_string real_escape_string escapestring escape_string bleach clean xss htmlencode escapemarkup escapeattribute escapeexpression",
	isOwn:       "hasownproperty hasown has_own own getownpropertynames keys propertyisenumerable owns hasownprop objecthasown getownpropertydescriptor",
	isPlain:     "map set weakmap freeze seal preventextensions create defineproperty setprototypeof nullobject",
	isVector:    "execfile execfilesync spawn spawnsync processbuilder shlex argv args",
	isShell:     "shell system popen shell_exec passthru exec execsync sh bash cmd",
	isQuote:     "shellquote shell_quote escapeshellarg escapeshellcmd shellescape shell_escape shlex quote quotearg escapeshell",
	isCanonical: "resolve normalize normalise realpath realpathsync abspath getcanonicalpath getcanonicalfile tonormalizedpath torealpath clean evalsymlinks canonicalize normpath normcase canonicalpath toabsolutepath",
	isPrefix:    "startswith startsWith hasprefix indexof commonpath commonprefix relative relpath is_relative_to lastindexof str_starts_with strncmp strpos relativeto isrelative starts_with isabsolute isabs",
	isDecode:    "decodeuri decodeuricomponent unescape urldecode rawurldecode unquote pathunescape queryunescape percent_decode percentdecode decode",
	isBase:      "basename getname getfilename base filename pathinfo secure_filename lastcomponent",
	isBind:      "prepare preparestatement bind bindparam bindvalue bind_param bindvalues setstring setint placeholders parameters params parameterize setparameter addwithvalue",
	isSafe: "safe_load safeload safeconstructor literal_eval textcontent innertext createtextnode json parse safe_loads safeparse safedump json_decode json_encode defusedxml sandboxedenvironment safeloader jsonparse isolate " +
		"randomuuid randombytes securerandom timingsafeequal hash_equals compare_digest csrf nofollow",
	isUnsafe: "eval unserialize pickle innerhtml dangerouslysetinnerhtml function unsafe_load unsafeloader outerhtml document runinnewcontext marshal gets strcpy strcat sprintf vsprintf mktemp md5 sha1 rand",
	isEntity: "disallow-doctype-decl resolve_entities no_network load_dtd forbid_dtd forbid_entities noent setfeature setexpandentityreferences external-general-entities external-parameter-entities supportdtd is_supporting_external_entities " +
		"libxml_disable_entity_loader secureprocessing feature_secure_processing access_external_dtd setxincludeaware huge_tree processentities dtd entities support_dtd feature_external_ges setproperty disallow doctype",
	isHost:         "host hostname origin protocol url urlparse netloc scheme getHost gethost parse_url referer referrer port uri ip isprivate isloopback lookup isinternal",
	isSize:         "sizeof size_t size capacity buflen bufsize len",
	isAllocation:   "malloc calloc realloc alloca new memcpy memmove strncpy snprintf memset reserve resize alloc",
	isRelease:      "free null nullptr delete dispose kfree release destroy close",
	isIntegerLimit: "int_max uint_max size_max long_max ulong_max int32_max uint32_max int64_max uint64_max ssize_max llong_max __builtin_mul_overflow __builtin_add_overflow __builtin_sub_overflow checked_add checked_mul checked_sub max_value safe_mul safe_add int_min saturating_add multiplyexact addexact",
	isType:         "typeof instanceof isarray isinstance string number is_string is_array isstring isobject isplainobject isfunction is_int is_numeric type tostring isinteger isnan boolean constructor intval strval ctype_alnum isfinite isprimitive parseint parsefloat",
	isFold:         "tolowercase touppercase lower upper casefold strtolower strtoupper equalsignorecase equalfold tolower toupper stricmp strcasecmp ignorecase tolocalelowercase",
	isSeparator:    "sep separator separatorchar",
	isLength:       "length size len count depth limit max maxlength maxdepth max_length strlen bytelength level remaining",
	isConversion:   "string tostring str number parseint",
	isDenial:       "indexof unsafe invalid forbidden blocked bad illegal dangerous blacklist blocklist denylist reserved polluted malicious disallowed prohibited",
	isPermission:   "valid allowed safe whitelist allowlist trusted permitted accepted supported known",
})

// stems are the senses of the parts of a name: of "isSafeKey", "is", "safe" and "key".
var stems = senses(map[sense]string{
	isDenial:     "unsafe invalid forbidden forbid blocked block bad illegal danger dangerous blacklist blocklist denylist deny reserved pollute polluted pollution malicious disallowed disallow prohibited prototype proto reject suspicious evil",
	isPermission: "safe valid allowed allow whitelist allowlist trusted permitted ok own accepted legal check verify sanitized within inside contained",
	isEscape:     "escape encode sanitize sanitise sanitizer purify escaper encoder escaped quote strip clean",
	isOwn:        "own",
	isCanonical:  "normalize resolve canonical realpath normalise",
	isHost:       "host hostname origin protocol",
	isLog:        "log logger",
	isType:       "typeof",
	isQuote:      "shellquote shellescape",
	isLength:     "length size depth limit max maximum len count",
})

func senses(words map[sense]string) map[string]sense {
	out := map[string]sense{}
	for s, list := range words {
		for word := range strings.FieldsSeq(list) {
			out[strings.ToLower(word)] |= s
		}
	}
	return out
}

// thesaurus remembers the senses of the names of one computation.
type thesaurus map[string]sense

// of is the sense of a name, whole or by its parts.
func (t thesaurus) of(name []byte) sense {
	if known, ok := t[string(name)]; ok {
		return known
	}
	if len(name) > 80 {
		return 0
	}
	lower := strings.ToLower(string(name))
	s := exact[strings.TrimLeft(lower, "$_")]
	for part := range parts(name) {
		s |= stems[part]
	}
	t[string(name)] = s
	return s
}

// parts yields the words of a name in camel case or with underscores, in lower case.
func parts(name []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		var word []byte
		for i, c := range name {
			letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
			upper := 'A' <= c && c <= 'Z'
			starts := upper && i > 0 && !('A' <= name[i-1] && name[i-1] <= 'Z')
			if (!letter || starts) && len(word) > 0 {
				if !yield(string(word)) {
					return
				}
				word = word[:0]
			}
			if letter {
				if upper {
					c |= 0x20
				}
				word = append(word, c)
			}
		}
		if len(word) > 0 {
			yield(string(word))
		}
	}
}

// dangerNames are the keys through which an object's prototype is reached.
var dangerNames = []string{"__proto__", "constructor", "prototype"}

// dangerous says whether a constant is one that attacks of a common kind need: what a filter looks for.
func dangerous(text []byte) bool {
	for _, name := range dangerNames {
		if bytes.Contains(text, []byte(name)) {
			return true
		}
	}
	if len(text) > 24 {
		return false
	}
	for _, sign := range []string{"..", "<", "javascript:", "\\0", "\\x00", "%2e", "%00", "//", "`", "$(", ";", "|", "&", "file:", "data:", "--"} {
		if bytes.Contains(bytes.ToLower(text), []byte(sign)) {
			return true
		}
	}
	return false
}

// unquoted is what lies between a string's quotes.
func unquoted(text []byte) []byte {
	for len(text) > 0 && (text[0] == 'r' || text[0] == 'b' || text[0] == 'f' || text[0] == 'u') && len(text) > 1 && (text[1] == '"' || text[1] == '\'') {
		text = text[1:]
	}
	if len(text) >= 6 && (bytes.HasPrefix(text, []byte(`"""`)) || bytes.HasPrefix(text, []byte("'''"))) {
		return text[3 : len(text)-3]
	}
	if len(text) >= 2 {
		return text[1 : len(text)-1]
	}
	return nil
}

// weakness is the kind that a vulnerability is of.
type weakness int

const (
	weakOther weakness = iota
	weakPollution
	weakRedos
	weakCommand
	weakPath
	weakMarkup
	weakQuery
	weakCode
	weakMemory
	weakExchange
)

var weaknessOfType = map[string]weakness{
	"prototype_pollution": weakPollution, "redos": weakRedos, "command_injection": weakCommand, "path_traversal": weakPath, "xss": weakMarkup,
	"sql_injection": weakQuery, "code_injection": weakCode, "deserialization": weakCode, "memory_corruption": weakMemory, "xxe": weakExchange,
	"ssrf": weakExchange, "open_redirect": weakExchange, "csrf": weakExchange, "unrestricted_upload": weakExchange,
}

var weaknessOfCWE = map[string]weakness{
	"1321": weakPollution, "915": weakPollution, "1333": weakRedos, "400": weakRedos, "730": weakRedos, "770": weakRedos, "77": weakCommand, "78": weakCommand,
	"88": weakCommand, "22": weakPath, "23": weakPath, "36": weakPath, "59": weakPath, "73": weakPath, "79": weakMarkup, "80": weakMarkup, "116": weakMarkup,
	"89": weakQuery, "943": weakQuery, "94": weakCode, "95": weakCode, "502": weakCode, "1336": weakCode, "913": weakCode, "119": weakMemory, "120": weakMemory,
	"121": weakMemory, "122": weakMemory, "125": weakMemory, "126": weakMemory, "127": weakMemory, "131": weakMemory, "190": weakMemory, "191": weakMemory,
	"193": weakMemory, "415": weakMemory, "416": weakMemory, "476": weakMemory, "787": weakMemory, "611": weakExchange, "776": weakExchange, "918": weakExchange,
	"601": weakExchange, "352": weakExchange, "434": weakExchange,
}

// kind is the weakness of a vulnerability: its type's, or else that of the first CWE that has one.
func (v Vulnerability) kind() weakness {
	if w, known := weaknessOfType[v.Type]; known {
		return w
	}
	for _, cwe := range v.CWE {
		if w, known := weaknessOfCWE[strings.TrimLeft(strings.TrimPrefix(strings.ToUpper(cwe), "CWE-"), "0")]; known {
			return w
		}
	}
	return weakOther
}

// sinks are the senses of the calls that are dangerous under a weakness.
func (w weakness) sinks() sense {
	switch w {
	case weakPollution:
		return 0 // writes under a computed key
	case weakRedos:
		return sinkMatch
	case weakCommand:
		return sinkExec
	case weakPath:
		return sinkFile
	case weakMarkup:
		return sinkMarkup
	case weakQuery:
		return sinkQuery
	case weakCode:
		return sinkCode | sinkExec
	case weakMemory:
		return sinkMemory
	case weakExchange:
		return sinkNet | sinkFile
	}
	return sinkExec | sinkCode | sinkFile | sinkQuery
}

// isName says whether a token is a name rather than a keyword; the keywords of all languages count as ones in each.
func isName(text []byte) bool {
	return len(text) > 0 && (unicode.IsLetter(rune(text[0])) || text[0] == '_' || text[0] == '$' || text[0] >= 0x80) && !keywords[string(text)]
}

var keywords = set("if else elif for while do switch case default break continue return throw try catch finally new delete typeof instanceof in of var let const function class extends " +
	"import export from as async await yield this self super true false null undefined None True False nil def lambda pass raise except with not and or is global nonlocal assert del " +
	"func go defer select chan map struct interface package range fallthrough goto type public private protected static final void int char long short unsigned signed double float bool boolean " +
	"abstract implements throws synchronized volatile enum sizeof typedef union extern inline register auto namespace template using virtual override fn mut pub impl trait mod use crate where match loop unsafe move ref echo print foreach elseif endif")

// wordKinds are the kinds of tokens that carry a meaning of their own.
func literal(k syntax.TokenKind) bool {
	return k == syntax.Text || k == syntax.Numeral || k == syntax.Pattern
}
