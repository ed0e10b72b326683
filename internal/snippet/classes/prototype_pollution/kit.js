'use strict'
// Prototype pollution: a snippet merges, clones, sets by a path of keys or parses a text. Its arguments are bound by name, by
// use and by place; the effect is any change of a prototype that every object shares, whatever the property is called.
const { builtinModules } = require('module')
const { isDeepStrictEqual } = require('util')

const shared = [Object, Array, Function, String, Number, Boolean, RegExp, Date, Error, Map, Set, Promise].map(f => f.prototype)
const snapshot = () => shared.map(p => new Map(Reflect.ownKeys(p).map(key => [key, Object.getOwnPropertyDescriptor(p, key)])))
const clean = snapshot()

// changes lists the properties that the prototypes gained, lost or have with another value, and puts them back.
function changes () {
  const found = []
  for (const [i, now] of snapshot().entries()) {
    const was = clean[i]
    for (const key of new Set([...now.keys(), ...was.keys()])) {
      const [a, b] = [was.get(key), now.get(key)]
      if (a && b && a.value === b.value && a.get === b.get && a.set === b.set) continue
      found.push(`${shared[i].constructor.name}.prototype.${String(key)}`)
      try { a ? Object.defineProperty(shared[i], key, a) : delete shared[i][key] } catch { /* it was frozen */ }
    }
  }
  return found
}

// again copies a payload as it is: own keys called __proto__, objects without a prototype and instances stay what they are.
function again (value) {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(again)
  const copy = Object.create(Object.getPrototypeOf(value))
  for (const key of Reflect.ownKeys(value)) {
    const own = Object.getOwnPropertyDescriptor(value, key)
    Object.defineProperty(copy, key, 'value' in own ? { ...own, value: again(own.value) } : own)
  }
  return copy
}

// fresh is what hostile things are merged into: something to replace, something to go down into.
const fresh = list => list ? [{}] : { kept: 'kept mark', nested: { old: 1 }, list: [{}], inner: { inner: { inner: {} } } }

// what names stand for, in the order in which they are asked
const named = [
  ['deep', /^(deep|isDeep|recursive)$/i],
  ['number', /^(depth|level|index|i|max\w*|limit|count)$/i],
  ['separator', /^(sep|separator|delim|delimiter)$/i],
  ['value', /^(value|val|v|newVal(ue)?)$/i],
  ['text', /^(query|qs|query_?string|str|string|search|text|ini|lines?|raw|txt)$/i],
  ['target', /^(target|dest|destination|dst|to|base|obj|object|o|root|tree|store|state|acc|accumulator|into|original|left|first|result|out|output|container|model|cache|registry|config|configuration|settings|a|x|map|dict|document|existing|current|database|t|profile|user|preferences|prefs)$|(config|settings|defaults|store|state|cache|registry|target|preferences)$|^default/i],
  ['key', /^(key|keys|k|prop|property|path|paths|field|selector|attr|attribute|segments?|parts|section|group|category|namespace|accessor|pointer|name|p)$|(path|key)$/i],
  ['source', /^(source|sources|src|srcs|from|b|y|s|others?|overrides?|options|opts|patch|updates?|changes|extension|extensions|props|data|input|payload|body|json|right|second|params|fields|attributes|incoming|extra|mixin)$|^(user|custom|new)[A-Z]/i]
]

// roleOf says what a name stands for by its use in the text, else by the name; undefined is not known.
function roleOf (name, source) {
  const bare = `(?<![\\w$.])(?:this\\.)?${name.replace(/\$/g, '\\$')}`
  if (new RegExp(`${bare}\\s*(\\[[^\\]=]+\\]\\s*)+=(?!=)`).test(source)) return 'target'
  const usual = named.find(([, form]) => form.test(name))
  if (usual && usual[0] !== 'source') return usual[0]
  if (new RegExp(`${bare}\\.split\\s*\\(`).test(source)) return usual ? usual[0] : 'key'
  if (new RegExp(`[\\w$]\\(\\s*(?:true\\s*,\\s*)?${bare}\\s*,`).test(source) && !/^(body|data|input|payload)$/.test(name)) return 'target'
  return usual && usual[0]
}

// parsed are the names that a text hands to JSON.parse: their input is a text.
function parsed (source) {
  const names = new Set()
  for (const m of source.matchAll(/JSON\.parse\(\s*(?!JSON\.stringify)([^,;\n]*)/g)) for (const [name] of m[1].matchAll(/[A-Za-z_$][\w$]*/g)) names.add(name)
  return names
}

// Binding is what a run gives to the names of a snippet. shape is what is hostile, or not: an object, a path of keys, a text.
class Binding {
  constructor (shape, payload, known) {
    const paired = shape === 'path' && payload && typeof payload === 'object' && !Array.isArray(payload)
    Object.assign(this, { shape, value: paired ? payload.value : 'the mark', payload: paired ? payload.keys : payload, known, targets: [], keys: new Set() })
  }

  // of is the value for a role; name tells several keys apart.
  of (role, name) {
    if (role === 'deep') return true
    if (role === 'number') return 0
    if (role === 'separator') return '.'
    if (role === 'target') {
      const target = fresh(this.shape === 'object' && Array.isArray(this.payload))
      this.targets.push(target)
      return target
    }
    if (role === 'key') return this.shape === 'path' ? this.key(name) : this.shape === 'text' ? this.payload : 'crisolkey'
    if (role === 'value') return this.shape === 'object' ? this.hostile(name) : again(this.value)
    if (role === 'source' && this.shape === 'path' && this.known.keys.size) return again(this.value)
    return this.hostile(name)
  }

  hostile (name) {
    const { json, all } = this.known
    const value = again(this.payload)
    return typeof value === 'object' && (json.has(name) || all) ? JSON.stringify(value) : value
  }

  // key is the path, or this name's part of it where several names are keys.
  key (name) {
    this.keys.add(name)
    const names = [...this.known.keys]
    if (names.length < 2) return again(this.payload)
    const list = Array.isArray(this.payload) ? this.payload : String(this.payload).split('.')
    const at = names.indexOf(name)
    if (at < names.length - 1) return at < list.length ? list[at] : 'x'
    return list.length - at > 1 ? list.slice(at) : at < list.length ? list[at] : 'x'
  }
}

exports.roles = (name, run) => {
  const { bind } = run.state
  if (name in globalThis || /^[A-Z]/.test(name) || new RegExp(`(?<![\\w$.])${name.replace(/\$/g, '\\$')}\\s*\\(`).test(run.source)) return undefined
  if (!builtinModules.includes(name)) {
    if (/^(req|request|res|response|resp|reply|ctx|context|c|next|cb|callback|done|app|router|server|api|logger|log)$/.test(name)) return undefined
  } else if (run.usual(name)) return undefined
  const role = roleOf(name, run.source)
  if (!role) return undefined
  if (role !== 'target') run.take(name)
  return { value: bind.of(role, name) }
}

exports.args = (params, run, fn) => {
  const { bind } = run.state
  if (!params.length && /\barguments\b/.test(String(fn))) params = [{ name: 'target' }, { name: 'source', rest: true }]
  const data = params.filter(p => !p.pattern && !run.usual(p.name))
  const roles = new Map(data.map(p => [p, roleOf(p.name, String(fn))]))
  const of = role => data.filter(p => roles.get(p) === role)
  if (data.length === 1) roles.set(data[0], data[0].rest ? 'both' : initial(String(fn)) ? 'target' : 'source')
  else places(data, roles, of, bind.shape)
  return params.flatMap(p => {
    if (p.pattern) return [run.tainted('')]
    if (!roles.has(p)) return [run.given(p.name).value]
    const role = roles.get(p)
    if (p.optional && (['deep', 'number', 'separator', 'rest'].includes(role) || initial(String(fn)))) return [undefined]
    if (role === 'rest') return [{}]
    if (role !== 'target') run.take(p.name)
    if (role === 'both') return [bind.of('target'), bind.of('source', p.name)]
    return [bind.of(role, p.name)]
  })
}

// initial says whether a class takes its input by its methods, so that its constructor is given what it begins with.
const initial = source => /^class\b/.test(source) && /(?:^|\n)\s*(?!constructor\b)[\w$]+\s*\([^()]+\)\s*\{/.test(source.replace(/\b(?:if|for|while|switch|catch|function)\b/g, '('))

// places gives the parameters of one function that their names leave open what their places say.
function places (data, roles, of, shape) {
  if (!of('key').length && data.length >= 3 && of('value').length) roles.set(data[1], 'key')
  const open = data.filter(p => !roles.get(p))
  for (const p of open) roles.set(p, p === data[0] ? 'target' : of('key').length && !of('value').length ? 'value' : 'source')
  if (of('key').length || shape === 'text') return
  if (!of('source').length && !of('value').length && !of('text').length) roles.set(data[1], 'source')
  if (!of('target').length && data.length > 1) roles.set(data[0], 'target')
  // what follows the sources are options
  const first = data.findIndex(p => roles.get(p) === 'source')
  for (const p of data.slice(first + 1)) if (/^(options?|opts|settings|config)$/i.test(p.name)) roles.set(p, 'rest')
}

// attempt runs a snippet once: the outcome, what its targets became, and which prototypes changed.
async function attempt (snippet, shape, payload, { control, known = { json: new Set(), keys: new Set(), all: false } } = {}) {
  const bind = new Binding(shape, payload, known)
  // what is read of a request, by its name
  const inputs = new Proxy({}, {
    getOwnPropertyDescriptor: (_, name) => ({ configurable: true, enumerable: true, writable: true, value: undefined }),
    get: (_, name) => {
      const role = roleOf(String(name), '')
      return bind.of(role === 'key' || role === 'value' ? role : 'source', name)
    }
  })
  const outcome = await snippet.run(bind.hostile(''), { control, state: { bind, inputs } })
  return { outcome, bind, dirty: changes() }
}

// learn runs a snippet with a harmless input: which names are keys, which texts of JSON, and what it changes anyway.
async function learn (snippet, shape) {
  const known = { json: parsed(snippet.source), keys: new Set(), all: false }
  if (known.json.size) {
    const { outcome } = await attempt(snippet, shape, harmless[shape], { control: true, known })
    known.all = ![...outcome.names].some(name => known.json.has(name))
  }
  const { outcome, bind, dirty } = await attempt(snippet, shape, harmless[shape], { control: true, known })
  return { known: { ...known, keys: bind.keys }, usual: new Set(dirty), calm: outcome.proper }
}

const harmless = { object: { color: 'mark' }, path: 'nested.color', text: 'color=mark' }

// spelled are a payload's texts with the separator that the snippets split at.
function spelled (pair, shape, payload) {
  const splits = [...(pair.affected.source + pair.target.source).matchAll(/\.split\(\s*(['"`])(.{1,2}?)\1/g)].map(m => m[2])
  const separator = splits.includes('.') ? '.' : splits[0]
  if (shape !== 'path' || typeof payload !== 'string' || !separator || separator === '.') return [payload]
  const text = payload.replaceAll('.', separator)
  return separator === '/' ? [text, separator + text] : [text]
}

// shapeOf tells what a payload is: an object, a path of keys, {keys, value} or a text to be parsed.
function shapeOf (payload) {
  if (typeof payload === 'string') return /[=\n]/.test(payload) ? 'text' : 'path'
  if (!Array.isArray(payload)) return 'keys' in payload ? 'path' : 'object'
  const [first] = payload
  return first && typeof first === 'object' && !Array.isArray(first) && !Object.hasOwn(first, 'toString') ? 'object' : 'path'
}

exports.attack = async (pair, list) => {
  const learnt = {}
  for (const payload of list.flatMap(p => spelled(pair, shapeOf(p), p))) {
    const shape = shapeOf(payload)
    learnt[shape] = learnt[shape] || await learn(pair.target, shape)
    const { known, usual, calm } = learnt[shape]
    const { outcome, dirty } = await attempt(pair.target, shape, payload, { known })
    const gained = dirty.filter(what => !usual.has(what))
    if (gained.length) return { payload, changed: gained }
    // where a harmless input works, a TypeError of a hostile one is as good as a refusal
    if (calm && /^TypeError/.test(outcome.fault)) outcome.proper = true
  }
}

// plain is a value to be compared: own data only, whatever the prototype.
function plain (value, above = []) {
  if (typeof value === 'function') return undefined
  if (typeof value !== 'object' || value === null) return value
  if (above.includes(value)) return '[cycle]'
  if (value instanceof Error || value instanceof Date || value instanceof RegExp) return String(value)
  const inside = v => plain(v, [...above, value])
  if (value instanceof Map || value instanceof Set) return [value.constructor.name, ...[...value].map(inside)]
  if (Array.isArray(value)) return value.map(inside)
  const copy = {}
  for (const key of Object.keys(value)) {
    const member = inside(value[key])
    if (member !== undefined) Object.defineProperty(copy, key, { value: member, enumerable: true })
  }
  return copy
}

const text = value => JSON.stringify(value) || ''

// seen is what a run shows: to its caller, and in the objects that it was given or made.
function seen ({ outcome, bind }) {
  const shown = plain([outcome.values.filter(v => typeof v !== 'function'), outcome.sent.map(s => s.args), outcome.called.map(c => c.args)])
  const kept = plain([bind.targets, outcome.made, Object.fromEntries(Object.entries(outcome.declared).filter(([, v]) => typeof v === 'object'))])
  return { shown, kept }
}

const failure = outcome => outcome.error || outcome.called.flatMap(c => c.args.slice(0, 1)).find(v => v instanceof Error)

exports.benign = async (pair, list) => {
  let compared = 0
  let why = 'nothing is to be seen of it'
  for (const { shape, value: base, mark } of list) {
    const [of, on] = [await learn(pair.affected, shape), await learn(pair.target, shape)]
    for (const value of spelled(pair, shape, base)) {
      const was = await attempt(pair.affected, shape, value, { control: true, known: of.known })
      const before = seen(was)
      // an input that comes out as it went in was not worked on
      const where = ['shown', 'kept'].find(k => text(before[k]).includes(mark) && !(shape === 'text' && text(before[k]).includes(text(value).slice(1, -1))))
      if (!was.outcome.proper || failure(was.outcome) || !where) {
        why = was.outcome.fault || (failure(was.outcome) && failure(was.outcome).message) || why
        continue
      }
      compared++
      const is = await attempt(pair.target, shape, value, { known: on.known })
      if (!is.outcome.proper) throw new Error(is.outcome.fault)
      if (failure(is.outcome)) throw new Error(`${text(value)} is refused: ${failure(is.outcome).message || failure(is.outcome)}`)
      const after = seen(is)
      if (where === 'shown' ? !isDeepStrictEqual(after.shown, before.shown) : !same(before.kept, after.kept)) throw new Error(`${text(value)} gives ${text(after[where])}, the vulnerable code gave ${text(before[where])}`)
    }
  }
  if (!compared) throw new Error(`the vulnerable snippet makes nothing of ${text(list.map(l => l.value))}: ${why}`)
}

// same compares what is kept; variables that only one side declares don't count.
function same ([targets, made, declared], [others, instances, names]) {
  return isDeepStrictEqual(targets, others) && isDeepStrictEqual(made, instances) && Object.keys(declared).every(k => !(k in names) || isDeepStrictEqual(declared[k], names[k]))
}
