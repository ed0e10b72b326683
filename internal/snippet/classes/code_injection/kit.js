'use strict'
// Code injection in JavaScript: what a snippet evaluates really runs. The effect is a call of a function with a name of this
// run alone, which only this process's own global object knows: code that stays in a context without a way out can't call it.
const { isDeepStrictEqual } = require('util')
const { randomBytes } = require('crypto')

const secret = 'crisol' + [...randomBytes(10)].map(b => String.fromCharCode(97 + b % 26)).join('')
let marked = false
Object.defineProperty(globalThis, secret, { value: () => { marked = true; return 1 } })

// record is what code may be evaluated about, apart from the input.
const record = () => ({ id: 7, name: 'Ada', title: 'Sums', price: 3, total: 9, amount: 4, age: 36, x: 2, y: 3, a: 5, b: 6, value: 8, count: 1, user: { name: 'Ada', age: 36 }, items: [1, 2, 3] })
// records are in no order, whatever they are sorted by, and in another by each of their fields
const records = () => [{ ...record(), id: 9, name: 'Bob', title: 'Roots', price: 5, age: 33 }, record(), { ...record(), id: 8, name: 'Cy', title: 'Signs', price: 1, age: 30 }]
const about = /^(data|context|ctx|vars|variables|scope|env|locals|model|item|items|rows?|list|records?|users?|products|array|arr|obj|object|person|order|values|params|bindings|sandbox|globals|settings|config|options|state|store|registry|target)$/i
const quote = name => name.replace(/\$/g, '\\$')

exports.roles = (name, run) => {
  const own = stands(name, run)
  if (own) return { value: own }
  if (name in globalThis || run.usual(name)) return undefined
  // a name that only the evaluated input has: nothing stands for it
  if (!new RegExp(`(?<![\\w$])${quote(name)}(?![\\w$])`).test(run.source)) throw new Error(`${name} is not defined`)
  if (!about.test(name) || evaluated(name, run.source)) return undefined
  const many = new RegExp(`(?<![\\w$])${quote(name)}\\.(sort|slice|filter|map|forEach|reduce|some|every|find)\\s*\\(|\\bof\\s+${quote(name)}\\b`).test(run.source)
  return { value: many ? records() : record() }
}

exports.args = (params, run) => { run.state.run = run }

// evaluated says whether a name goes into the text that is evaluated.
function evaluated (name, source) {
  const bare = `(?<![\\w$.])${quote(name)}(?![\\w$])`
  return new RegExp(`\\+\\s*${bare}(?!\\s*[.[(])|${bare}\\s*\\+|\\$\\{\\s*${bare}\\s*\\}|(?:eval|Function|Script|Timeout|Interval|Context)\\s*\\(\\s*${bare}\\s*[,)]`).test(source)
}

// stands is what a browser has that evaluates texts and this process hasn't.
function stands (name, run) {
  const timer = real => (code, ...rest) => typeof code === 'string' ? setImmediate(() => within(code, run)) : real(code, ...rest)
  const show = (...args) => { run.state.logged.push(args) }
  const browser = { setTimeout: timer(setTimeout), setInterval: timer((f, ms, ...rest) => setTimeout(f, ms, ...rest)), alert: show, console: { ...console, log: show, info: show } }
  if (name === 'window' && /\bwindow\.(setTimeout|setInterval|eval|alert)\s*\(/.test(run.source)) return { ...browser, eval: globalThis.eval }
  return Object.hasOwn(browser, name) ? browser[name] : undefined
}

// within runs a text that a timer was given, where the snippet's own functions are to be seen, as they would be on a page.
function within (code, run) {
  try {
    // eslint-disable-next-line no-new-func
    new Function('names', `with (names) {\n${code}\n}`)(run.names)
  } catch (err) { run.outcome.errors.push(err) }
}

// attempt runs a snippet once. What it returns to be called is called, for code that is only compiled does nothing yet.
async function attempt (snippet, value, { control, inputs } = {}) {
  marked = false
  const state = { inputs, logged: [] }
  const outcome = await snippet.run(value, { control, state })
  const exported = state.run ? [state.run.module.exports, ...Object.values(state.run.module.exports || {})] : []
  for (const [i, made] of outcome.values.entries()) {
    if (typeof made !== 'function' || exported.includes(made) || Object.values(outcome.declared).includes(made)) continue
    try { outcome.values[i] = await made(record()) } catch (err) { outcome.errors.push(err); outcome.error = outcome.errors[0] }
  }
  outcome.error = outcome.errors[0]
  forgive(outcome, snippet.source)
  return { outcome, logged: state.logged, marked }
}

// forgive takes an undefined name that isn't in the snippet for what it is: the input's fault, not the snippet's.
function forgive (outcome, source) {
  const missed = /^ReferenceError: (\S+) is not defined/.exec(outcome.fault)
  if (missed && !new RegExp(`(?<![\\w$])${quote(missed[1])}(?![\\w$])`).test(source)) Object.assign(outcome, { proper: true, fault: '' })
}

const kinds = [
  ['operator', /^(op|operator|operation|sign)$/i],
  ['number', /^(n|num|number|count|port|pid|id|width|height|size|limit|a|b|x|y|left|right|num\d|[lr]hs|operand\w*|age|year|amount|qty|quantity)$|(count|size|tax|number)$/i],
  ['words', /name$|field$|key$|column$|attr(ibute)?$|prop(erty)?$/i]
]
const usual = { operator: '+', number: '6', words: 'name', any: '1' }
const kindOf = name => (kinds.find(([, form]) => form.test(name)) || ['any'])[0]
// others are harmless values for all inputs but one; an only input has no others
const others = (names, but) => names.length < 2 ? {} : Object.fromEntries(names.filter(n => n !== but).map(n => [n, usual[kindOf(n)]]))

// learn finds the inputs of the snippets: each is attacked alone, with a harmless value in the others.
async function learn (pair) {
  const names = new Set()
  for (const snippet of [pair.affected, pair.target]) for (const name of (await attempt(snippet, '1', { control: true })).outcome.names) names.add(name)
  return [...names]
}

// words are the names in a text, which may be objects that lead out of a context.
const keyword = /^(const|let|var|function|return|if|else|new|try|catch|throw|for|of|in|typeof|require|module|exports|async|await|true|false|null|undefined|this|vm|eval|Function)$/
const words = source => [...new Set(source.match(/[A-Za-z_$][\w$]*/g) || [])].filter(w => !keyword.test(w))

exports.attack = async (pair, payloads) => {
  const names = await learn(pair)
  const calm = (await attempt(pair.target, '1', { control: true, inputs: others(names) })).outcome.proper
  for (const name of names.length > 1 ? names.slice(0, 5) : [undefined]) {
    const inputs = others(names, name)
    for (const payload of payloads) {
      for (const host of payload.includes('{host}') ? words(pair.target.source).slice(0, 24) : ['']) {
        const value = payload.replaceAll('{mark}', `${secret}()`).replaceAll('{bare}', secret).replaceAll('{host}', host)
        const got = await attempt(pair.target, value, { inputs })
        if (got.marked) return value
        if (calm && /^TypeError/.test(got.outcome.fault)) got.outcome.proper = true // as good as a refusal
      }
    }
  }
  await new Promise(resolve => setTimeout(resolve, 50)) // for what a snippet started and doesn't wait for
  return marked ? payloads[payloads.length - 1] : undefined
}

// plain is a value to be compared, whatever context it comes from.
function plain (value, above = []) {
  if (typeof value === 'function') return '[function]'
  if (typeof value !== 'object' || value === null) return value
  if (above.length > 8 || above.includes(value)) return '[deep]'
  if (value instanceof Error || value instanceof Date || value instanceof RegExp) return String(value)
  if (Array.isArray(value)) return value.map(v => plain(v, [...above, value]))
  return Object.fromEntries(Object.keys(value).map(key => [key, plain(value[key], [...above, value])]))
}

const failure = outcome => outcome.error || outcome.called.flatMap(c => c.args.slice(0, 1)).find(v => v instanceof Error)
const shown = got => plain([got.outcome.values.filter(v => typeof v !== 'function'), got.outcome.sent.map(s => [s.how, s.args]), got.outcome.called.map(c => c.args), got.logged])
const kept = got => plain(Object.fromEntries(Object.entries(got.outcome.declared).filter(([, v]) => typeof v !== 'function')))
const text = value => JSON.stringify(value) || String(value)

// purposes are kinds of input that a snippet says in its names it is for
const purposes = [['arithmetic', /calc|formula|expr|math|arith|evaluate|compute/i], ['json', /json|parse|deserial|decode/i], ['template', /templat|render|tpl|interpolat|greeting/i]]

// compare runs both snippets with one input: nothing if the affected one makes nothing of it that none of the base runs shows, else {lost: why the target's
// result is worse, given: what the affected one gave, worked: whether it did more than hand the input on}.
async function compare (pair, value, inputs, base) {
  const was = await attempt(pair.affected, value, { control: true, inputs })
  if (!was.outcome.proper || failure(was.outcome)) return undefined
  const how = [shown, kept].find(view => !base.some(b => isDeepStrictEqual(view(was), view(b))))
  if (!how) return undefined
  const is = await attempt(pair.target, value, { inputs })
  const [before, after] = [how(was), how(is)]
  const given = text(before)
  const worked = !given.includes(text(value).slice(1, -1))
  if (!is.outcome.proper) return { worked, given, lost: is.outcome.fault }
  if (failure(is.outcome)) return { worked, given, lost: String(failure(is.outcome).message || failure(is.outcome)) }
  const same = how === kept ? Object.keys(before).every(k => !(k in after) || isDeepStrictEqual(before[k], after[k])) && Object.keys(before).some(k => k in after) : isDeepStrictEqual(before, after)
  return { worked, given, lost: same ? '' : `it gives ${text(after)}, the vulnerable code gave ${text(before)}` }
}

// takes compares all inputs of a kind: nothing if the affected snippet takes none, else {lost: why, one: whether any is kept
// that counts, worked}.
async function takes (pair, values, inputs, base, one) {
  let verdict
  const given = []
  for (const { value, set } of values) {
    const got = await compare(pair, value, { ...inputs, ...set }, base)
    if (!got) continue
    given.push(got.given)
    verdict = verdict || { lost: '', one: false, worked: false }
    verdict.worked = verdict.worked || got.worked
    if (got.lost) verdict.lost = verdict.lost || `with ${text(value)}: ${got.lost}`
    else if (one(got)) verdict.one = true
  }
  return given.length > 1 && new Set(given).size < 2 ? undefined : verdict // what doesn't depend on the input says nothing of it
}

exports.benign = async (pair, payload) => {
  const names = await learn(pair)
  // names of functions may be inputs only where the input is called
  const called = /\(\)\s*;?['"`]/.test(pair.affected.source)
  const own = [...(pair.affected.source + pair.target.source).matchAll(/['"`]([A-Za-z_]\w{0,30})['"`]|\b(\w+)\s*:|(?:function\s+|^\s*|,\s*)(\w+)\s*\([^()]*\)\s*\{/gm)].map(m => m[1] || m[2] || (called && m[3])).filter(w => w && !keyword.test(w))
  let compared = 0
  for (const name of names.length > 1 ? names : [undefined]) {
    const turn = value => ({ value, set: name === undefined ? {} : { [name]: value } })
    const kind = name === undefined ? kindOf(names[0] || '') : kindOf(name)
    const without = value => attempt(pair.affected, value, { control: true, inputs: { ...others(names, name), ...turn(value).set } })
    const base = [await without(kind === 'words' ? 'crisolword' : usual[kind]), await without('crisolword')]
    const seen = new Map()
    for (const [kindName, values] of Object.entries({ ...payload, words: [...new Set([...payload.words, ...own])] })) {
      if (kind !== 'any' ? kindName !== kind : kindName === 'operator') continue
      const got = await takes(pair, values.map(turn), others(names, name), kindName === 'words' ? base : base.slice(0, 1), got => kindName !== 'template' || got.worked)
      if (got) seen.set(kindName, got)
    }
    if (!seen.size) continue
    compared++
    decide(seen, pair.affected.source)
  }
  if (!compared) throw new Error(`the vulnerable snippet makes nothing of ${text(payload)}`)
}

// decide throws when the target kept too little: all inputs of the kind that the snippet says or shows it is for, else all of
// one kind. Of words, of which a patch may have to choose some, one is enough, and so it is of the ways to write a template.
function decide (seen, source) {
  const said = source.replace(/\.json\s*\(|application\/json/g, '')
  const wanted = seen.has('template') && seen.get('template').worked ? ['template'] : purposes.filter(([kind, form]) => seen.has(kind) && form.test(said)).map(([kind]) => kind)
  const list = wanted.length ? wanted : [...seen.keys()]
  const good = kind => /words|template/.test(kind) ? seen.get(kind).one : !seen.get(kind).lost
  if (!list.some(good)) throw new Error(seen.get(list[0]).lost)
}
