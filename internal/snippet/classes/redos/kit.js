'use strict'
// Slow regular expressions in JavaScript. A text grows, pump by pump, until a run of the snippet takes long or the text
// is as long as the trial asks for. An expression that stands alone is looked for in the text.

// attempt runs a snippet once. What it leaves is what it gave, or what its expressions find where it only declares them.
async function attempt (snippet, value, control) {
  const outcome = await snippet.run(value, { control })
  const given = [...outcome.values, ...outcome.called.flatMap(c => c.args), ...outcome.sent.flatMap(s => s.args)]
  if (outcome.used) return { outcome, given: given.length ? given : Object.values(outcome.declared) }
  const expressions = [...given, ...Object.values(outcome.declared)].filter(v => v instanceof RegExp)
  if (expressions.length) outcome.used = true
  return { outcome, given: expressions.map(e => e.global ? String(value).match(e) : e.exec(value)) }
}

// counts are how often a pump is repeated: by small steps, as a text may take twice as long with each, then by leaps.
function counts (most) {
  const list = []
  for (let n = 4; n <= most; n = n < 40 ? n + 2 : Math.ceil(n * 1.4)) list.push(n)
  return list
}

const spent = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6 }

// grow runs the snippet with longer and longer texts and says whether it came to take more than limit seconds.
async function grow (snippet, family, size, limit) {
  const { prefix = '', pump, suffix = '' } = family
  let took = 0
  for (const n of counts(Math.max(4, Math.floor(size / pump.length)))) {
    const before = spent()
    await attempt(snippet, prefix + pump.repeat(n) + suffix)
    took += spent() - before
    if (took > limit) return true
  }
  return false
}

const harmless = [{ pump: '\x02' }, { pump: '-' }, { pump: 'a' }, { pump: ' ' }, { pump: 'lorem ipsum, ' }]

exports.slow = async (pair, families, t) => {
  for (const family of families) {
    if (t.hostile) {
      if (await grow(pair.target, family, t.size, 0.5)) return
      continue
    }
    // A text of which the snippet makes much as well is none to compare with: another is taken.
    while (harmless.length && await grow(pair.target, harmless[0], t.size, 0.05)) harmless.shift()
  }
}

// plain is a result by which two are compared: of a match, where it is and what it says.
function plain (value) {
  if (value instanceof RegExp) return undefined
  if (value instanceof Error) return 'an error'
  if (Array.isArray(value) && 'index' in value) return { at: value.index, text: value[0] }
  if (Array.isArray(value)) return value.map(plain)
  if (value && typeof value === 'object' && typeof value.next === 'function') return [...value].map(plain)
  if (value && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
  return typeof value === 'function' || typeof value === 'symbol' ? undefined : typeof value === 'bigint' ? String(value) : value
}

const told = ({ outcome, given }) => JSON.stringify([given.map(plain), outcome.error ? 'it throws' : ''])

exports.benign = async (pair, texts) => {
  let compared = false
  for (const value of texts) {
    const before = await attempt(pair.affected, value, true)
    if (!before.outcome.proper) throw new Error(before.outcome.fault)
    if (!before.outcome.used) continue
    compared = true
    const after = await attempt(pair.target, value)
    if (!after.outcome.proper) throw new Error(after.outcome.fault)
    if (told(before) !== told(after)) throw new Error(`of ${JSON.stringify(value)} it makes ${told(after)}, and the vulnerable snippet made ${told(before)}`)
  }
  if (!compared) throw new Error(texts.length ? 'the vulnerable snippet takes no text and has no expression' : 'no text is known')
}

exports.attack = () => { throw new Error('a regular expression is judged by CPU time') }
