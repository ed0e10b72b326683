'use strict'
// Deserialisation in JavaScript: what a snippet reads is really read. The effect is a call of a function with a name of this
// run alone. node-serialize is stood in for by what its unserialize does.
const { isDeepStrictEqual } = require('util')
const { randomBytes } = require('crypto')
const fs = require('fs')
const path = require('path')
const v8 = require('v8')

const secret = 'crisol' + [...randomBytes(10)].map(b => String.fromCharCode(97 + b % 26)).join('')
const stored = path.join(path.dirname(__dirname), 'stored')
let marked = false
Object.defineProperty(globalThis, secret, { value: () => { marked = true; return 1 } })
const quote = name => name.replace(/\$/g, '\\$')

// serializer is node-serialize: texts that begin with its flag are evaluated.
const flag = '_$$ND_FUNC$$_'
const serializer = {
  serialize: value => JSON.stringify(value, (_, v) => typeof v === 'function' ? flag + v : v),
  unserialize (value) {
    const object = typeof value === 'string' ? JSON.parse(value) : value
    for (const key of Object.keys(object)) {
      const member = object[key]
      if (member && typeof member === 'object') object[key] = serializer.unserialize(member)
      // eslint-disable-next-line no-eval
      else if (typeof member === 'string' && member.startsWith(flag)) object[key] = (0, eval)('(' + member.slice(flag.length) + ')')
    }
    return object
  }
}

exports.modules = name => name === 'node-serialize' ? { value: serializer } : undefined

exports.roles = (name, run) => {
  if (/^(serialize|serializer|nodeSerialize)$/.test(name) && new RegExp(`\\b${name}\\.(un)?serialize\\s*\\(`).test(run.source)) return { value: serializer }
  if (name in globalThis || run.usual(name)) return undefined
  if (new RegExp(`\\bread(File|FileSync)\\(\\s*${quote(name)}\\b`).test(run.source)) {
    run.take(name)
    return { value: stored }
  }
}

// carriers are the ways in which a text may come to a snippet that its source speaks of.
const encodings = [[/base64url/, raw => raw.toString('base64url')], [/base64|atob/, raw => raw.toString('base64')], [/['"`]hex['"`]/, raw => raw.toString('hex')], [/decodeURI/, raw => encodeURIComponent(raw.toString())], [/^/, raw => raw.toString()]]
const carriers = source => [...encodings.filter(([form]) => form.test(source)).map(([, encode]) => encode), raw => raw]

async function attempt (snippet, carry, raw, control) {
  marked = false
  const value = carry(Buffer.from(raw))
  fs.writeFileSync(stored, value)
  const rewrite = source => source.replace(/(\breadFile(?:Sync)?\(\s*)(['"`])[^'"`$]+\2/g, (_, call) => call + JSON.stringify(stored))
  const outcome = await snippet.run(value, { control, rewrite })
  if (rewrite(snippet.source) !== snippet.source) outcome.used = true
  const missed = /^ReferenceError: (\S+) is not defined/.exec(outcome.fault) // of the message, not of the snippet
  if (missed && !new RegExp(`(?<![\\w$])${quote(missed[1])}(?![\\w$])`).test(snippet.source)) Object.assign(outcome, { proper: true, fault: '' })
  return { outcome, marked }
}

function plain (value, above = []) {
  if (typeof value === 'function') return '[function]'
  if (typeof value !== 'object' || value === null) return value
  if (above.length > 12 || above.includes(value)) return '[deep]'
  if (value instanceof Error || value instanceof Date) return String(value)
  if (Buffer.isBuffer(value)) return value.toString()
  if (Array.isArray(value)) return value.map(v => plain(v, [...above, value]))
  return Object.fromEntries(Object.keys(value).map(key => [key, plain(value[key], [...above, value])]))
}

const text = value => JSON.stringify(value) || String(value)
const failure = outcome => outcome.error || outcome.called.flatMap(c => c.args.slice(0, 1)).find(v => v instanceof Error)
const views = {
  shown: outcome => plain([outcome.values.filter(v => typeof v !== 'function'), outcome.sent.map(s => [s.how, s.args]), outcome.called.map(c => c.args)]),
  kept: outcome => plain(Object.fromEntries(Object.entries(outcome.declared).filter(([, v]) => typeof v !== 'function')))
}

// data is what is read, with the members that the snippets ask for.
function data (pair, base) {
  if (Array.isArray(base)) return base
  const words = [...(pair.affected.source + pair.target.source).matchAll(/\.([a-z]\w*)\b(?!\s*\()|\[\s*['"]([A-Za-z_]\w*)['"]\s*\]/g)].map(m => m[1] || m[2]).filter(w => !/^(length|exports|query|body|cookies|params|headers|prototype|data)$/.test(w))
  return { ...Object.fromEntries(words.map(w => [w, `first mark of ${w}`])), ...base }
}

// find is how data gets through the affected snippet: {carry, raw, how, was}.
async function find (pair, base) {
  const value = data(pair, base)
  let why = 'it shows nothing of the data'
  const raws = /\bv8\b/.test(pair.affected.source) ? [v8.serialize(value), JSON.stringify(value)] : [JSON.stringify(value)]
  for (const raw of raws) {
    for (const carry of carriers(pair.affected.source)) {
      const { outcome } = await attempt(pair.affected, carry, raw, true)
      why = outcome.fault || (failure(outcome) && (failure(outcome).message || String(failure(outcome)))) || why
      if (!outcome.proper || failure(outcome)) continue
      const how = Object.keys(views).find(v => text(views[v](outcome)).includes('first mark') && !text(views[v](outcome)).includes(text(String(raw))))
      if (how) return { carry, raw, how, was: views[how](outcome) }
    }
  }
  throw new Error(`the vulnerable snippet makes nothing of plain data: ${why}`)
}

// lost says why the target doesn't give what the affected snippet gave, or nothing.
async function lost (pair, { carry, raw, how, was }, control) {
  const { outcome } = await attempt(pair.target, carry, raw, control)
  if (!outcome.proper) return outcome.fault
  if (failure(outcome)) return String(failure(outcome).message || failure(outcome))
  const is = views[how](outcome)
  const same = how === 'shown' ? isDeepStrictEqual(is, was) : Object.keys(was).some(k => k in is) && Object.keys(was).every(k => !(k in is) || isDeepStrictEqual(is[k], was[k]))
  return same ? '' : `it gives ${text(is)}, the vulnerable code gave ${text(was)}`
}

exports.benign = async (pair, values) => {
  let [compared, why] = [0, undefined]
  for (const base of values) {
    let found
    try { found = await find(pair, base) } catch (err) { why = err; continue }
    compared++
    const worse = await lost(pair, found)
    if (worse) throw new Error(`with ${text(base)}: ${worse}`)
  }
  if (!compared) throw why
}

// prefixes are the texts by which a snippet may tell what it has to evaluate.
const prefixes = source => [...new Set([...source.matchAll(/['"`]([^'"`\n]{2,24})['"`]|\/\^?((?:\\.|[^\\/\n[(]){2,24})/g)].map(m => m[1] || m[2].replace(/\\(.)/g, '$1')))].slice(0, 12)

exports.attack = async (pair, payloads) => {
  const found = await find(pair, { crisol: 'first mark' })
  const calm = !(await lost(pair, found, true))
  for (const payload of payloads) {
    for (const prefix of payload.includes('{prefix}') ? prefixes(pair.affected.source + pair.target.source) : ['']) {
      const raw = payload.replaceAll('{mark}', `${secret}()`).replaceAll('{bare}', secret).replaceAll('{prefix}', JSON.stringify(prefix).slice(1, -1))
      const got = await attempt(pair.target, found.carry, raw)
      if (got.marked) return raw
      if (calm && /^TypeError/.test(got.outcome.fault)) got.outcome.proper = true // as good as a refusal
    }
  }
}
